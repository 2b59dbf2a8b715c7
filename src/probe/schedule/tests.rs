//! The schedule on a manual clock.

use std::collections::BTreeMap;

use fastrand::Rng;
use proptest::prelude::{prop_assert, proptest};

use super::*;
use crate::model::Fleet;
use crate::probe::sample::{fleet, monitor, targets};

/// Drives a schedule; every probe takes `took_ms`. Gives the starts as (time, address, monitor).
struct Drive {
    schedule: Schedule,
    now: u64,
    took_ms: u64,
    ends: BTreeMap<u64, Vec<Serial>>,
    starts: Vec<(u64, String, String)>,
    peak: usize,
}

impl Drive {
    fn new(seed: u64, took_ms: u64) -> Self {
        let schedule = Schedule::new(Rng::with_seed(seed));
        Self { schedule, now: 0, took_ms, ends: BTreeMap::new(), starts: vec![], peak: 0 }
    }

    fn load(&mut self, fleet: &Fleet, max_in_flight: usize, generation: u64) {
        self.schedule.replace(&targets(fleet, max_in_flight, generation), Tick(self.now));
    }

    /// Runs until `end`, in steps of a millisecond.
    fn run(&mut self, end: u64) {
        while self.now < end {
            for serial in self.ends.remove(&self.now).unwrap_or_default() {
                self.schedule.finish(serial);
            }
            for start in self.schedule.start(Tick(self.now), 0) {
                let target = &start.target;
                let names = (target.identity.address.to_string(), target.definition.name.clone());
                self.starts.push((self.now, names.0, names.1));
                self.ends.entry(self.now + self.took_ms.max(1)).or_default().push(start.serial);
            }
            self.peak = self.peak.max(self.schedule.in_flight.len());
            self.now += 1;
        }
    }

    fn times(&self, address: &str, monitor: &str) -> Vec<u64> {
        let mine = self.starts.iter().filter(|start| start.1 == address && start.2 == monitor);
        mine.map(|start| start.0).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_round_starts_at_once_but_spread() {
    let mut drive = Drive::new(1, 5);
    drive.load(&fleet(0..200, vec![monitor("port", SECOND)]), 500, 1);
    drive.run(250);
    assert_eq!(drive.starts.len(), 200, "standby endpoints included");
    assert!(drive.peak < 50, "{} at a time", drive.peak);
}

#[test]
fn the_places_are_filled_and_never_exceeded() {
    let mut drive = Drive::new(2, 100);
    drive.load(&fleet(0..50, vec![monitor("port", SECOND)]), 4, 1);
    drive.run(10_000);
    assert_eq!(drive.peak, 4);
    // 4 places for 10 s with probes of 100 ms.
    assert!((380..=400).contains(&drive.starts.len()), "{} probes", drive.starts.len());
    for number in 0..50 {
        let probes = drive.times(&format!("10.0.0.{number}"), "port").len();
        assert!(
            (6..=10).contains(&probes),
            "endpoint {number} had {probes}: first come first served"
        );
    }
}

#[test]
fn places_of_undelivered_results_are_taken() {
    let mut schedule = Schedule::new(Rng::with_seed(3));
    let fleet = fleet(0..10, vec![monitor("port", SECOND)]);
    schedule.replace(&targets(&fleet, 4, 1), Tick(0));
    assert!(schedule.start(Tick(300), 4).is_empty());
    assert_eq!(schedule.start(Tick(300), 3).len(), 1);
    let late = schedule.start(Tick(400), 0);
    assert_eq!(late.len(), 3);
    assert!(late.iter().all(|start| start.waited >= Duration::from_millis(100)));
}

#[test]
fn an_endpoint_has_one_probe_in_flight_over_all_its_monitors() {
    let mut drive = Drive::new(4, 300);
    let monitors = vec![monitor("a", SECOND), monitor("b", SECOND), monitor("c", SECOND)];
    drive.load(&fleet(0..1, monitors), 500, 1);
    drive.run(20_000);
    assert_eq!(drive.peak, 1);
    for name in ["a", "b", "c"] {
        let probes = drive.times("10.0.0.0", name).len();
        assert!((19..=22).contains(&probes), "monitor {name} ran {probes} times in 20 s");
    }
}

#[test]
fn a_probe_longer_than_its_interval_is_never_doubled() {
    let mut drive = Drive::new(5, 2500);
    drive.load(&fleet(0..1, vec![monitor("port", SECOND)]), 500, 1);
    drive.run(30_000);
    assert_eq!(drive.peak, 1);
    let times = drive.times("10.0.0.0", "port");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 2500), "{times:?}");
}

