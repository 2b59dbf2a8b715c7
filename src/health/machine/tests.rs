//! Tables and properties of the state machine, on a manual clock.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rules(fall: u32, rise: u32, hold_down: Duration) -> Rules {
    Rules { interval: SECOND, fall, rise, hold_down, vantage: Vantage::Majority }
}

fn refused() -> Outcome {
    Outcome::failure(CauseKind::Refused, "connection refused")
}

/// Feeds one result a second (`s` success, `f` failure) and shows the verdict after each.
fn run(machine: &mut Machine, rules: &Rules, results: &str, start: u64) -> String {
    let mut shown = String::new();
    for (second, result) in (start..).zip(results.chars()) {
        let outcome = if result == 's' { Outcome::Success } else { refused() };
        machine.observe(rules, &outcome, Tick(second * 1000));
        shown.push(match machine.verdict() {
            Verdict::Unknown => '?',
            Verdict::Up => 'U',
            Verdict::Down => 'D',
        });
    }
    shown
}

#[test]
fn follows_fall_and_rise() {
    for (case, fall, rise, results, verdicts) in [
        ("the first success brings it up", 2, 2, "s", "U"),
        ("the first failure takes it down", 3, 2, "f", "D"),
        ("after a first failure rise successes bring it up", 3, 2, "fss", "DDU"),
        ("one failure is not enough", 2, 2, "sfss", "UUUU"),
        ("fall failures in a row take it down", 3, 2, "sfff", "UUUD"),
        ("every second probe failing takes it down", 2, 2, "sfsf", "UUUD"),
        ("and keeps it down", 2, 2, "sfsfsfsfsf", "UUUDDDDDDD"),
        ("every third probe failing does not, with rise 2", 2, 2, "sfssfssfss", "UUUUUUUUUU"),
        ("but does with rise 3", 2, 3, "sfssfss", "UUUUDDD"),
        ("old failures are cleared by rise successes", 3, 2, "sffssff", "UUUUUUU"),
        ("a failure restarts the climb", 1, 3, "sfssfsss", "UDDDDDDU"),
        ("fall 1 and rise 1 follow each probe", 1, 1, "sfsfs", "UDUDU"),
    ] {
        let mut machine = Machine::new(Tick(0));
        let shown = run(&mut machine, &rules(fall, rise, Duration::ZERO), results, 0);
        assert_eq!(shown, verdicts, "{case}");
    }
}

#[test]
fn tells_why_and_since_when() {
    let rules = rules(2, 1, Duration::ZERO);
    let mut machine = Machine::new(Tick(5));
    assert_eq!((machine.verdict(), &**machine.cause()), (Verdict::Unknown, "not probed yet"));
    assert!(!machine.is_observed());
    run(&mut machine, &rules, "sff", 1);
    assert_eq!((machine.since(), machine.kind()), (Tick(3000), Some(CauseKind::Refused)));
    let slow = Outcome::failure(CauseKind::Timeout, "timed out after 2s");
    assert!(!machine.observe(&rules, &slow, Tick(4000)));
    assert_eq!((&**machine.cause(), machine.since()), ("timed out after 2s", Tick(3000)));
    assert!(machine.observe(&rules, &Outcome::Success, Tick(5000)));
    assert_eq!((machine.kind(), machine.since()), (None, Tick(5000)));
    assert!(machine.is_observed());
}

#[test]
fn starts_from_a_verdict_of_before_and_then_judges_by_the_rules() {
    let rules = rules(2, 2, Duration::ZERO);
    for (before, results, verdicts) in
        [(Verdict::Up, "ff", "UD"), (Verdict::Down, "ss", "DU"), (Verdict::Unknown, "f", "D")]
    {
        let mut machine = Machine::starting(before, "before".into(), Tick(0));
        assert_eq!(run(&mut machine, &rules, results, 1), verdicts, "{before:?}");
    }
}

#[test]
fn holds_down_after_repeated_flips_only() {
    let rules = rules(1, 1, 10 * SECOND);
    let mut machine = Machine::new(Tick(0));
    assert_eq!(run(&mut machine, &rules, "sfs", 0), "UDU", "the first comeback is prompt");
    assert_eq!(run(&mut machine, &rules, "f", 3), "D");
    let held = run(&mut machine, &rules, &"s".repeat(70), 4);
    assert_eq!(held.find('U'), Some(59), "down at 3 s, held for a minute");
    assert_eq!(run(&mut machine, &rules, "f", 74), "D", "down again 11 s later: a second repeat");
    let held = run(&mut machine, &rules, &"s".repeat(70), 75);
    assert_eq!(held.find('U'), Some(59), "twice 10 s is still below a minute");
    for (repeat, hold) in [(3, 60), (4, 80), (5, 160), (6, 300), (7, 300)] {
        let down = machine.since().0 / 1000 + 20;
        run(&mut machine, &rules, "f", down);
        let held = run(&mut machine, &rules, &"s".repeat(400), down + 1);
        assert_eq!(held.find('U'), Some(hold - 1), "repeat {repeat}");
    }
    let down = machine.since().0 / 1000 + 60;
    assert_eq!(run(&mut machine, &rules, "fs", down), "DU", "a minute up ends the punishment");
}

#[test]
fn a_held_endpoint_must_be_free_of_failures_for_hold_down() {
    let rules = rules(1, 1, 10 * SECOND);
    let mut machine = Machine::new(Tick(0));
    run(&mut machine, &rules, "sfsf", 0);
    run(&mut machine, &rules, &"s".repeat(55), 4);
    run(&mut machine, &rules, "f", 59);
    let shown = run(&mut machine, &rules, &"s".repeat(15), 60);
    assert_eq!(shown.find('U'), Some(9), "the hold ends at 63 s, the quiet time at 69 s");
}

