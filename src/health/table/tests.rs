//! The table over whole fleets: derivation, reload, restart.

mod needs;
mod peers;
mod safety;
mod sequences;
mod traffic;

use super::*;
use crate::health::{CauseKind, SavedHealth, Verdict};
use crate::model::{
    Address, Calculated, Check, Endpoint, Pool, PoolId, Reach, Region, RegionId, TcpCheck, Vantage,
};
use crate::place::Point;

const A: EndpointId = EndpointId(0);
const B: EndpointId = EndpointId(1);
const HTTP: MonitorId = MonitorId(0);
const PORT: MonitorId = MonitorId(1);

fn monitor(name: &str, port: u16) -> Monitor {
    Monitor {
        name: name.to_owned(),
        check: Check::Tcp(TcpCheck::connecting(port)),
        reach: Reach::default(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        fall: 2,
        rise: 2,
        vantage: Vantage::Majority,
        hold_down: Duration::ZERO,
    }
}

/// One pool in one region with these endpoints, watched by the first `monitors` monitors.
fn fleet(addresses: &[&str], monitors: u16) -> Fleet {
    let region = Region {
        name: "north".to_owned(),
        point: Point { latitude: 60.0, longitude: 10.0 },
        country: None,
        continent: None,
    };
    let endpoint = |address: &&str| Endpoint {
        pool: PoolId(0),
        region: RegionId(0),
        address: Address::Ip(address.parse().unwrap()),
        probe: None,
        weight: 100,
        group: None,
        depends_on: Vec::new(),
    };
    Fleet {
        regions: vec![region],
        monitors: vec![monitor("http", 80), monitor("port", 443)],
        pools: vec![Pool {
            name: "web".to_owned(),
            monitors: (0..monitors).map(MonitorId).collect(),
            min_up: 0.5,
            capacity: Vec::new(),
            endpoints: 0..addresses.len() as u32,
        }],
        endpoints: addresses.iter().map(endpoint).collect(),
        ..Fleet::default()
    }
}

fn refused() -> Outcome {
    Outcome::failure(CauseKind::Refused, "connection refused")
}

fn level(table: &HealthTable, endpoint: EndpointId) -> Level {
    table.endpoints()[endpoint.0 as usize].level
}

#[test]
fn an_endpoint_without_monitors_is_up_for_good() {
    let table = HealthTable::new(&fleet(&["192.0.2.1"], 0), Tick(9));
    let health = &table.endpoints()[0];
    assert_eq!((health.level, &*health.cause), (Level::Up, "no monitors"));
    assert_eq!(health.earliest_change, None);
    assert!(table.is_fully_observed());
}

/// A name, probe results, and the level and cause they lead to.
type Case<'a> = (&'a str, &'a [(MonitorId, Outcome)], Level, &'a str);

#[test]
fn all_monitors_must_say_up() {
    let up = Outcome::Success;
    let cases: [Case<'_>; 6] = [
        ("nothing known", &[], Level::Unknown, "monitor http: not probed yet"),
        (
            "one up, one unknown",
            &[(HTTP, up.clone())],
            Level::Unknown,
            "monitor port: not probed yet",
        ),
        ("both up", &[(HTTP, up.clone()), (PORT, up.clone())], Level::Up, "all monitors up"),
        (
            "one down, one unknown",
            &[(PORT, refused())],
            Level::Down,
            "monitor port: connection refused",
        ),
        (
            "one down, one up",
            &[(HTTP, up.clone()), (PORT, refused())],
            Level::Down,
            "monitor port: connection refused",
        ),
        (
            "both down: the first is named",
            &[(PORT, refused()), (HTTP, refused())],
            Level::Down,
            "monitor http: connection refused",
        ),
    ];
    for (case, results, level, cause) in cases {
        let mut table = HealthTable::new(&fleet(&["192.0.2.1"], 2), Tick(0));
        for (monitor, outcome) in results {
            table.observe(A, *monitor, outcome, Tick(1000));
        }
        let health = &table.endpoints()[0];
        assert_eq!((health.level, &*health.cause), (level, cause), "{case}");
    }
}