#[test]
fn removed_endpoints_stop_at_once_and_others_keep_their_phase() {
    let monitors = vec![monitor("port", SECOND)];
    let mut undisturbed = Drive::new(6, 20);
    undisturbed.load(&fleet(0..3, monitors.clone()), 500, 1);
    undisturbed.run(20_000);
    let mut drive = Drive::new(6, 20);
    drive.load(&fleet(0..3, monitors.clone()), 500, 1);
    drive.run(10_000);
    drive.load(&fleet([2, 1, 9].into_iter(), monitors), 500, 2);
    drive.run(20_000);

    let last = |address| drive.times(address, "port").last().copied().unwrap();
    assert!(last("10.0.0.0") < 10_000, "gone");
    let first = drive.times("10.0.0.9", "port")[0];
    assert!((10_000..10_250).contains(&first), "new at {first}");
    for address in ["10.0.0.1", "10.0.0.2"] {
        let (before, after) = (undisturbed.times(address, "port"), drive.times(address, "port"));
        assert_eq!(before.len(), after.len());
        for (a, b) in before.iter().zip(&after) {
            assert!(a.abs_diff(*b) <= 100, "{address}: {a} became {b}");
        }
    }
}

#[test]
fn a_changed_monitor_is_probed_anew_and_results_follow_renumbering() {
    let mut schedule = Schedule::new(Rng::with_seed(7));
    schedule.replace(&targets(&fleet(0..2, vec![monitor("port", SECOND)]), 9, 1), Tick(0));
    let started = schedule.start(Tick(300), 0);
    let serial = |number: u8| {
        let address = format!("10.0.0.{number}");
        let found = started.iter().find(|s| s.target.identity.address.to_string() == address);
        found.unwrap().serial
    };
    schedule.replace(&targets(&fleet(1..2, vec![monitor("port", SECOND)]), 9, 2), Tick(400));
    let (target, generation) = schedule.current(serial(1)).unwrap();
    assert_eq!((target.endpoint.0, generation), (0, 2), "endpoint 1 is number 0 now");
    assert!(schedule.current(serial(0)).is_none(), "gone");

    schedule.replace(&targets(&fleet(1..2, vec![monitor("port", SECOND / 2)]), 9, 3), Tick(500));
    assert!(schedule.current(serial(1)).is_none(), "its monitor changed");
    assert!(schedule.start(Tick(800), 0).is_empty(), "its old probe is still under way");
    schedule.finish(serial(1));
    assert_eq!(schedule.start(Tick(900), 0).len(), 1);
}

#[test]
fn an_empty_list_has_nothing_to_do() {
    let mut schedule = Schedule::new(Rng::with_seed(8));
    schedule.replace(&targets(&fleet(0..5, vec![monitor("port", SECOND)]), 9, 1), Tick(0));
    schedule.replace(&Targets::default(), Tick(1));
    assert_eq!(schedule.next_due(Tick(1)), None);
    assert!(schedule.start(Tick(10_000), 0).is_empty());
}

proptest! {
    #[test]
    fn probes_are_an_interval_apart_within_ten_percent(
        seed: u64, interval in 200_u64..20_000, took in 1_u64..100,
    ) {
        let mut drive = Drive::new(seed, took);
        drive.load(&fleet(0..3, vec![monitor("port", Duration::from_millis(interval))]), 500, 1);
        drive.run(interval * 12);
        for number in 0..3 {
            let times = drive.times(&format!("10.0.0.{number}"), "port");
            prop_assert!(times[0] <= 250.min(interval / 4) + 1);
            let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            prop_assert!((interval * 44 / 100..=interval * 106 / 100).contains(&gaps[0]));
            for gap in &gaps[1..] {
                let allowed = interval * 9 / 10 - 2..=interval * 11 / 10 + 2;
                prop_assert!(allowed.contains(gap), "{gap} of {interval}: {gaps:?}");
            }
            // On a grid: jitter does not add up.
            let whole = times[times.len() - 1] - times[1];
            let expected = interval * (times.len() as u64 - 2);
            prop_assert!(whole.abs_diff(expected) <= interval / 10 + 2);
        }
    }
}
