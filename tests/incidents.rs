//! Incidents that others had, replayed by name: none of them may take answers away.
//!
//! Those that need a whole process stand in `tests/e2e_plans.rs`: a late old plan after a newer one
//! and then a clean-up, a generated file over its limit, an empty zone file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing)] // As above.

mod dns_support;

use std::fmt::Write as _;
use std::time::Duration;

use dns_support::{Query, ask, decode, folder, loaded};
use meridian::clock::Tick;
use meridian::dns::Transport;
use meridian::health::{
    CauseKind, EndpointIdentity, HealthTable, Level, Outcome, PeerEvent, Prober, Standing, Subject,
    Verdict, Vote,
};
use meridian::model::{EndpointId, MonitorId, RegionId};
use meridian::snapshot::{Event, Publisher};

const REGIONS: [&str; 3] = ["ap", "eu", "us"];
/// Endpoints of the pool.
const ENDPOINTS: u32 = 8;
/// That of the probes.
const INTERVAL: Duration = Duration::from_secs(5);

const NODE: &str = "version = 1\n[node]\nname = \"one\"\nregion = \"eu\"\nstate = \"../state\"\n\
    [zones]\ndirectory = \"../zones\"\n[dns]\nlisten = [\"127.0.0.1:5300\"]\n[probe]\n";
const ZONE: &str = "$TTL 60\n@ SOA ns1 host 1 60 60 60 60\n@ NS ns1\nns1 A 192.0.2.53\n";
const SERVICES: &str =
    "version = 1\n[service.www]\npool = \"web\"\nanswers = 8\npolicy = [\"rotate\"]\n";

fn fleet() -> String {
    let mut text = "version = 1\n".to_owned();
    for (region, longitude) in REGIONS.into_iter().zip([100, 10, -80]) {
        writeln!(text, "[region.{region}]\nlocation = {{ lat = 40.0, lon = {longitude}.0 }}")
            .unwrap();
    }
    text.push_str(
        "[monitor.ready]\nkind = \"tcp\"\nport = 80\ninterval = \"5s\"\nfall = 2\nrise = 2\n\
         [pool.web]\nmonitors = [\"ready\"]\nendpoints = [\n",
    );
    for number in 1..=ENDPOINTS {
        let region = REGIONS[number as usize % REGIONS.len()];
        writeln!(text, "{{ region = \"{region}\", address = \"192.0.2.{number}\" }},").unwrap();
    }
    text + "]\n"
}

/// A node in one of the regions.
struct Edge {
    publisher: Publisher,
    now: Tick,
}

impl Edge {
    /// A node that finds everything up and has heard of nobody.
    fn new(region: u16) -> Self {
        let folder = folder(&[
            ("config/node.toml", NODE),
            ("config/fleet.toml", &fleet()),
            ("zones/a.test.zone", ZONE),
            ("zones/a.test.toml", SERVICES),
        ]);
        let loaded = loaded(&folder, None);
        let mut node = loaded.model.node.clone();
        node.region = RegionId(region);
        let now = Tick::START;
        let mut health = HealthTable::new(&loaded.model.fleet, now);
        health.settle(&node, now);
        let mut edge = Self { publisher: Publisher::new(loaded, health), now };
        edge.probe(&Outcome::Success);
        edge
    }

    /// Every probe finds this.
    fn probe(&mut self, outcome: &Outcome) {
        for endpoint in 0..ENDPOINTS {
            let (generation, endpoint) = (self.publisher.model_generation(), EndpointId(endpoint));
            let (monitor, outcome) = (MonitorId(0), outcome.clone());
            let event = Event::Probe { generation, endpoint, monitor, outcome };
            self.publisher.apply(event, self.now);
        }
        self.publisher.publish();
    }

    /// The prober of a region says this of all endpoints.
    fn hear(&mut self, region: &str, verdict: Verdict) {
        let prober = Prober { region: region.to_owned(), node: format!("{region}-1") };
        let standing = Standing::Live;
        let live = PeerEvent::Standing { prober: prober.clone(), standing };
        let fleet = &self.publisher.loaded().model.fleet;
        let kind = (verdict == Verdict::Down).then_some(CauseKind::Timeout);
        let vote = |endpoint| {
            let subject = Subject::of(&EndpointIdentity::of(fleet, endpoint), "ready");
            Vote { subject, verdict, kind, held: Duration::ZERO }
        };
        let votes = fleet.endpoints.iter().map(vote).collect();
        for event in [live, PeerEvent::Votes { prober, votes }] {
            self.publisher.apply(Event::Peers(event), self.now);
        }
        self.publisher.publish();
    }

    /// Lets time pass, and does what becomes due.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.publisher.apply(Event::Tick, self.now);
        self.publisher.publish();
    }

    /// Endpoints that are down.
    fn down(&self) -> usize {
        let health = self.publisher.health().endpoints();
        health.iter().filter(|health| health.level == Level::Down).count()
    }

    /// Addresses in the answer.
    fn answered(&self) -> usize {
        let query = Query::new("www.a.test.", 1).edns(1232, &[]).wire();
        let snapshot = self.publisher.shared().load_full();
        let reply = decode(&ask(&snapshot, &query, Transport::Udp).0.unwrap());
        assert_eq!(u16::from(reply.metadata.response_code), 0);
        reply.answers.len()
    }
}

#[test]
fn every_edge_believes_it_is_unhealthy_and_all_keep_answering() {
    for others in [&[][..], &REGIONS] {
        for (region, name) in (0..).zip(REGIONS) {
            let mut edge = Edge::new(region);
            for other in others.iter().filter(|other| **other != name) {
                edge.hear(other, Verdict::Up);
            }
            for _ in 0..20 {
                edge.pass(INTERVAL);
                edge.probe(&Outcome::failure(CauseKind::Connect, "no route to host"));
                others.iter().filter(|o| **o != name).for_each(|o| edge.hear(o, Verdict::Down));
                assert!(edge.answered() > 0, "{name} with {} others", others.len());
            }
            assert_eq!(edge.answered(), ENDPOINTS as usize, "{name}: all are as good as any");
            assert_eq!(edge.down(), ENDPOINTS as usize, "{name}");
        }
    }
}

#[test]
fn checks_that_flap_pull_no_more_capacity_than_the_velocity_limit_lets_go() {
    let mut edge = Edge::new(1);
    for other in ["ap", "us"] {
        edge.hear(other, Verdict::Up);
    }
    let mut down = vec![0];
    for second in 0..600 {
        edge.pass(Duration::from_secs(1));
        // Two regions of three change their minds together, at periods from 2 to 20 s.
        let period = 1 + second / 60;
        let verdict = if second / period % 2 == 0 { Verdict::Down } else { Verdict::Up };
        for other in ["ap", "us"] {
            edge.hear(other, verdict);
        }
        down.push(edge.down());
        let lately = down.len().saturating_sub(INTERVAL.as_secs() as usize);
        let least = down[lately..].iter().min().copied().unwrap_or_default();
        let fell = edge.down().saturating_sub(least);
        assert!(fell <= ENDPOINTS as usize / 2, "{fell} fell within an interval at {second} s");
        assert!(edge.answered() > 0);
    }
    assert!(down.iter().any(|count| *count > 0), "nothing ever fell");
}