#[test]
fn what_makes_a_lone_prober_doubt_itself_is_judged_all_the_same() {
    let addresses: Vec<String> = (1..=12).map(|n| format!("192.0.2.{n}")).collect();
    let mut fleet = fleet(&addresses.iter().map(String::as_str).collect::<Vec<_>>(), 1);
    fleet.regions.push(Region { name: "south".to_owned(), ..fleet.regions[0].clone() });
    fleet.endpoints.iter_mut().step_by(2).for_each(|one| one.region = RegionId(1));
    (fleet.monitors[0].fall, fleet.monitors[0].rise) = (1, 1);
    let mut table = HealthTable::new(&fleet, Tick(0));
    for (round, (outcome, expected)) in
        [(Outcome::Success, Level::Up), (refused(), Level::Down)].into_iter().enumerate()
    {
        for endpoint in (0..12).map(EndpointId) {
            table.observe(endpoint, HTTP, &outcome, Tick(1000 * (1 + round as u64)));
            assert_eq!(level(&table, endpoint), expected, "{endpoint:?}");
        }
    }
}

#[test]
fn tells_flips_from_changes_from_nothing() {
    let mut table = HealthTable::new(&fleet(&["192.0.2.1"], 1), Tick(0));
    let flip = |from, to, cause: &str| {
        let flip = Some(Flip { from, to, cause: cause.into() });
        vec![Change { endpoint: A, flip }]
    };
    let changed = vec![Change { endpoint: A, flip: None }];
    let nothing = Vec::new();
    let expected = "monitor http: answered as expected";
    let down = "monitor http: connection refused";
    for (step, (case, outcome, observed)) in [
        ("first success", Outcome::Success, flip(Level::Unknown, Level::Up, expected)),
        ("still up", Outcome::Success, nothing.clone()),
        ("a failure shortens the time to a change", refused(), changed.clone()),
        ("the second takes it down", refused(), flip(Level::Up, Level::Down, down)),
        ("still down for the same cause", refused(), nothing),
        (
            "another cause",
            Outcome::failure(CauseKind::Timeout, "timed out after 2s"),
            changed.clone(),
        ),
        ("one success", Outcome::Success, changed),
        ("and up", Outcome::Success, flip(Level::Down, Level::Up, expected)),
    ]
    .into_iter()
    .enumerate()
    {
        let now = Tick(step as u64 * 5000);
        assert_eq!(table.observe(A, HTTP, &outcome, now), observed, "{case}");
    }
    assert_eq!(table.endpoints()[0].since, Tick(35_000));
}

#[test]
fn the_earliest_change_is_that_of_the_monitors_that_matter() {
    let mut fleet = fleet(&["192.0.2.1"], 2);
    fleet.monitors[1].interval = Duration::from_secs(30);
    let mut table = HealthTable::new(&fleet, Tick(0));
    let seconds = |table: &HealthTable| table.endpoints()[0].earliest_change.unwrap().as_secs();
    table.observe(A, PORT, &Outcome::Success, Tick(0));
    assert_eq!(seconds(&table), 0, "unknown: the first result of http may come at once");
    table.observe(A, HTTP, &Outcome::Success, Tick(0));
    assert_eq!(seconds(&table), 10, "up: the quicker monitor");
    for now in [5000, 10_000] {
        table.observe(A, HTTP, &refused(), Tick(now));
    }
    assert_eq!(seconds(&table), 10, "down: the one that is down");
    for now in [30_000, 60_000] {
        table.observe(A, PORT, &refused(), Tick(now));
    }
    assert_eq!(seconds(&table), 60, "down: the slowest of those down");
}

#[test]
fn ids_of_another_fleet_change_nothing() {
    let mut table = HealthTable::new(&fleet(&["192.0.2.1"], 1), Tick(0));
    for (endpoint, monitor) in [(B, HTTP), (A, PORT), (EndpointId(u32::MAX), MonitorId(9))] {
        let observed = table.observe(endpoint, monitor, &refused(), Tick(1));
        assert_eq!(observed, []);
    }
    assert_eq!(level(&table, A), Level::Unknown);
}

#[test]
fn the_first_round_ends_when_every_monitor_has_probed_every_endpoint() {
    let mut table = HealthTable::new(&fleet(&["192.0.2.1", "192.0.2.2"], 2), Tick(0));
    for (endpoint, monitor) in [(A, HTTP), (A, HTTP), (B, PORT), (A, PORT)] {
        table.observe(endpoint, monitor, &Outcome::Success, Tick(1));
        assert!(!table.is_fully_observed());
    }
    table.observe(B, HTTP, &refused(), Tick(2));
    assert!(table.is_fully_observed());
}

