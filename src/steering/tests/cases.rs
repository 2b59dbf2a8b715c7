//! Cases, each named by a sentence: who is answered with what.

use super::*;
use crate::health::Resolved;
use crate::model::Fence;
use crate::steering::{Grade, NoData};

const POOL: &[&str] =
    &["ap 192.0.2.1", "br 192.0.2.2", "eu 192.0.2.3", "uk 192.0.2.4", "us 192.0.2.5"];

fn berlin() -> Place {
    client(52.52, 13.4, "DE", Continent::Europe)
}

fn paris() -> Place {
    client(48.86, 2.35, "FR", Continent::Europe)
}

fn boston() -> Place {
    client(42.36, -71.06, "US", Continent::NorthAmerica)
}

fn cairo() -> Place {
    client(30.04, 31.24, "EG", Continent::Africa)
}

/// A client in Boston in the network `office`, which prefers us, then eu.
fn office() -> Place {
    Place { asn: Some(64500), ..boston() }
}

fn fence(by: Fence, strict: bool) -> Method {
    Method::Fence { by, strict }
}

fn banded(tolerance: f64) -> Method {
    Method::Proximity { bias: Vec::new(), tolerance }
}

fn biased(bias: i8) -> Method {
    Method::Proximity { bias: vec![(region("us"), bias)], tolerance: 0.0 }
}

fn nearest(count: u16, tolerance: f64) -> Method {
    Method::Nearest { count, tolerance }
}

fn order(names: &[&str]) -> Method {
    Method::Order { regions: names.iter().map(|name| region(name)).collect() }
}

/// Asserts which regions tie for a client of a pool with one endpoint in each.
#[track_caller]
fn assert_regions(cases: Vec<(&str, Vec<Method>, Place, &str)>) {
    for (what, policy, client, expected) in cases {
        let world = World::new(&[POOL]);
        let decision = world.decide(&service(1, policy), Family::V4, &client);
        let tied = addresses(&decision);
        let names: Vec<&str> = POOL
            .iter()
            .filter_map(|endpoint| endpoint.split_once(' '))
            .filter(|(_, address)| tied.iter().any(|tied| tied == address))
            .map(|(region, _)| region)
            .collect();
        assert_eq!(names.join(" "), expected, "{what}");
        if expected.is_empty() {
            assert_eq!(decision.outcome, Outcome::NoData(NoData::Fenced), "{what}");
        }
    }
}

#[test]
fn distance_and_order_rank_regions() {
    let all = "ap br eu uk us";
    assert_regions(vec![
        ("no method: all tie", vec![], paris(), all),
        ("the nearest region wins", vec![proximity()], berlin(), "eu"),
        ("distance crosses borders", vec![proximity()], paris(), "uk"),
        ("a tolerance ties what is about as far", vec![banded(0.5)], paris(), "eu uk"),
        ("a bias draws clients in", vec![biased(99)], berlin(), "us"),
        ("a negative bias pushes them away", vec![biased(-99)], boston(), "uk"),
        ("a place unknown: distance has no opinion", vec![proximity()], Place::default(), all),
        ("an order", vec![order(&["br", "us"])], berlin(), "br"),
        ("the nearest two", vec![proximity(), nearest(2, 0.0)], boston(), "uk us"),
        ("and what is about as far", vec![proximity(), nearest(2, 0.2)], boston(), "eu uk us"),
        ("first of an order", vec![order(&["br", "us"]), nearest(2, 0.0)], berlin(), "br us"),
    ]);
}

#[test]
fn networks_and_fences_rank_regions() {
    let all = "ap br eu uk us";
    let network = || fence(Fence::Network(NetworkId(0)), true);
    assert_regions(vec![
        ("a network beats distance", vec![Method::Network, proximity()], office(), "us"),
        ("others are not in it", vec![Method::Network, proximity()], berlin(), "eu"),
        ("a country fence", vec![fence(Fence::Country, false)], berlin(), "eu"),
        ("a soft fence around nothing", vec![fence(Fence::Country, false)], cairo(), all),
        ("a strict one", vec![fence(Fence::Continent, true), proximity()], cairo(), ""),
        ("a continent fence", vec![fence(Fence::Continent, true)], paris(), "eu uk"),
        ("a network fence", vec![network()], office(), "eu us"),
        ("a network fence binds its clients only", vec![network()], paris(), all),
    ]);
}

