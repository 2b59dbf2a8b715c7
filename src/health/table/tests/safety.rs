//! Too much at once: floods of failures, ill probers, flappers.

use proptest::prelude::*;

use super::peers::{World, fleet_of};
use super::*;
use crate::health::{Mode, Standing};

const FOUR: [&str; 4] = ["eu", "us", "ap", "br"];

/// Ten endpoints in one pool, watched by three regions that all say up.
fn ten() -> World {
    let addresses: Vec<String> = (1..=10).map(|n| format!("192.0.2.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut fleet = fleet(&addresses, 1);
    fleet.regions = fleet_of(&["eu", "us", "ap"]).regions;
    let mut world = World::over(fleet);
    for endpoint in 0..10 {
        world.all_say(endpoint, Verdict::Up);
    }
    world
}

fn down(world: &World) -> usize {
    world.levels().iter().filter(|level| **level == Level::Down).count()
}

#[test]
fn checks_that_flap_and_pull_capacity_velocity_limit_holds() {
    let mut world = ten();
    for endpoint in 0..10 {
        for region in [1, 2] {
            world.say(region, endpoint, Verdict::Down);
        }
    }
    assert_eq!(down(&world), 5, "half of it at once");
    let held = "held up by max_removed: monitor http: timeout (down in 2 of 3 regions)";
    assert_eq!(world.cause(7), held);
    for endpoint in [7, 8] {
        world.say(2, endpoint, Verdict::Up);
    }
    world.pass(4999);
    assert_eq!(down(&world), 5);
    let changes = world.pass(1);
    assert_eq!(down(&world), 8, "the rest in the next interval, if it is still down");
    assert_eq!(changes.iter().filter(|change| change.flip.is_some()).count(), 3);
    for endpoint in 0..10 {
        world.all_say(endpoint, Verdict::Up);
    }
    assert_eq!(down(&world), 0);
}

#[test]
fn what_all_regions_agree_on_falls_at_once() {
    let mut world = ten();
    for endpoint in 0..10 {
        world.all_say(endpoint, Verdict::Down);
    }
    // The two that decide speak before the third makes it unanimous.
    assert_eq!(down(&world), 10);
    let mut alone = World::over(fleet(&["192.0.2.1", "192.0.2.2"], 1));
    for endpoint in [0, 1] {
        alone.say(0, endpoint, Verdict::Up);
        alone.say(0, endpoint, Verdict::Down);
    }
    assert_eq!(down(&alone), 2, "a sole vantage is unanimous");
}

#[test]
fn a_pool_of_one_falls_an_interval_later() {
    let mut world = World::all_up(&FOUR[..3]);
    let mut fleet = fleet_of(&FOUR[..3]);
    fleet.endpoints.truncate(1);
    fleet.pools[0].endpoints = 0..1;
    world.table = HealthTable::carry_over(&world.table, &world.fleet, &fleet, world.now);
    world.fleet = fleet;
    for region in [1, 2] {
        world.say(region, 0, Verdict::Down);
    }
    assert_eq!(world.levels(), [Level::Up]);
    world.pass(5000);
    assert_eq!(world.levels(), [Level::Down], "held for ever it would be a dead end");
}

/// Every second endpoint of these regions is this node's own region's.
fn blackholed(regions: &[&str]) -> World {
    let mut world = World::all_up(regions);
    world.pass(10_000);
    for endpoint in 0..regions.len() {
        world.say(0, endpoint, Verdict::Down);
    }
    world
}

#[test]
fn a_prober_that_sees_everything_fail_says_so_and_nothing_changes() {
    let mut world = blackholed(&FOUR);
    assert!(world.table.local_votes(world.now).impaired);
    assert_eq!(world.levels(), [Level::Up; 4]);
    assert_eq!(world.table.council().mode, Mode::Live, "three other regions vote");
    world.say(1, 0, Verdict::Down);
    assert_eq!(world.levels()[0], Level::Up, "its view makes no majority with another's");
    for endpoint in 0..3 {
        world.say(0, endpoint, Verdict::Up);
    }
    assert!(!world.table.local_votes(world.now).impaired, "one of four fails");
}

#[test]
fn a_lone_prober_that_sees_everything_fail_goes_on_judging() {
    let mut world = World::all_up(&FOUR);
    for region in 1..4 {
        world.stand(region, Standing::Dead);
    }
    world.pass(3_600_000);
    for endpoint in 0..4 {
        world.say(0, endpoint, Verdict::Down);
    }
    assert_eq!(world.levels(), [Level::Down; 4], "which the rule for all down answers");
    let told = world.table.local_votes(world.now);
    assert!(!told.impaired && world.table.council().suspect, "it is only told");
}

/// Each node of a fleet loses its sight at once: none finds the others healthy, none has a vote.
#[test]
fn every_edge_believes_it_is_unhealthy_all_keep_answering() {
    for cut_off in [false, true] {
        let mut world = blackholed(&FOUR);
        for region in 1..4 {
            world.stand(region, if cut_off { Standing::Dead } else { Standing::Impaired });
        }
        assert_eq!(world.table.council().mode, Mode::Isolated);
        assert!(world.levels().iter().all(|level| *level < Level::Down), "{:?}", world.levels());
        for region in 1..4 {
            world.stand(region, Standing::Live);
        }
        for endpoint in 0..4 {
            world.all_say(endpoint, Verdict::Up);
        }
        assert_eq!(world.levels(), [Level::Up; 4]);
    }
}

#[test]
fn probers_of_many_regions_lost_at_once_are_no_reason_to_remove_anything() {
    let mut world = World::all_up(&["eu", "us", "ap", "br", "za"]);
    for region in [3, 4] {
        world.stand(region, Standing::Dead);
    }
    assert_eq!(world.table.council().mode, Mode::Degraded);
    for region in 0..3 {
        world.say(region, 4, Verdict::Down);
    }
    assert_eq!(world.levels()[4], Level::Up, "the ways between the nodes may be at fault");
    world.pass(30_000);
    assert_eq!(world.levels()[4], Level::Down, "they had their time");
}

/// What three regions see of an endpoint that goes up and down, each a little later than the one
/// before, and the times at which the answer changed.
fn waves(half_periods_ms: (u64, u64), phase: u64, interval: u64, seed: u64) -> Vec<(u64, Level)> {
    let mut fleet = fleet_of(&["eu", "us", "ap"]);
    let rules = &mut fleet.monitors[0];
    rules.interval = Duration::from_millis(interval);
    rules.hold_down = Duration::from_secs(10);
    let mut world = World::over(fleet);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut machines = [0, 1, 2].map(|_| Machine::new(Tick(0)));
    let rules = Rules::from(&world.fleet.monitors[0]);
    let mut next = [0, 1, 2].map(|_| 1000 + random.u64(0..interval));
    let mut changes = Vec::new();
    let mut note = |world: &World, changed: Vec<Change>| {
        let flips = changed.into_iter().filter(|change| change.endpoint == A);
        changes.extend(flips.filter_map(|change| Some((world.now.0, change.flip?.to))));
    };
    while world.now.0 < 1_200_000 {
        let region = (0..3).min_by_key(|region| next[*region]).unwrap();
        let now = next[region];
        next[region] += random.u64(interval * 9 / 10..=interval * 11 / 10);
        let changed = world.pass(now.saturating_sub(world.now.0));
        note(&world, changed);
        let (up, down) = half_periods_ms;
        let answers = (now + phase * region as u64) % (up + down) < up;
        let outcome = if answers { Outcome::Success } else { refused() };
        let changed = if region == 0 {
            world.table.observe(A, HTTP, &outcome, world.now)
        } else if machines[region].observe(&rules, &outcome, world.now) {
            world.say(region, 0, machines[region].verdict())
        } else {
            Vec::new()
        };
        note(&world, changed);
    }
    // The first verdicts are no flapping.
    changes.retain(|(at, _)| *at > 1000 + 3 * interval);
    changes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Half periods of 10 ms to 9 s: 0.1 to 10 Hz at any duty.
    #[test]
    fn a_flapper_seen_from_three_regions_changes_the_answer_at_most_twice_a_minute(
        up in 10_u64..9_000, down in 10_u64..9_000, phase in 0_u64..9_000,
        interval in 500_u64..10_000, seed: u64,
    ) {
        let changes = waves((up, down), phase, interval, seed);
        prop_assert!(changes.len() <= 2 * 20 + 1, "{changes:?}");
        let ups: Vec<u64> = changes.iter().filter(|c| c.1 == Level::Up).map(|c| c.0).collect();
        for pair in ups.windows(2) {
            prop_assert!(pair[1] - pair[0] >= 60_000, "two comebacks within a minute: {changes:?}");
        }
    }
}
