//! Endpoints that depend on a pool in their region.

use super::*;
use crate::health::{Action, Forced};

/// The place of an endpoint of `proxy`, which depends on `api` in its region.
const PROXY: EndpointId = EndpointId(0);
/// The place of an endpoint of `entry`, which depends on `proxy`.
const ENTRY: EndpointId = EndpointId(1);
/// The first of the endpoints of `api`; there are two here, and one in the other region.
const API: EndpointId = EndpointId(2);

/// Three pools that stand on each other, in the order that is worst for whoever goes through once;
/// only `api` is probed.
fn chain() -> Fleet {
    let mut fleet = fleet(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"], 0);
    fleet.regions.push(Region { name: "south".to_owned(), ..fleet.regions[0].clone() });
    let pool = |name: &str, monitors: &[MonitorId], endpoints| Pool {
        name: name.to_owned(),
        monitors: monitors.to_vec(),
        min_up: 0.5,
        capacity: Vec::new(),
        endpoints,
    };
    fleet.pools =
        vec![pool("proxy", &[], 0..1), pool("entry", &[], 1..2), pool("api", &[HTTP], 2..5)];
    let pools = [0, 1, 2, 2, 2].map(PoolId);
    for (endpoint, pool) in fleet.endpoints.iter_mut().zip(pools) {
        endpoint.pool = pool;
    }
    fleet.endpoints[0].depends_on = vec![PoolId(2)];
    fleet.endpoints[1].depends_on = vec![PoolId(0)];
    fleet.endpoints[4].region = RegionId(1);
    fleet.safety.max_removed = 1.0;
    fleet
}

fn all(table: &mut HealthTable, endpoints: std::ops::Range<u32>, outcome: &Outcome, now: Tick) {
    for endpoint in endpoints.map(EndpointId) {
        table.observe(endpoint, HTTP, outcome, now);
        table.observe(endpoint, HTTP, outcome, now);
    }
}

/// Cause of an endpoint's level.
fn cause(table: &HealthTable, endpoint: EndpointId) -> &str {
    &table.endpoints()[endpoint.0 as usize].cause
}

#[test]
fn an_endpoint_is_no_better_than_what_it_depends_on() {
    let mut table = HealthTable::new(&chain(), Tick(0));
    assert_eq!([PROXY, ENTRY].map(|id| level(&table, id)), [Level::Unknown; 2]);
    let said = "pool api is not known to be up here: monitor http: not probed yet";
    assert_eq!(cause(&table, PROXY), said);

    all(&mut table, 2..4, &Outcome::Success, Tick(1000));
    assert_eq!([PROXY, ENTRY].map(|id| level(&table, id)), [Level::Up; 2]);
    assert_eq!(cause(&table, PROXY), "no monitors");
    all(&mut table, 2..3, &refused(), Tick(2000));
    assert_eq!(level(&table, PROXY), Level::Up, "half of the weight is `min_up`");

    let before = [2, 3].map(|_| refused());
    let mut changes = Vec::new();
    for outcome in &before {
        changes.extend(table.observe(EndpointId(3), HTTP, outcome, Tick(3000)));
    }
    let flipped: Vec<_> = changes.iter().filter(|c| c.flip.is_some()).map(|c| c.endpoint).collect();
    assert_eq!(flipped, [EndpointId(3), PROXY, ENTRY]);
    let said = "pool proxy is down here: pool api is down here: monitor http: connection refused";
    assert_eq!((level(&table, ENTRY), cause(&table, ENTRY)), (Level::Down, said));

    // The first fall within a while is not held down; one endpoint is enough to come back.
    all(&mut table, 3..4, &Outcome::Success, Tick(400_000));
    assert_eq!([PROXY, ENTRY].map(|id| level(&table, id)), [Level::Up; 2]);
}

#[test]
fn another_region_changes_nothing() {
    let mut table = HealthTable::new(&chain(), Tick(0));
    all(&mut table, 2..5, &Outcome::Success, Tick(1000));
    all(&mut table, 4..5, &refused(), Tick(2000));
    assert_eq!(level(&table, EndpointId(4)), Level::Down);
    assert_eq!(level(&table, PROXY), Level::Up);
}

/// A name, overrides by endpoint, and the levels of both dependents that follow.
type Act<'a> = (&'a str, [Option<Forced>; 4], [Level; 2]);