#[test]
fn a_tolerance_is_measured_from_the_nearest_region_that_is_up() {
    // From Paris: uk 344 km, eu 480 km, us 6,180 km; from uk's point of view eu ties at 60 %.
    let mut world = World::new(&[POOL]);
    world.set("192.0.2.4", Level::Down);
    world.set("192.0.2.3", Level::Down);
    let decision = world.decide(&service(1, vec![banded(0.6)]), Family::V4, &paris());
    assert_eq!(addresses(&decision), ["192.0.2.2", "192.0.2.5"], "us, and br within 60 % more");
}

#[test]
fn health_comes_before_every_method() {
    let two =
        &["eu 192.0.2.1", "eu 192.0.2.2", "eu 192.0.2.3", "us 192.0.2.5", "ap 192.0.2.6 0"][..];
    let (up, unknown, down) = (Level::Up, Level::Unknown, Level::Down);
    for (what, levels, expected, grade) in [
        (
            "all up: the near region",
            [up, up, up, up, up],
            &["192.0.2.1", "192.0.2.2", "192.0.2.3"][..],
            Grade::Up,
        ),
        ("one down: the other two", [down, up, up, up, up], &["192.0.2.2", "192.0.2.3"], Grade::Up),
        ("below min_up the region is left", [down, down, up, up, up], &["192.0.2.5"], Grade::Up),
        ("unknown ranks after up", [unknown, unknown, unknown, up, up], &["192.0.2.5"], Grade::Up),
        (
            "unknown within an up region is passed over",
            [up, up, unknown, up, up],
            &["192.0.2.1", "192.0.2.2"],
            Grade::Up,
        ),
        (
            "nothing judged yet: the near region",
            [unknown; 5],
            &["192.0.2.1", "192.0.2.2", "192.0.2.3"],
            Grade::Unknown,
        ),
        (
            "weight 0 stands by until all others are gone",
            [down, down, down, down, up],
            &["192.0.2.6"],
            Grade::StandbyUp,
        ),
        (
            "a standby not judged yet",
            [down, down, down, down, unknown],
            &["192.0.2.6"],
            Grade::StandbyUnknown,
        ),
        (
            "before that what is left of a region",
            [down, down, up, down, down],
            &["192.0.2.3"],
            Grade::WeakUp,
        ),
        (
            "among those the one that is up",
            [up, unknown, down, down, down],
            &["192.0.2.1"],
            Grade::Unknown,
        ),
        (
            "and what may be left",
            [down, down, unknown, down, down],
            &["192.0.2.3"],
            Grade::WeakUnknown,
        ),
    ] {
        let mut world = World::new(&[two]);
        for (health, level) in world.health.iter_mut().zip(levels) {
            health.level = level;
        }
        let decision = world.decide(&service(1, vec![proximity()]), Family::V4, &berlin());
        assert_eq!(addresses(&decision), expected, "{what}");
        assert_eq!(decision.eligible, Some((PoolId(0), grade)), "{what}");
    }
}

#[test]
fn a_share_of_exactly_min_up_is_enough() {
    // 0.28 is no binary fraction: 0.28 × 25 is a little more than 7.
    let pool: Vec<String> = (0..25).map(|n| format!("eu 192.0.2.{n}")).collect();
    let pool: Vec<&str> = pool.iter().map(String::as_str).chain(["us 198.51.100.1"]).collect();
    for (up, answered) in [(7, 7), (6, 1)] {
        let mut world = World::new(&[&pool]);
        world.fleet.pools[0].min_up = 0.28;
        for health in &mut world.health[up..25] {
            health.level = Level::Down;
        }
        let decision = world.decide(&service(1, vec![proximity()]), Family::V4, &berlin());
        assert_eq!(addresses(&decision).len(), answered, "{up} of 25 up");
    }
}