#[test]
fn a_reload_keeps_what_is_known_of_unchanged_endpoints() {
    let old_fleet = fleet(&["192.0.2.1", "192.0.2.2"], 1);
    let mut old = HealthTable::new(&old_fleet, Tick(0));
    old.observe(A, HTTP, &Outcome::Success, Tick(1000));
    old.observe(A, HTTP, &refused(), Tick(6000));
    old.observe(B, HTTP, &refused(), Tick(2000));

    let mut new_fleet = fleet(&["192.0.2.2", "192.0.2.3", "192.0.2.1"], 2);
    new_fleet.endpoints[0].weight = 7;
    let mut table = HealthTable::carry_over(&old, &old_fleet, &new_fleet, Tick(9000));
    let machines: Vec<(Verdict, bool)> = table
        .entries()
        .map(|entry| (entry.machine.verdict(), entry.machine.is_observed()))
        .collect();
    let new = (Verdict::Unknown, false);
    let expected = [(Verdict::Down, true), new, new, new, (Verdict::Up, true), new];
    assert_eq!(machines, expected, "endpoint by endpoint: http, then the added port");
    assert_eq!(table.endpoints()[0].since, Tick(2000));
    assert!(!table.is_fully_observed());

    table.observe(EndpointId(2), HTTP, &refused(), Tick(11_000));
    assert_eq!(level(&table, EndpointId(2)), Level::Down, "the failure before the reload counts");
}

#[test]
fn a_changed_monitor_starts_from_the_old_verdict_with_a_clean_slate() {
    let old_fleet = fleet(&["192.0.2.1", "192.0.2.2"], 1);
    let mut old = HealthTable::new(&old_fleet, Tick(0));
    old.observe(A, HTTP, &Outcome::Success, Tick(1000));
    old.observe(A, HTTP, &refused(), Tick(2000));
    old.observe(B, HTTP, &refused(), Tick(1000));
    let mut new_fleet = old_fleet.clone();
    new_fleet.monitors[0].interval = Duration::from_secs(1);
    let mut table = HealthTable::carry_over(&old, &old_fleet, &new_fleet, Tick(3000));
    assert_eq!((level(&table, A), level(&table, B)), (Level::Up, Level::Down));
    table.observe(A, HTTP, &refused(), Tick(4000));
    assert_eq!(level(&table, A), Level::Up, "the failure before the reload does not count");
    assert!(!table.is_fully_observed());

    let mut renamed = old_fleet.clone();
    renamed.monitors[0].name = "other".to_owned();
    let table = HealthTable::carry_over(&old, &old_fleet, &renamed, Tick(3000));
    assert_eq!(level(&table, B), Level::Unknown, "another name is another monitor");
}

#[test]
fn a_restart_starts_from_the_last_known_state() {
    let fleet = fleet(&["192.0.2.1", "192.0.2.2", "2001:db8::3"], 1);
    let mut table = HealthTable::new(&fleet, Tick(0));
    table.observe(A, HTTP, &Outcome::Success, Tick(1000));
    table.observe(B, HTTP, &refused(), Tick(51_000));
    let json = table.save(&fleet, Tick(61_000), 1_800_000_000).to_json().unwrap();
    let saved = SavedHealth::from_json(&json).unwrap();
    assert_eq!((saved.len(), saved.saved_at()), (2, 1_800_000_000), "unknown is not saved");

    let levels = |unix_now| {
        let table = HealthTable::restore(&fleet, &saved, Tick(100_000), unix_now);
        table.endpoints().iter().map(|health| health.level).collect::<Vec<_>>()
    };
    let (known, unknown) = ([Level::Up, Level::Down, Level::Unknown], [Level::Unknown; 3]);
    assert_eq!(levels(1_800_000_000), known, "at once");
    assert_eq!(levels(1_800_003_600), known, "an hour later");
    assert_eq!(levels(1_800_003_601), unknown, "too old");
    assert_eq!(levels(1_799_999_999), unknown, "from the future: the clock was stepped");

    let table = HealthTable::restore(&fleet, &saved, Tick(100_000), 1_800_000_020);
    assert_eq!(table.endpoints()[1].since, Tick(70_000), "down 10 s, then off 20 s");
    assert_eq!(&*table.endpoints()[1].cause, "monitor http: connection refused");
    assert!(!table.is_fully_observed() && !table.is_known(), "nothing of the third");
}

