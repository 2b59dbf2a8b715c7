//! Reports of every form and age.

use std::fs;

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_800_000_000;

fn check(stale: Stale) -> FeedCheck {
    FeedCheck { file: None, expires: Duration::from_secs(60), stale }
}

fn at(address: &str) -> Address {
    Address::Ip(address.parse().unwrap())
}

/// What is found after this text was written this many seconds ago.
fn found(text: &str, age: u64, stale: Stale) -> String {
    let feeds = Feeds::default();
    let fault = feeds.take_in("load", text, NOW - age);
    let outcome = feeds.judge("load", &check(stale), &at("192.0.2.1"), NOW);
    let words = match outcome {
        Outcome::Success => "up".to_owned(),
        Outcome::Failure { kind, cause } => format!("{}: {cause}", kind.as_str()),
        Outcome::Missed(cause) => format!("missed: {cause}"),
        Outcome::Unknown(cause) => format!("unknown: {cause}"),
    };
    match fault {
        Some(fault) => format!("{words}, {fault}"),
        None => words,
    }
}

#[test]
fn a_report_is_read_in_either_form() {
    for (case, text, expected) in [
        ("a line", "192.0.2.1 up", "up"),
        ("among others", "# load\n\n192.0.2.2 down\n192.0.2.1 up # fine\n", "up"),
        ("down with words", "192.0.2.1 down disk is full", "reported: reported down: disk is full"),
        ("down until", "192.0.2.1 down 1800000001 deploy", "reported: reported down: deploy"),
        ("unknown", "192.0.2.1\tunknown", "unknown: reported unknown"),
        ("the last line wins", "192.0.2.1 down\n192.0.2.1 up", "up"),
        ("json", r#"{"192.0.2.1": "up"}"#, "up"),
        (
            "json in full",
            r#" {"192.0.2.1": {"state": "down", "until": 1800000001, "why": "full"}}"#,
            "reported: reported down: full",
        ),
        ("a bad line", "192.0.2.1 up\n192.0.2.2 sideways", "up, line 2 is no report"),
        ("half a line", "192.0.2.1", "unknown: no report of `192.0.2.1`, line 1 is no report"),
        ("nothing", "", "unknown: no report of `192.0.2.1`"),
    ] {
        assert_eq!(found(text, 0, Stale::Unknown), expected, "{case}");
    }
    let broken = found("{\"192.0.2.1\": 1}", 0, Stale::Unknown);
    assert!(broken.contains("the reports are not json"), "{broken}");
}

#[test]
fn what_is_too_old_means_what_the_monitor_says() {
    let (up, down) = ("192.0.2.1 up", "192.0.2.1 down broken");
    let ended = "192.0.2.1 up 1799999990";
    let old = "report is less than an hour too old";
    for (case, text, age, stale, expected) in [
        ("just in time", up, 60, Stale::Down, "up".to_owned()),
        ("late, unknown", up, 61, Stale::Unknown, format!("unknown: {old}")),
        ("late, down", up, 61, Stale::Down, format!("stale: {old}")),
        ("late, kept up", up, 7_200, Stale::Keep, "up".to_owned()),
        ("late, kept down", down, 61, Stale::Keep, "reported: reported down: broken".to_owned()),
        ("until is over", ended, 15, Stale::Down, format!("stale: {old}")),
        ("none, down", "", 0, Stale::Down, "stale: no report of `192.0.2.1`".to_owned()),
        ("none, kept", "", 0, Stale::Keep, "missed: no report of `192.0.2.1`".to_owned()),
    ] {
        assert_eq!(found(text, age, stale), expected, "{case}");
    }
}

#[test]
fn the_newest_report_wins_whoever_makes_it() {
    let feeds = Feeds::default();
    let report = |state, at| Report { state, at, until: None, why: String::new() };
    feeds.push("load", "LB.example.", report(State::Down, NOW)).unwrap();
    feeds.push("load", "lb.example", report(State::Up, NOW - 1)).unwrap();
    let host =
        Address::Host(crate::name::Name::parse("lb.example.", &crate::name::Name::root()).unwrap());
    let outcome = || feeds.judge("load", &check(Stale::Unknown), &host, NOW);
    assert_eq!(outcome(), Outcome::failure(CauseKind::Reported, "reported down"));
    feeds.push("load", "lb.example", report(State::Up, NOW)).unwrap();
    assert_eq!(outcome(), Outcome::Success);
    assert_eq!(feeds.judge("other", &check(Stale::Keep), &host, NOW).word(), "missed");
}

#[test]
fn a_file_is_read_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports");
    let feeds = Feeds::default();
    let look = |stale| {
        feeds.refresh("load", &path);
        feeds.judge("load", &check(stale), &at("192.0.2.1"), crate::clock::unix_seconds())
    };
    let missing =
        format!("no report of `192.0.2.1`; `{}` cannot be read: entity not found", path.display());
    assert_eq!(look(Stale::Down), Outcome::failure(CauseKind::Stale, missing));
    fs::write(&path, "192.0.2.1 up\n").unwrap();
    assert_eq!(look(Stale::Down), Outcome::Success);
    fs::write(&path, "192.0.2.1 down\n").unwrap();
    assert_eq!(look(Stale::Down), Outcome::failure(CauseKind::Reported, "reported down"));
    fs::remove_file(&path).unwrap();
    assert_eq!(look(Stale::Down).word(), "failed", "what it said holds until it expires");
}

#[test]
fn reports_are_bounded() {
    let feeds = Feeds::default();
    let report = || Report { state: State::Up, at: 0, until: None, why: String::new() };
    for number in 0..REPORTS_MAX {
        feeds.push("load", &number.to_string(), report()).unwrap();
    }
    assert!(feeds.push("load", "more", report()).is_err());
    assert!(feeds.push("load", "7", report()).is_ok(), "a known one is replaced");
    for number in 1..MONITORS_MAX {
        feeds.push(&number.to_string(), "a", report()).unwrap();
    }
    assert!(feeds.push("more", "a", report()).is_err());
}

proptest! {
    #[test]
    fn no_text_is_too_odd_for_reports(
        text in "[{}\":,# \\t\\n0-9a-z.é]{0,80}|\\PC{0,80}",
        at in any::<u64>(),
        stale in prop::sample::select(vec![Stale::Unknown, Stale::Down, Stale::Keep]),
    ) {
        let feeds = Feeds::default();
        feeds.take_in("load", &text, at);
        let outcome = feeds.judge("load", &check(stale), &nobody(), NOW);
        prop_assert!(!outcome.word().is_empty());
    }
}

/// An endpoint that no generated text names.
fn nobody() -> Address {
    at("2001:db8::1")
}