#[test]
fn a_fence_that_tells_no_regions_apart_has_no_opinion() {
    // Clients without an opinion in common share a class, and so a wider scope.
    let world = World::new(&[&["eu 192.0.2.1", "uk 192.0.2.2"]]);
    for (what, client, by, strict) in [
        ("around nothing", cairo(), Fence::Continent, false),
        ("around everything", berlin(), Fence::Continent, false),
        ("that is not known", Place::default(), Fence::Country, true),
    ] {
        let (_, class) = world.contest(&service(1, vec![fence(by, strict)]), &client);
        assert_eq!(*class.opinions, [crate::steering::Opinion::None], "{what}");
    }
}

#[test]
fn the_nearest_regions_count_once_however_many_endpoints_they_have() {
    let world = World::new(&[&["eu 192.0.2.1", "eu 192.0.2.2", "uk 192.0.2.3", "us 192.0.2.4"]]);
    let policy = vec![proximity(), nearest(2, 0.0)];
    let decision = world.decide(&service(1, policy), Family::V4, &berlin());
    assert_eq!(addresses(&decision), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
}

#[test]
fn a_later_pool_serves_only_while_the_earlier_has_no_region_up() {
    let pools = [&["eu 192.0.2.1", "us 192.0.2.2"][..], &["eu 198.51.100.1"]];
    let (up, unknown, down) = (Level::Up, Level::Unknown, Level::Down);
    for (what, levels, expected) in [
        ("all up", [up, up, up], "192.0.2.1"),
        ("the first pool's far region before the second pool", [down, up, up], "192.0.2.2"),
        ("the first pool gone", [down, down, up], "198.51.100.1"),
        (
            "an unknown first pool is not passed over at a restart",
            [unknown, unknown, up],
            "192.0.2.1",
        ),
    ] {
        let mut world = World::new(&pools);
        for (health, level) in world.health.iter_mut().zip(levels) {
            health.level = level;
        }
        let decision = world.decide(&service(2, vec![proximity()]), Family::V4, &berlin());
        assert_eq!(addresses(&decision), [expected], "{what}");
    }
    // A region below its `min_up` counts as down, but is better than nothing.
    let mut world = World::new(&[&["eu 192.0.2.1 30", "eu 192.0.2.2 70"], &["us 198.51.100.1"]]);
    world.set("192.0.2.2", Level::Down);
    let two = service(2, vec![proximity()]);
    assert_eq!(addresses(&world.decide(&two, Family::V4, &berlin())), ["198.51.100.1"]);
    world.set("198.51.100.1", Level::Down);
    assert_eq!(addresses(&world.decide(&two, Family::V4, &berlin())), ["192.0.2.1"]);
}

#[test]
fn all_down_follows_the_rule_of_the_service() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let fixed = AllDown::Address(vec![ip("203.0.113.1"), ip("2001:db8::9")]);
    for (rule, last_good, expected) in [
        (AllDown::All, "", Ok(&["192.0.2.1", "192.0.2.2", "192.0.2.3"][..])),
        (AllDown::First, "", Ok(&["192.0.2.1", "192.0.2.2"])),
        (AllDown::LastGood, "192.0.2.3", Ok(&["192.0.2.3"])),
        (AllDown::LastGood, "192.0.2.3 192.0.2.2", Ok(&["192.0.2.2"])),
        (AllDown::LastGood, "", Ok(&["192.0.2.1", "192.0.2.2", "192.0.2.3"])),
        (fixed, "", Ok(&["203.0.113.1"])),
        (
            AllDown::Cname(name("status.example.net")),
            "",
            Err(Outcome::Cname(name("status.example.net"))),
        ),
        (AllDown::NoData, "", Err(Outcome::NoData(NoData::AllDown))),
        (AllDown::ServFail, "", Err(Outcome::ServFail)),
    ] {
        let mut world = World::new(&[&["eu 192.0.2.1", "eu 192.0.2.2", "us 192.0.2.3"]]);
        world.health.iter_mut().for_each(|health| health.level = Level::Down);
        world.last_good = last_good.split_whitespace().map(|good| world.id(good)).collect();
        let service = Service { all_down: rule.clone(), ..service(1, vec![proximity()]) };
        let decision = world.decide(&service, Family::V4, &berlin());
        assert_eq!(decision.ttl, Duration::from_secs(5), "{rule:?}");
        match expected {
            Ok(expected) => assert_eq!(addresses(&decision), expected, "{rule:?}"),
            Err(expected) => assert_eq!(decision.outcome, expected, "{rule:?}"),
        }
    }
}

