//! What the publisher makes of events: answers that change with the next snapshot, and memory of
//! what was last good.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Test.

mod dns_support;

use std::sync::Arc;
use std::time::Duration;

use dns_support::{Query, absolute, ask, decode, folder, loaded};
use meridian::clock::Tick;
use meridian::dns::Transport;
use meridian::health::overrides::{Draft, OverrideSet, Scope};
use meridian::health::{
    Action, CauseKind, EndpointIdentity, HealthTable, HostAddresses, Outcome, PeerEvent, Prober,
    Resolved, Subject, Verdict, Vote,
};
use meridian::load::Sample;
use meridian::model::{Address, EndpointId, MonitorId};
use meridian::snapshot::{Event, Publisher};
use tempfile::TempDir;

const NODE: &str = r#"version = 1
[node]
name = "one"
region = "eu"
state = "../state"
[zones]
directory = "../zones"
[dns]
listen = ["127.0.0.1:5300"]
[probe]
"#;

const FLEET: &str = r#"version = 1
[region.eu]
location = { lat = 50.0, lon = 8.0 }
[region.us]
location = { lat = 39.0, lon = -77.0 }
[monitor.ready]
kind = "tcp"
port = 80
fall = 1
rise = 1
hold_down = "0s"
[pool.web]
monitors = ["ready"]
endpoints = [
  { region = "eu", address = "192.0.2.1" },
  { region = "us", address = "192.0.2.2" },
]
[pool.named]
endpoints = [
  { region = "eu", address = "lb.example.net" },
  { region = "us", address = "192.0.2.9" },
]
"#;

const ZONE: &str = "$TTL 60\n@ SOA ns1 host 1 60 60 60 60\n@ NS ns1\nns1 A 192.0.2.53\n";

const SERVICES: &str = r#"version = 1
[service.www]
pool = "web"
policy = [{ method = "order", regions = ["eu", "us"] }]
all_down = "last-good"
[service.named]
pool = "named"
policy = [{ method = "order", regions = ["eu", "us"] }]
"#;

/// A publisher with the folder it was loaded from.
struct World {
    publisher: Publisher,
    folder: TempDir,
    now: Tick,
}

impl World {
    fn new() -> Self {
        Self::serving(SERVICES)
    }

    /// With these services.
    fn serving(services: &str) -> Self {
        let folder = folder(&[
            ("config/node.toml", NODE),
            ("config/fleet.toml", FLEET),
            ("zones/a.test.zone", ZONE),
            ("zones/a.test.toml", services),
        ]);
        let loaded = loaded(&folder, None);
        let health = HealthTable::new(&loaded.model.fleet, Tick(0));
        Self { publisher: Publisher::new(loaded, health), folder, now: Tick(0) }
    }

    /// The address that a name has in the snapshot of the moment.
    fn answer(&self, name: &str) -> String {
        let query = Query::new(&format!("{name}.a.test."), 1).wire();
        let snapshot = self.publisher.shared().load_full();
        assert_eq!(snapshot.generation, self.publisher.generation());
        let reply = decode(&ask(&snapshot, &query, Transport::Udp).0.unwrap());
        let data = reply.answers.first().map(|record| record.data.to_string());
        data.unwrap_or_else(|| reply.metadata.response_code.to_string())
    }

    /// Index of an endpoint.
    fn id(&self, address: &str) -> usize {
        let fleet = &self.publisher.loaded().model.fleet;
        let ip = Address::Ip(address.parse().unwrap());
        fleet.endpoints.iter().position(|e| e.address == ip).unwrap()
    }

    /// Tells of a probe; whether the endpoint's level changed.
    fn probe(&mut self, address: &str, outcome: Outcome) -> bool {
        self.now = self.now + Duration::from_secs(100);
        let endpoint = self.id(address) as u32;
        let event = Event::Probe {
            generation: self.publisher.model_generation(),
            endpoint: EndpointId(endpoint),
            monitor: MonitorId(0),
            outcome,
        };
        !self.publisher.apply(event, self.now).is_empty()
    }

    fn reload(&mut self) {
        let loaded = loaded(&self.folder, Some(self.publisher.loaded()));
        self.publisher.apply(Event::Reload(Arc::new(loaded)), self.now);
        self.publisher.publish();
    }
}

fn refused() -> Outcome {
    Outcome::failure(CauseKind::Refused, "connection refused")
}

