//! Proxied requests as a witness beside probes.

use super::peers::{World, fleet_of};
use super::*;
use crate::health::{PeerEvent, Prober, Vote};

fn subject(world: &World, endpoint: usize) -> Subject {
    Subject::of_traffic(&EndpointIdentity::of(&world.fleet, &world.fleet.endpoints[endpoint]))
}

/// Takes in so many seconds of the requests of an endpoint.
fn seconds(world: &mut World, endpoint: usize, outcome: &Outcome, count: usize) {
    let subject = subject(world, endpoint);
    for _ in 0..count {
        world.now = world.now + Duration::from_secs(1);
        world.table.proxied(subject, outcome, world.now);
    }
}

fn failing() -> Outcome {
    Outcome::failure(CauseKind::Status, "most requests fail: error status")
}

#[test]
fn a_region_decides_alone_on_the_requests_of_its_own_endpoints() {
    let mut world = World::all_up(&["eu", "us", "ap"]);
    seconds(&mut world, 0, &failing(), 4);
    assert_eq!(world.levels()[0], Level::Up, "a few bad seconds");
    seconds(&mut world, 0, &failing(), 1);
    assert_eq!(world.levels()[0], Level::Down);
    let health = &world.table.endpoints()[0];
    let cause = "proxied traffic: most requests fail: error status";
    assert_eq!((&*health.cause, health.is_down_by_traffic), (cause, true));
    seconds(&mut world, 0, &Outcome::Success, 5);
    assert_eq!(world.levels()[0], Level::Up);
}

#[test]
fn requests_that_come_from_elsewhere_take_nothing_down() {
    let mut world = World::all_up(&["eu", "us", "ap"]);
    seconds(&mut world, 1, &failing(), 20);
    assert_eq!(world.levels()[1], Level::Up, "the way there may be what is broken");
    // The region itself says so, too.
    let vote = Vote {
        subject: subject(&world, 1),
        verdict: Verdict::Down,
        kind: Some(CauseKind::Status),
        held: Duration::ZERO,
    };
    let prober = Prober { node: "us-1".into(), region: "us".into() };
    world.event(&PeerEvent::Votes { prober, votes: vec![vote] });
    assert_eq!(world.levels()[1], Level::Down);
}

#[test]
fn what_is_on_trial_is_what_its_monitors_say() {
    let mut world = World::over(fleet_of(&["eu"]));
    world.say(0, 0, Verdict::Up);
    seconds(&mut world, 0, &failing(), 6);
    assert_eq!(world.levels()[0], Level::Down);
    seconds(&mut world, 0, &Outcome::Unknown("on trial after an ejection".into()), 1);
    assert_eq!(world.levels()[0], Level::Up);
    seconds(&mut world, 0, &failing(), 4);
    assert_eq!(world.levels()[0], Level::Up, "it begins anew");
    world.say(0, 0, Verdict::Down);
    seconds(&mut world, 0, &failing(), 1);
    let health = &world.table.endpoints()[0];
    assert_eq!((health.level, health.is_down_by_traffic), (Level::Down, false));
}

#[test]
fn without_monitors_requests_take_nothing_down() {
    let mut fleet = fleet_of(&["eu"]);
    fleet.pools[0].monitors.clear();
    let mut world = World::over(fleet);
    seconds(&mut world, 0, &failing(), 20);
    assert_eq!(world.levels()[0], Level::Up);
    let gone = Subject(7);
    assert!(world.table.proxied(gone, &failing(), world.now).is_empty(), "of another fleet");
}