#[test]
fn a_long_hold_down_is_kept_as_configured() {
    let rules = rules(1, 1, 600 * SECOND);
    let mut machine = Machine::new(Tick(0));
    run(&mut machine, &rules, "sfsf", 0);
    let shown = run(&mut machine, &rules, &"s".repeat(700), 4);
    assert_eq!(shown.find('U'), Some(599));
}

#[test]
fn knows_the_earliest_change() {
    let plain = rules(3, 2, Duration::ZERO);
    for (case, results, intervals) in [
        ("unknown: the first result decides, and may come at once", "", 0),
        ("stable up: fall intervals", "s", 3),
        ("after one failure one less", "sf", 2),
        ("after two two less", "sff", 1),
        ("a success does not clear", "sffs", 1),
        ("rise successes do", "sffss", 3),
        ("down: rise intervals", "f", 2),
        ("one success on the way up", "fs", 1),
        ("and back", "fsf", 2),
    ] {
        let mut machine = Machine::new(Tick(0));
        run(&mut machine, &plain, results, 0);
        let now = Tick(results.len() as u64 * 1000);
        assert_eq!(machine.earliest_change(&plain, now), intervals * SECOND, "{case}");
    }
    for (before, intervals) in [(Verdict::Up, 2), (Verdict::Down, 1)] {
        let machine = Machine::starting(before, "before".into(), Tick(0));
        let shown = machine.earliest_change(&plain, Tick(60_000));
        assert_eq!(shown, intervals * SECOND, "{before:?} from before, first result due");
    }
    let damped = rules(1, 1, 10 * SECOND);
    let mut machine = Machine::new(Tick(0));
    run(&mut machine, &damped, "sfsf", 0);
    for (case, second, expected) in [
        ("60 s of hold are 32 intervals and more", 3, 32),
        ("31 s are 16", 32, 16),
        ("2 s are 2", 61, 2),
        ("after the hold one success is enough", 64, 1),
    ] {
        let shown = machine.earliest_change(&damped, Tick(second * 1000));
        assert_eq!(shown, expected * SECOND, "{case}");
    }
}

/// The verdict changes of a machine probing a square wave, in milliseconds.
fn square_wave(rules: &Rules, half_periods_ms: (u64, u64), seed: u64) -> Vec<(u64, Verdict)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut machine = Machine::new(Tick(0));
    let interval = rules.interval.as_millis() as u64;
    let (up, down) = half_periods_ms;
    let mut now = random.u64(0..interval);
    let mut changes = Vec::new();
    while now < 1_200_000 {
        let answers = now % (up + down) < up;
        let outcome = if answers { Outcome::Success } else { refused() };
        if machine.observe(rules, &outcome, Tick(now)) && now >= interval {
            changes.push((now, machine.verdict()));
        }
        now += random.u64(interval * 9 / 10..=interval * 11 / 10);
    }
    changes
}

proptest! {
    /// Half periods of 10 ms to 9 s: 0.1 to 10 Hz at any duty.
    #[test]
    fn flapping_changes_the_answer_at_most_twice_a_minute(
        up in 10_u64..9_000, down in 10_u64..9_000, interval in 250_u64..10_000,
        fall in 1_u32..5, rise in 1_u32..5, hold in 1_u32..30, seed: u64,
    ) {
        let interval = Duration::from_millis(interval);
        let rules = Rules { interval, ..rules(fall, rise, hold * SECOND) };
        let changes = square_wave(&rules, (up, down), seed);
        prop_assert!(changes.len() <= 2 * 20 + 1, "{changes:?}");
        let ups: Vec<u64> =
            changes.iter().filter(|c| c.1 == Verdict::Up).map(|c| c.0).collect();
        for pair in ups.windows(2) {
            prop_assert!(pair[1] - pair[0] >= 60_000, "two comebacks within a minute: {changes:?}");
        }
        // A third change in a minute is the one that shows the flapping: before it the endpoint
        // had been up for a minute or more.
        for four in changes.windows(4) {
            let dense = four[3].0 - four[1].0 < 60_000;
            prop_assert!(!dense || four[1].0 - four[0].0 >= 60_000, "{changes:?}");
        }
    }

    /// Half periods longer than two intervals: each has `fall` probes.
    #[test]
    fn a_flapper_the_probes_can_see_stays_down(half in 2_250_u64..4_900, seed: u64) {
        let changes = square_wave(&rules(2, 2, 10 * SECOND), (half, half), seed);
        prop_assert!(changes.len() <= 3, "{changes:?}");
    }

    #[test]
    fn no_verdict_changes_before_the_earliest_change(
        results in proptest::collection::vec(any::<bool>(), 1..200),
        fall in 1_u32..5, rise in 1_u32..5, hold in 0_u32..20, before in 0_usize..3,
    ) {
        let rules = rules(fall, rise, hold * SECOND);
        let before = [Verdict::Unknown, Verdict::Up, Verdict::Down][before];
        let mut machine = Machine::starting(before, "before".into(), Tick(0));
        // The first result comes at once.
        let mut promised = Tick(0) + machine.earliest_change(&rules, Tick(0));
        for (second, success) in (0_u64..).zip(results) {
            let now = Tick(second * 1000);
            let outcome = if success { Outcome::Success } else { refused() };
            if machine.observe(&rules, &outcome, now) {
                prop_assert!(now >= promised, "changed at {now:?}, promised {promised:?}");
            }
            promised = now + machine.earliest_change(&rules, now);
        }
    }
}