#[test]
fn a_flip_changes_answers_with_the_next_snapshot() {
    let mut world = World::new();
    assert!(!world.publisher.is_behind());
    assert!(world.probe("192.0.2.1", Outcome::Success));
    assert!(world.publisher.is_behind());
    world.publisher.publish();
    assert_eq!(world.answer("www"), "192.0.2.1");
    assert!(world.probe("192.0.2.2", Outcome::Success));
    assert!(world.probe("192.0.2.1", refused()));
    assert_eq!(world.answer("www"), "192.0.2.1", "not published yet");
    let before = world.publisher.generation();
    world.publisher.publish();
    assert_eq!(world.answer("www"), "192.0.2.2");
    assert_eq!(world.publisher.generation(), before + 1);
    assert!(!world.publisher.is_behind());
}

#[test]
fn what_was_last_good_is_remembered_over_all_down_and_reloads() {
    let mut world = World::new();
    world.probe("192.0.2.1", refused());
    world.probe("192.0.2.2", Outcome::Success);
    world.publisher.publish();
    assert_eq!(world.answer("www"), "192.0.2.2");
    world.probe("192.0.2.2", refused());
    world.publisher.publish();
    assert_eq!(world.answer("www"), "192.0.2.2", "the last good one");
    world.probe("192.0.2.1", refused());
    world.publisher.publish();
    assert_eq!(world.answer("www"), "192.0.2.2", "still");

    // A reload that gives every endpoint another number changes nothing of it.
    let more = "[pool.first]\nendpoints = [{ region = \"eu\", address = \"192.0.2.77\" }]\n";
    let fleet = FLEET.replace("[pool.web]", &format!("{more}[pool.web]"));
    std::fs::write(world.folder.path().join("config/fleet.toml"), fleet).unwrap();
    let stale = world.publisher.model_generation();
    world.reload();
    assert_eq!(world.answer("www"), "192.0.2.2", "over a reload");
    assert!(world.publisher.model_generation() > stale);
    let event = Event::Probe {
        generation: stale,
        endpoint: EndpointId(1),
        monitor: MonitorId(0),
        outcome: Outcome::Success,
    };
    assert!(world.publisher.apply(event, world.now).is_empty(), "numbers of the old fleet");
    assert!(world.probe("192.0.2.1", Outcome::Success));
    world.publisher.publish();
    assert_eq!(world.answer("www"), "192.0.2.1");
}

#[test]
fn addresses_of_hostnames_are_answered_when_they_are_known_and_change() {
    let mut world = World::new();
    assert_eq!(world.answer("named"), "192.0.2.9", "not looked up yet: what else there is");
    for address in ["192.0.2.31", "192.0.2.32"] {
        let resolved = Resolved { v4: vec![address.parse().unwrap()], ..Resolved::default() };
        let hosts = HostAddresses::from([(absolute("lb.example.net"), resolved)]);
        world.publisher.apply(Event::Hosts(Arc::new(hosts)), world.now);
        assert!(world.publisher.is_behind());
        world.publisher.publish();
        assert_eq!(world.answer("named"), address);
    }
}

#[test]
fn a_region_that_was_lost_is_used_again_when_its_time_has_come() {
    let services = "version = 1\n[service.www]\npool = \"web\"\nfailback = { delay = \"5m\" }\n\
        policy = [{ method = \"order\", regions = [\"eu\", \"us\"] }]\n";
    let mut world = World::serving(services);
    let (eu, us) = ("192.0.2.1", "192.0.2.2");
    for address in [eu, us] {
        world.probe(address, Outcome::Success);
    }
    world.publisher.publish();
    assert_eq!(world.answer("www"), eu);
    world.probe(eu, refused());
    world.publisher.publish();
    assert_eq!((world.answer("www").as_str(), world.publisher.next_due()), (us, None));

    world.probe(eu, Outcome::Success);
    let back = world.now;
    world.publisher.publish();
    assert_eq!(world.answer("www"), us, "up, and waiting");
    assert_eq!(world.publisher.next_due(), Some(back + Duration::from_secs(300)));
    world.reload();
    assert_eq!(world.answer("www"), us, "over a reload");
    world.publisher.apply(Event::Tick, back + Duration::from_secs(299));
    assert!(!world.publisher.is_behind());
    world.publisher.apply(Event::Tick, back + Duration::from_secs(300));
    world.publisher.publish();
    assert_eq!((world.answer("www").as_str(), world.publisher.next_due()), (eu, None));

    world.probe(eu, refused());
    world.probe(eu, Outcome::Success);
    world.probe(us, refused());
    world.publisher.publish();
    assert_eq!(world.answer("www"), eu, "what waits is better than what is down");
}