#[test]
fn a_saved_time_beyond_all_clocks_means_since_the_beginning() {
    let fleet = fleet(&["192.0.2.1"], 1);
    let mut table = HealthTable::new(&fleet, Tick(0));
    table.observe(A, HTTP, &Outcome::Success, Tick(1000));
    let json = table.save(&fleet, Tick(8000), 1_800_000_000).to_json().unwrap();
    let json = String::from_utf8(json).unwrap();
    for held in [u64::MAX, u64::MAX / 1000 + 1, 3600] {
        let json = json.replace("\"held_seconds\":7", &format!("\"held_seconds\":{held}"));
        let saved = SavedHealth::from_json(json.as_bytes()).unwrap();
        let table = HealthTable::restore(&fleet, &saved, Tick(5000), 1_800_000_020);
        assert_eq!(table.endpoints()[0].since, Tick(0), "{held}");
        assert_eq!(level(&table, A), Level::Up);
        assert!(table.is_known() && !table.is_fully_observed());
    }
}

#[test]
fn a_supposed_down_is_like_a_true_one() {
    let mut fleet = fleet(&["192.0.2.1", "192.0.2.2"], 2);
    fleet.monitors[0].fall = 5;
    let mut table = HealthTable::new(&fleet, Tick(0));
    for monitor in [HTTP, PORT] {
        for endpoint in [A, B] {
            table.observe(endpoint, monitor, &Outcome::Success, Tick(1000));
        }
    }
    let mut true_one = table.clone();
    for _ in 0..5 {
        for monitor in [HTTP, PORT] {
            true_one.observe(A, monitor, &refused(), Tick(2000));
        }
    }
    table.suppose_down(A, Tick(2000));
    let [supposed, truly] = [&table, &true_one].map(|table| &table.endpoints()[0]);
    assert_eq!(supposed.level, Level::Down);
    assert_eq!(supposed.earliest_change, truly.earliest_change);
    assert_eq!(&*supposed.cause, "monitor http: supposed to be down");
    assert_eq!(table.endpoints()[1], true_one.endpoints()[1]);
    table.suppose_down(EndpointId(9), Tick(2000));
}

#[test]
fn calculated_monitors_follow_from_those_that_are_probed() {
    let (now, up) = (Tick::START, Outcome::Success);
    let down = refused();
    let sum = |name: &str, of: &[u16], threshold: u32, invert: bool| {
        let of = of.iter().map(|id| (MonitorId(*id), 1)).collect();
        let check = Check::Calculated(Calculated { of, threshold, invert });
        Monitor { check, ..monitor(name, 0) }
    };
    let mut fleet = fleet(&["192.0.2.1"], 0);
    fleet.monitors.push(sum("either", &[0, 1], 1, false));
    fleet.monitors.push(sum("not", &[2], 1, true));
    fleet.monitors.push(sum("again", &[3], 1, true));
    fleet.pools[0].monitors = vec![MonitorId(4)];
    let watched: Vec<u16> = fleet.watched(&fleet.pools[0]).iter().map(|id| id.0).collect();
    assert_eq!(watched, [0, 1, 2, 3, 4], "what is calculated comes after what it follows from");
    let mut table = HealthTable::new(&fleet, now);
    let said = |table: &HealthTable| {
        let health = &table.endpoints()[0];
        (health.level, health.cause.to_string())
    };
    assert_eq!(said(&table).0, Level::Unknown);
    table.observe(EndpointId(0), MonitorId(0), &down, now);
    assert_eq!(said(&table).0, Level::Unknown, "the other may be up");
    assert!(!table.is_fully_observed());
    table.observe(EndpointId(0), MonitorId(1), &up, now);
    assert!(table.is_fully_observed(), "nothing more is probed");
    assert_eq!(said(&table).0, Level::Up);
    for _ in 0..2 {
        table.observe(EndpointId(0), MonitorId(1), &down, now + Duration::from_secs(9));
    }
    let cause = "monitor again: up weighs 1, expected less than 1".to_owned();
    assert_eq!(said(&table), (Level::Down, cause));
    assert_eq!(table.endpoints()[0].since, now + Duration::from_secs(9));
    let probed: Vec<Source> = table.entries().map(|entry| entry.source).collect();
    assert_eq!(probed, [HTTP, PORT].map(Source::from));
    let mut table = HealthTable::new(&fleet, now);
    table.suppose_down(EndpointId(0), now);
    assert_eq!(said(&table).0, Level::Down);
}