#[test]
fn a_direct_name_answers_all_of_one_region_whatever_its_health() {
    let pools = [&["eu 192.0.2.1", "eu 192.0.2.2 0", "eu 2001:db8::1", "us 192.0.2.3"][..]];
    let mut world = World::new(&pools);
    world.health[0] = healthy(Level::Down, Some(7));
    let rotate = service(1, vec![Method::Rotate]);
    let direct = |name| Service { answers: None, only: Some(region(name)), ..rotate.clone() };
    let max = Duration::from_secs(30);
    for (only, family, expected) in [
        ("eu", Family::V4, &["192.0.2.1", "192.0.2.2"][..]),
        ("eu", Family::V6, &["2001:db8::1"]),
        ("us", Family::V4, &["192.0.2.3"]),
    ] {
        let decision = world.decide(&direct(only), family, &berlin());
        assert_eq!(addresses(&decision), expected, "{only}");
        assert_eq!(decision.eligible, Some((PoolId(0), Grade::Direct)), "{only}");
        assert_eq!(decision.ttl, max, "health changes nothing");
    }
    let decision = world.decide(&direct("us"), Family::V6, &berlin());
    assert_eq!(decision.outcome, Outcome::NoData(NoData::Family));
    let none = World::new(&[&["us lb.example.net"]]);
    let decision = none.decide(&direct("us"), Family::V4, &berlin());
    assert_eq!(decision.outcome, Outcome::ServFail, "what was never looked up is not denied");
}

#[test]
fn a_family_without_endpoints_is_nodata_and_never_the_other_family() {
    let world = World::new(&[&["eu 192.0.2.1", "us 2001:db8::1"]]);
    let service = service(1, vec![proximity()]);
    assert_eq!(addresses(&world.decide(&service, Family::V6, &berlin())), ["2001:db8::1"]);
    assert_eq!(addresses(&world.decide(&service, Family::V4, &berlin())), ["192.0.2.1"]);
    let only_v4 = World::new(&[&["eu 192.0.2.1"]]);
    let decision = only_v4.decide(&service, Family::V6, &berlin());
    assert_eq!(decision.outcome, Outcome::NoData(NoData::Family));
    assert_eq!(decision.ttl, Duration::from_secs(30), "it will not change by itself");
}

#[test]
fn hostnames_are_aliases_alone_and_addresses_beside_others() {
    let mut alone = World::new(&[&["eu lb.example.net", "us lb2.example.net"]]);
    let www = service(1, vec![proximity()]);
    assert_eq!(addresses(&alone.decide(&www, Family::V6, &berlin())), ["lb.example.net."]);

    let mut mixed = World::new(&[&["eu lb.example.net", "us 192.0.2.1"]]);
    let decision = mixed.decide(&www, Family::V4, &berlin());
    assert_eq!(addresses(&decision), ["192.0.2.1"], "not resolved yet: what else there is");
    let resolved =
        Resolved { v4: vec![[192, 0, 2, 7].into(), [192, 0, 2, 8].into()], ..Resolved::default() };
    mixed.hosts.insert(name("lb.example.net"), resolved.clone());
    let decision = mixed.decide(&www, Family::V4, &berlin());
    assert_eq!(addresses(&decision), ["192.0.2.7", "192.0.2.8"]);

    // Nor can several aliases stand side by side.
    let several = Service { answers: Some(2), ..service(1, vec![proximity()]) };
    assert!(!Contest::new(&several, &alone.fleet, true).is_alias());

    // At the apex an alias is impossible (RFC 1034 section 3.6.2).
    let contest = Contest::new(&www, &alone.fleet, false);
    let class = contest.class(&contest.opinions(&berlin(), None, &[], &alone.fleet));
    let unresolved = contest.decide(&class, Family::V4, &alone.view());
    assert_eq!(unresolved.outcome, Outcome::ServFail, "denying what was never looked up is wrong");
    let failed = Resolved { failure: Some("timed out".into()), ..Resolved::default() };
    alone.hosts.insert(name("lb.example.net"), failed.clone());
    alone.hosts.insert(name("lb2.example.net"), failed);
    let failed = contest.decide(&class, Family::V4, &alone.view());
    assert_eq!(failed.outcome, Outcome::ServFail, "nor did a failed look-up find nothing");
    alone.hosts.insert(name("lb.example.net"), resolved);
    let decision = contest.decide(&class, Family::V4, &alone.view());
    assert_eq!(addresses(&decision), ["192.0.2.7", "192.0.2.8"]);
}