#[test]
fn overrides_hold_for_what_stands_on_them_and_an_override_there_wins() {
    let mut table = HealthTable::new(&chain(), Tick(0));
    all(&mut table, 2..5, &Outcome::Success, Tick(1000));
    let forced = |action| Some(Forced { action, words: "by ann".into() });
    let drain = || forced(Action::Drain);
    let cases: [Act<'_>; 4] = [
        ("drained", [None, None, drain(), drain()], [Level::Drained; 2]),
        ("one of two drained", [None, None, drain(), None], [Level::Up; 2]),
        ("down", [None, None, forced(Action::Down), forced(Action::Down)], [Level::Down; 2]),
        (
            "down, and the proxy forced up",
            [forced(Action::Up), None, forced(Action::Down), forced(Action::Down)],
            [Level::Up; 2],
        ),
    ];
    let mut now = Tick(2000);
    for (case, set, levels) in cases {
        // Long enough apart for nothing to be held down.
        now = now + Duration::from_secs(3600);
        table.set_overrides(&[], now);
        assert_eq!([PROXY, ENTRY].map(|id| level(&table, id)), [Level::Up; 2], "before: {case}");
        now = now + Duration::from_secs(3600);
        table.set_overrides(&set, now);
        assert_eq!([PROXY, ENTRY].map(|id| level(&table, id)), levels, "{case}");
    }
}

#[test]
fn what_it_needs_outlasts_a_reload_and_a_restart() {
    let fleet = chain();
    let mut table = HealthTable::new(&fleet, Tick(0));
    all(&mut table, 2..5, &refused(), Tick(1000));
    assert_eq!(level(&table, ENTRY), Level::Down);
    let carried = HealthTable::carry_over(&table, &fleet, &fleet, Tick(2000));
    assert_eq!(carried.endpoints(), table.endpoints());
    let saved = table.save(&fleet, Tick(2000), 100);
    let restored = HealthTable::restore(&fleet, &saved, Tick(500), 101);
    assert_eq!([PROXY, ENTRY].map(|id| level(&restored, id)), [Level::Down; 2]);
}

#[test]
fn a_supposed_failure_takes_along_what_depends_on_it() {
    let mut table = HealthTable::new(&chain(), Tick(0));
    all(&mut table, 2..5, &Outcome::Success, Tick(1000));
    table.suppose_down(API, Tick(2000));
    assert_eq!(level(&table, PROXY), Level::Up);
    table.suppose_down(EndpointId(3), Tick(2000));
    assert_eq!([PROXY, ENTRY].map(|id| level(&table, id)), [Level::Down; 2]);
}

#[test]
fn who_goes_down_with_a_need_comes_back_with_it_however_soon() {
    let mut fleet = chain();
    fleet.pools[0].monitors = vec![HTTP];
    fleet.monitors[0].hold_down = Duration::from_secs(10);
    let mut table = HealthTable::new(&fleet, Tick(0));
    all(&mut table, 0..1, &Outcome::Success, Tick(1_000));
    all(&mut table, 2..4, &Outcome::Success, Tick(1_000));
    let forced = |at: usize| {
        let taken = [2, 3].contains(&at);
        taken.then(|| Forced { action: Action::Down, words: "by alice".into() })
    };
    let forced: Vec<Option<Forced>> = (0..5).map(forced).collect();
    for round in 1..4 {
        table.set_overrides(&forced, Tick(round * 10_000));
        assert_eq!(level(&table, PROXY), Level::Down, "{round}");
        table.set_overrides(&[], Tick(round * 10_000 + 3_000));
        assert_eq!(level(&table, PROXY), Level::Up, "{round}: {}", cause(&table, PROXY));
    }
    // A flip of its own so soon after is one of a flapper.
    all(&mut table, 0..1, &refused(), Tick(40_000));
    all(&mut table, 0..1, &Outcome::Success, Tick(45_000));
    assert_eq!(level(&table, PROXY), Level::Down);
}