#[test]
fn a_region_that_waits_for_an_operator_is_used_when_forced_up() {
    let services = "version = 1\n[service.www]\npool = \"web\"\nfailback = \"manual\"\n\
        policy = [{ method = \"order\", regions = [\"eu\", \"us\"] }]\n";
    let mut world = World::serving(services);
    let (eu, us) = ("192.0.2.1", "192.0.2.2");
    for (address, outcome) in [(us, Outcome::Success), (eu, refused()), (eu, Outcome::Success)] {
        world.probe(address, outcome);
    }
    world.publisher.publish();
    assert_eq!((world.answer("www").as_str(), world.publisher.next_due()), (us, None));
    let draft = Draft {
        action: Action::Up,
        target: format!("endpoint:{eu}").parse().unwrap(),
        reason: "repaired".to_owned(),
        author: "alice".to_owned(),
        lasts: None,
        scope: Scope::Fleet,
        anyway: false,
        drill: None,
    };
    let mut forced = OverrideSet::default();
    forced.set(draft, "1".to_owned(), world.now, 1_800_000_000).unwrap();
    for overrides in [forced, OverrideSet::default()] {
        world.publisher.apply(Event::Overrides(Arc::new(overrides)), world.now);
        world.publisher.publish();
        assert_eq!(world.answer("www"), eu, "forced, and after that");
    }
}

#[test]
fn peers_change_answers_and_are_told_what_is_seen_here() {
    let mut world = World::new();
    let (eu, us) = ("192.0.2.1", "192.0.2.2");
    for address in [eu, us] {
        world.probe(address, Outcome::Success);
    }
    world.publisher.publish();
    let told = world.publisher.take_votes(world.now).unwrap();
    assert_eq!(told.votes.len(), 2);
    let fleet = world.publisher.loaded().model.fleet.clone();
    let identity = EndpointIdentity::of(&fleet, &fleet.endpoints[world.id(eu)]);
    let subject = Subject::of(&identity, "ready");
    assert!(told.votes.iter().any(|(region, vote)| &**region == "eu" && vote.subject == subject));
    let prober = Prober { region: "us".to_owned(), node: "us-1".to_owned() };
    let (verdict, held) = (Verdict::Down, Duration::ZERO);
    let votes = vec![Vote { subject, verdict, kind: None, held }];
    world.publisher.apply(Event::Peers(PeerEvent::Votes { prober, votes }), world.now);
    assert!(world.publisher.is_behind(), "who votes is shown");
    world.publisher.publish();
    assert_eq!(world.answer("www"), eu, "another alone takes nothing down");
    world.probe(eu, refused());
    world.publisher.publish();
    assert_eq!(world.answer("www"), us, "both regions do");
    assert!(world.publisher.take_votes(world.now).is_some());
    assert!(world.publisher.take_votes(world.now).is_none());
}

/// Two regions of which the first is near all clients.
const SPILLING: &str = "version = 1\n[service.www]\npool = \"web\"\n\
    policy = [{ method = \"order\", regions = [\"eu\", \"us\"] }, \"spill\"]\n";

#[test]
fn clients_leave_a_region_when_reports_say_that_it_is_full() {
    let mut world = World::serving(SPILLING);
    let fleet = FLEET.replace("[pool.web]\n", "[pool.web]\ncapacity = { eu = 100, us = 100 }\n");
    std::fs::write(world.folder.path().join("config/fleet.toml"), fleet).unwrap();
    world.reload();
    let report = |world: &World, region: &str, requests: f64| {
        let sample = Sample { requests, ..Sample::default() };
        world.publisher.loads().report("web", region, "a", sample, world.now).unwrap();
    };
    let kept = |world: &World| {
        let state = world.publisher.shared().load().state.clone().unwrap();
        state.spreads[0].as_ref().map(|spread| spread.shares.of[0][0])
    };
    let run = |world: &mut World, seconds: u64, load: f64| {
        for _ in 0..seconds {
            world.now = world.now + Duration::from_secs(1);
            report(world, "eu", load);
            report(world, "us", 10.0);
            assert!(world.publisher.next_due().is_some(), "loads are looked at by the clock");
            world.publisher.apply(Event::Tick, world.now);
            if world.publisher.is_behind() {
                world.publisher.publish();
            }
        }
    };
    assert_eq!(kept(&world), None, "nobody has reported anything");
    run(&mut world, 5, 50.0);
    assert_eq!(kept(&world), Some(1.0));
    run(&mut world, 60, 95.0);
    let some = kept(&world).unwrap();
    assert!((0.8..0.95).contains(&some), "{some}");
    let answers: Vec<String> = (0..200).map(|_| world.answer("www")).collect();
    assert!(answers.iter().any(|answer| answer == "192.0.2.1"));
    // A reload of equal content changes nothing.
    world.reload();
    assert_eq!(kept(&world), Some(some));
}