#[test]
fn the_ttl_of_a_hostnames_addresses_is_no_longer_than_theirs() {
    let pool = ["eu lb.example.net", "us 192.0.2.1"];
    let resolved = |ttl| Resolved {
        v4: vec![[192, 0, 2, 7].into()],
        ttl: Some(Duration::from_secs(ttl)),
        ..Resolved::default()
    };
    for (what, ttl, client, expected) in [
        ("theirs", 12, berlin(), 12),
        ("never below the lower bound", 2, berlin(), 5),
        ("never above the upper bound", 60, berlin(), 30),
        ("not where another endpoint is answered", 12, boston(), 30),
    ] {
        let mut world = World::new(&[&pool]);
        world.hosts.insert(name("lb.example.net"), resolved(ttl));
        let decision = world.decide(&service(1, vec![proximity()]), Family::V4, &client);
        assert_eq!(decision.ttl, Duration::from_secs(expected), "{what}");
    }
    // A resolver looks up the target of an alias by itself.
    let mut world = World::new(&[&pool[..1]]);
    world.hosts.insert(name("lb.example.net"), resolved(12));
    let decision = world.decide(&service(1, vec![proximity()]), Family::V4, &berlin());
    assert_eq!(decision.ttl, Duration::from_secs(30), "an alias");
}

#[test]
fn the_ttl_is_the_time_to_the_first_change_that_matters() {
    let pool = &["eu 192.0.2.1", "us 192.0.2.2", "ap 192.0.2.3"][..];
    for (what, changes, levels, expected) in [
        ("no monitor: the upper bound", [None, None, None], [Level::Up; 3], 30),
        ("the answered endpoint's", [Some(12), Some(9), None], [Level::Up; 3], 12),
        ("never below the lower bound", [Some(1), None, None], [Level::Up; 3], 5),
        ("never above the upper bound", [Some(90), None, None], [Level::Up; 3], 30),
        (
            "a nearer one coming back counts",
            [Some(8), Some(20), Some(6)],
            [Level::Down, Level::Up, Level::Up],
            8,
        ),
    ] {
        let mut world = World::new(&[pool]);
        for ((health, change), level) in world.health.iter_mut().zip(changes).zip(levels) {
            *health = healthy(level, change);
        }
        let decision = world.decide(&service(1, vec![proximity()]), Family::V4, &berlin());
        assert_eq!(decision.ttl, Duration::from_secs(expected), "{what}");
    }
    // All regions that are answered count, however they were ranked before they were tied.
    let mut world = World::new(&[pool]);
    world.health[1] = healthy(Level::Up, Some(7));
    let two = service(1, vec![proximity(), nearest(2, 0.0)]);
    assert_eq!(world.decide(&two, Family::V4, &berlin()).ttl, Duration::from_secs(7));
    // The earlier pools count: one that comes back takes over.
    let mut world = World::new(&[&["eu 192.0.2.1"], &["eu 198.51.100.1"]]);
    world.health[0] = healthy(Level::Down, Some(6));
    let decision = world.decide(&service(2, vec![proximity()]), Family::V4, &berlin());
    assert_eq!(decision.ttl, Duration::from_secs(6));
    assert_eq!(addresses(&decision), ["198.51.100.1"]);
}
