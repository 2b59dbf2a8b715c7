//! Runs as they may go, told step by step.

use super::*;
use crate::drill::{Outcome, html, junit};
use crate::model::Written;

const LOST: &str = "192.0.2.1";
const OTHER: &str = "192.0.2.11";

fn setup(nodes: usize) -> Setup {
    Setup {
        name: "lose <eu>".to_owned(),
        how: "health".to_owned(),
        fail: vec!["region:eu".to_owned()],
        services: vec!["www.x.test.".to_owned()],
        started: 1_700_000_000,
        lasts: Duration::from_secs(10),
        every: Duration::from_millis(100),
        nodes: (0..nodes).map(|node| format!("ns{node}")).collect(),
        questions: vec!["german".to_owned(), "american".to_owned()],
        lost: [LOST.parse().unwrap()].into(),
        expect: Expect {
            moved_within: Some(Duration::from_secs(2)),
            no_errors: true,
            survivor_load: Some(0.9),
            back_within: Some(Duration::from_secs(3)),
        },
        abort: Abort {
            survivor_load: Some(1.0),
            down: vec![Written { value: "region:us".to_owned(), at: None }],
        },
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Says what a node answers the Germans; the Americans are answered the same all the time.
fn answers(run: &mut Run, at: u64, node: usize, german: &str) {
    let heard = |text: &str| match text {
        "" => Heard::Nothing,
        "-" => Heard::Silence,
        text => text.parse().map_or_else(
            |_| Heard::Error(text.to_owned()),
            |address| Heard::Addresses(vec![address]),
        ),
    };
    run.heard(ms(at), Place { node, question: 0 }, &heard(german));
    run.heard(ms(at), Place { node, question: 1 }, &heard(OTHER));
}

/// A run over two nodes in which both answer well before it begins at one second.
fn begun() -> Run {
    let mut run = Run::new(setup(2));
    assert!(run.baseline().is_err());
    for node in 0..2 {
        answers(&mut run, 100, node, LOST);
    }
    assert_eq!(run.baseline(), Ok(()));
    assert!(run.is_about_something());
    run.began(ms(1_000));
    run
}

#[test]
fn times_are_those_of_the_first_and_the_last_answer_that_moved() {
    let mut run = begun();
    for (at, node, german) in [
        (1_050, 0, LOST),
        (1_100, 1, LOST),
        (1_400, 0, OTHER),
        (1_500, 1, OTHER),
        // An answer that was on its way.
        (1_600, 1, LOST),
        (1_900, 1, OTHER),
        (2_000, 0, OTHER),
    ] {
        answers(&mut run, at, node, german);
    }
    assert_eq!(run.moved_nodes(), 2);
    assert_eq!(run.demand(ms(5_000)), None);
    run.ended(ms(11_000));
    assert_eq!(run.demand(ms(11_100)), None, "nothing is back yet");
    answers(&mut run, 11_300, 0, LOST);
    assert_eq!(run.demand(ms(11_400)), None);
    answers(&mut run, 11_700, 1, LOST);
    assert_eq!(run.demand(ms(11_800)), Some(Demand::Finish));
    let report = run.report();
    assert_eq!(report.outcome, Outcome::Passed, "{report}");
    assert_eq!(
        (report.detected_ms, report.moved_ms, report.back_ms),
        (Some(400), Some(900), Some(700))
    );
    assert_eq!(report.lasted_ms, 10_000);
    assert_eq!(report.nodes[0].moved_ms, Some(400));
    assert_eq!(report.nodes[1].moved_ms, Some(900));
    assert_eq!(report.nodes[1].with_lost, 3);
}

#[test]
fn what_still_comes_to_the_region_is_told_beside_what_came_before() {
    let rates = |eu: f64| Seen {
        rates: [("eu".to_owned(), eu), ("us".to_owned(), 9.0)].into(),
        ..Seen::default()
    };
    let mut run = Run::new(setup(1));
    assert_eq!(run.report().residual, [], "nobody measures it");
    run.seen(ms(400), &rates(300.0));
    run.seen(ms(500), &rates(400.0));
    run.began(ms(1_000));
    run.seen(ms(1_100), &rates(380.0));
    run.seen(ms(9_000), &rates(2.5));
    run.ended(ms(11_000));
    run.seen(ms(12_000), &rates(390.0));
    let report = run.report();
    let told = ResidualRate { region: "eu".to_owned(), before: 400.0, last: 2.5 };
    assert_eq!(report.residual, [told]);
    let text = report.to_string();
    assert!(text.contains("eu 2.5 requests/s in the end, 400.0 before"), "{text}");
}

/// What happens while a drill runs.
type Story<'a> = &'a dyn Fn(&mut Run);

#[test]
fn what_was_expected_is_judged_one_by_one() {
    let moved = |run: &mut Run| (0..2).for_each(|node| answers(run, 1_500, node, OTHER));
    let back = |run: &mut Run| {
        run.ended(ms(11_000));
        (0..2).for_each(|node| answers(run, 12_000, node, LOST));
    };
    let load = |run: &mut Run, load: f64| {
        let loads = [("us".to_owned(), load)].into();
        run.seen(ms(3_000), &Seen { loads, ..Seen::default() });
    };
    let cases: [(&str, &[&str], Story<'_>); 7] = [
        ("all is well", &[], &|run| {
            moved(run);
            load(run, 0.5);
            back(run);
        }),
        ("a node that does not move", &["moved_within", "back_within"], &|run| {
            answers(run, 1_500, 0, OTHER);
            (15..100).for_each(|at| answers(run, at * 100, 1, LOST));
            run.ended(ms(11_000));
        }),
        ("a node that moves late", &["moved_within"], &|run| {
            answers(run, 1_500, 0, OTHER);
            answers(run, 3_100, 1, OTHER);
            back(run);
        }),
        ("an error", &["no_errors"], &|run| {
            answers(run, 1_200, 0, "SERVFAIL");
            moved(run);
            back(run);
        }),
        ("an empty answer", &["no_errors"], &|run| {
            answers(run, 1_200, 0, "");
            moved(run);
            back(run);
        }),
        ("a question lost", &[], &|run| {
            answers(run, 1_200, 0, "-");
            moved(run);
            back(run);
        }),
        ("too much load", &["survivor_load"], &|run| {
            moved(run);
            load(run, 0.95);
            back(run);
        }),
    ];
    for (case, broken, story) in cases {
        let mut run = begun();
        story(&mut run);
        let report = run.report();
        let found: Vec<&str> = report
            .checks
            .iter()
            .filter(|check| !check.held)
            .map(|check| check.name.as_str())
            .collect();
        assert_eq!(found, broken, "{case}: {report}");
        let outcome = if broken.is_empty() { Outcome::Passed } else { Outcome::Failed };
        assert_eq!(report.outcome, outcome, "{case}");
    }
}

#[test]
fn it_is_broken_off_once_by_its_conditions() {
    // The region that is taken out is no survivor.
    let gone = Seen { loads: [("eu".to_owned(), 1.2)].into(), ..Seen::default() };
    let full = Seen { loads: [("us".to_owned(), 1.2)].into(), ..Seen::default() };
    let lost = Seen { down: ["us".to_owned()].into(), ..Seen::default() };
    let own = Seen { down: ["eu".to_owned()].into(), ..Seen::default() };
    for (seen, why) in [
        (&full, Some("us has 120 % of its capacity as load")),
        (&lost, Some("us is down")),
        (&own, None),
        (&gone, None),
    ] {
        let mut run = begun();
        run.seen(ms(2_000), seen);
        run.seen(ms(3_000), seen);
        let wanted = why.map(|why| Demand::Clear(why.to_owned()));
        assert_eq!(run.demand(ms(3_000)), wanted);
        assert_eq!(run.demand(ms(3_100)), None, "asked for once");
        run.ended(ms(3_200));
        let report = run.report();
        assert_eq!(report.reason.as_deref(), why);
        assert_eq!(report.outcome == Outcome::Aborted, why.is_some());
        assert_eq!(report.lasted_ms, 2_200);
    }
    let mut before = Run::new(setup(1));
    before.seen(ms(10), &lost);
    assert_eq!(before.demand(ms(20)), None, "nothing to take back yet");
}

#[test]
fn regions_are_named_as_in_overrides_by_pattern_too() {
    let mut setup = setup(1);
    setup.fail = vec!["pool:web@us".to_owned(), "region:E*".to_owned()];
    setup.abort.down[0].value = "region:us*".to_owned();
    let mut run = Run::new(setup);
    run.began(ms(1_000));
    let both = |load: f64| [("eu".to_owned(), load), ("us".to_owned(), 0.5)].into();
    run.seen(ms(2_000), &Seen { loads: both(1.2), rates: both(9.0), ..Seen::default() });
    assert_eq!(run.demand(ms(2_000)), None, "what is taken out is no survivor");
    let told = ResidualRate { region: "eu".to_owned(), before: 9.0, last: 9.0 };
    assert_eq!(run.report().residual, [told]);
    run.seen(ms(3_000), &Seen { down: ["us".to_owned()].into(), ..Seen::default() });
    assert_eq!(run.demand(ms(3_000)), Some(Demand::Clear("us is down".to_owned())));
}

#[test]
fn a_fleet_that_answers_badly_before_is_no_ground() {
    let mut run = Run::new(setup(2));
    answers(&mut run, 100, 0, LOST);
    answers(&mut run, 100, 1, "SERVFAIL");
    let why = run.baseline().unwrap_err();
    assert_eq!(why, "ns1 does not answer as it should: SERVFAIL");
    // No records where there were none before are no error.
    let mut run = Run::new(setup(1));
    answers(&mut run, 100, 0, "");
    assert_eq!(run.baseline(), Ok(()));
    assert!(!run.is_about_something());
    run.began(ms(1_000));
    answers(&mut run, 1_500, 0, "");
    assert_eq!(run.report().nodes[0].errors, 0);
}

#[test]
fn a_node_that_ends_it_a_little_before_the_command_has_moved_all_the_same() {
    let mut run = begun();
    (0..2).for_each(|node| answers(&mut run, 1_500, node, OTHER));
    (0..2).for_each(|node| answers(&mut run, 11_005, node, LOST));
    run.ended(ms(11_010));
    let report = run.report();
    assert_eq!((report.moved_ms, report.back_ms), (Some(500), Some(0)));
    assert_eq!(run.demand(ms(11_020)), Some(Demand::Finish));
}

#[test]
fn what_was_asked_before_the_beginning_is_told_of_before() {
    let mut run = begun();
    answers(&mut run, 990, 0, OTHER);
    assert_eq!(run.moved_nodes(), 0);
}

#[test]
fn reports_hold_no_markup_of_names_and_their_pictures_stay_small() {
    let mut run = begun();
    for at in 0..100_000_u64 {
        answers(&mut run, at, (at % 2) as usize, if at < 1_500 { LOST } else { OTHER });
    }
    run.ended(ms(11_000));
    let report = run.report();
    let page = html(&report);
    assert!(page.contains("Drill lose &lt;eu&gt;") && !page.contains("<eu>"));
    assert!(page.len() < 2_000_000, "{}", page.len());
    assert!(page.matches("<svg").count() == 5 && page.ends_with("</html>\n"));
    assert!(!page.contains("http://") && !page.contains("src="), "nothing from outside");
    let suite = junit(&report);
    assert!(suite.contains("tests=\"5\" failures=\"1\" errors=\"0\""), "{suite}");
    assert!(suite.contains("<failure message=\"expected 3.00 s at most, found never\"/>"));
}
