//! Regions that come back, and endpoints that are drained.

use super::*;
use crate::steering::{FULL, Grade, Presence};

/// A near region and two farther ones for a client in Paris.
const POOL: &[&str] =
    &["eu 192.0.2.1", "eu 192.0.2.2", "us 198.51.100.1", "us 198.51.100.2 300", "ap 203.0.113.1 0"];

fn paris() -> Place {
    client(48.85, 2.35, "FR", Continent::Europe)
}

fn decide(world: &World) -> Decision {
    world.decide(&service(1, vec![proximity()]), Family::V4, &paris())
}

/// The answered addresses with their shares in per cent.
fn shares(decision: &Decision) -> Vec<(String, u64)> {
    let Outcome::Tied(tied) = &decision.outcome else { return Vec::new() };
    let total: u64 = tied.iter().map(|candidate| candidate.weight).sum();
    let percent = |weight: u64| ((weight as f64) * 100.0 / (total as f64)).round() as u64;
    tied.iter().map(|candidate| (target(candidate), percent(candidate.weight))).collect()
}

#[test]
fn a_region_that_waits_ranks_after_standbys_and_before_weak_ones() {
    let mut world = World::new(&[POOL]);
    // In the order of the regions: ap, eu, us.
    world.shares = vec![FULL, 0, FULL];
    let decision = decide(&world);
    assert_eq!(addresses(&decision), ["198.51.100.1", "198.51.100.2"]);
    for address in ["198.51.100.1", "198.51.100.2"] {
        world.set(address, Level::Down);
    }
    assert_eq!(addresses(&decide(&world)), ["203.0.113.1"], "a standby region");
    world.set("203.0.113.1", Level::Down);
    let decision = decide(&world);
    assert_eq!(addresses(&decision), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(decision.eligible.map(|(_, grade)| grade), Some(Grade::Returning));
}

#[test]
fn a_region_takes_over_bit_by_bit_from_those_that_stand_in_for_it() {
    let mut world = World::new(&[POOL]);
    for (part, near, far) in [(2, 10, (20, 60)), (6, 30, (10, 30)), (8, 40, (5, 15))] {
        world.shares = vec![FULL, part, FULL];
        let expected = [
            ("192.0.2.1", near),
            ("192.0.2.2", near),
            ("198.51.100.1", far.0),
            ("198.51.100.2", far.1),
        ];
        let expected = expected.map(|(address, share)| (address.to_owned(), share));
        assert_eq!(shares(&decide(&world)), expected, "{part} of {FULL}");
    }
    for address in ["198.51.100.1", "198.51.100.2", "203.0.113.1"] {
        world.set(address, Level::Down);
    }
    let all = [("192.0.2.1".to_owned(), 50), ("192.0.2.2".to_owned(), 50)];
    assert_eq!(shares(&decide(&world)), all, "nothing stands in for it");
    let mut tied = World::new(&[&["eu 192.0.2.1", "us 198.51.100.1"]]);
    tied.shares = vec![5, FULL];
    let decision = tied.decide(&service(1, vec![]), Family::V4, &paris());
    let expected = [("192.0.2.1".to_owned(), 25), ("198.51.100.1".to_owned(), 75)];
    assert_eq!(shares(&decision), expected, "half of its half");
}

#[test]
fn what_is_drained_is_answered_when_nothing_else_is_left() {
    let (up, unknown, drained, down) = (Level::Up, Level::Unknown, Level::Drained, Level::Down);
    let pool = &["eu 192.0.2.1", "eu 192.0.2.2", "us 198.51.100.1", "us 198.51.100.2 0"];
    for (case, levels, expected) in [
        ("one of two", [drained, up, up, up], &["192.0.2.2"][..]),
        ("a region", [drained, drained, up, up], &["198.51.100.1"]),
        ("a region, and the other is in doubt", [drained, drained, unknown, up], &["198.51.100.1"]),
        ("all but a standby", [drained, drained, drained, up], &["198.51.100.2"]),
        ("all but one below min_up", [drained, drained, down, down], &["192.0.2.1", "192.0.2.2"]),
        ("all", [drained; 4], &["192.0.2.1", "192.0.2.2"]),
        ("all that is left", [down, down, down, drained], &["198.51.100.2"]),
    ] {
        let mut world = World::new(&[pool]);
        for (health, level) in world.health.iter_mut().zip(levels) {
            health.level = level;
        }
        assert_eq!(addresses(&decide(&world)), expected, "{case}");
    }
    let mut world = World::new(&[&["eu 192.0.2.1"], &["us 198.51.100.1"]]);
    world.set("192.0.2.1", drained);
    let two = service(2, vec![proximity()]);
    let decision = world.decide(&two, Family::V4, &paris());
    assert_eq!(addresses(&decision), ["198.51.100.1"], "the next pool comes before");
}

#[test]
fn a_region_is_gone_below_min_up_and_back_at_it() {
    let contest = |world: &World| Contest::new(&service(1, vec![]), &world.fleet, true);
    let pool = &["eu 192.0.2.1", "eu 192.0.2.2", "eu 192.0.2.3 0", "us 198.51.100.1 0"];
    let (up, unknown, down) = (Level::Up, Level::Unknown, Level::Down);
    for (case, levels, expected) in [
        ("all of it", [up, up, up], Presence::Here),
        ("half of it", [up, down, down], Presence::Here),
        ("half of it is not known to be down", [unknown, down, up], Presence::Doubtful),
        ("its standby alone", [down, down, up], Presence::Gone),
        ("drained", [Level::Drained, Level::Drained, up], Presence::Gone),
    ] {
        let mut world = World::new(&[pool]);
        for (health, level) in world.health.iter_mut().zip(levels) {
            health.level = level;
        }
        assert_eq!(contest(&world).presence(0, &world.view()), expected, "{case}");
        assert_eq!(contest(&world).presence(1, &world.view()), Presence::Here, "a standby region");
    }
    let mut world = World::new(&[pool]);
    world.health[0].is_forced_up = true;
    assert_eq!(contest(&world).presence(0, &world.view()), Presence::Forced);
}
