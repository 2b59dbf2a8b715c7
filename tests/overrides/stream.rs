//! What happens is told as it happens.

use crate::support::PATIENCE;
use crate::support::events::Reader;
use crate::{run, site};

#[test]
fn overrides_and_flips_are_told_and_missed_ones_told_again() {
    let site = site();
    let meridian = site.serve();
    let node = format!("http://{}", site.admin);
    let mut reader = Reader::new(site.admin, None);
    let (first, kind, _) = reader.event();
    assert_eq!(kind, "resync", "who comes for the first time reads the state");
    run(&["force", "down", "region:eu", "--for", "1h", "--reason", "work", "--node", &node], 0);
    let mut told = Vec::new();
    while told.len() < 4 {
        told.push(reader.event());
    }
    let kinds: Vec<&str> = told.iter().map(|(_, kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["flip", "flip", "region", "override.set"]);
    let (_, _, flip) = &told[0];
    assert_eq!(
        (flip["region"].as_str(), flip["to"].as_str(), flip["node"].as_str()),
        (Some("eu"), Some("down"), Some("test-1"))
    );
    assert_eq!(told[2].2["state"], "down");
    assert_eq!(told[3].2["override"]["reason"], "work");
    assert!(told[3].2["time"].as_u64().unwrap() > 1_700_000_000);

    // A reader that comes back is told what it has missed, and one that missed too much reads anew.
    let mut again = Reader::new(site.admin, Some(&told[1].0));
    assert_eq!(again.event().1, "region");
    assert_eq!(again.event().1, "override.set");
    assert_eq!(Reader::new(site.admin, Some("1-1")).event().1, "resync");
    assert_eq!(Reader::new(site.admin, Some(&first)).event().1, "flip");
    run(&["force", "clear", "region:eu", "--node", &node], 0);
    let kinds: Vec<String> = (0..4).map(|_| again.event().1).collect();
    assert_eq!(kinds, ["flip", "flip", "region", "override.cleared"]);
    assert_eq!(meridian.metric("meridian_events_total", &["kind=\"flip\""]), 4.0);
    assert!(meridian.metric("meridian_event_readers", &[]) >= 2.0);
}

#[test]
fn readers_do_not_hold_up_the_end_of_the_process() {
    let site = site();
    let mut meridian = site.serve();
    let mut reader = Reader::new(site.admin, None);
    reader.event();
    meridian.process.signal("TERM");
    let ended = meridian.process.wait(PATIENCE / 2).expect("an end");
    assert!(ended.success(), "{ended}");
}
