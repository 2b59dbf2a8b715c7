//! What is explained is what is served: the same clients, asked both ways.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use serde_json::Value;

use super::*;
use crate::admin::mnemonic;
use crate::dns::{Peer, Reply, Transport, answer};
use crate::health::CauseKind;
use crate::model::MonitorId;
use crate::snapshot::{Snapshot, load};
use crate::steering::Family;
use crate::written;

const NODE: &str = "version = 1\n[node]\nname = \"t\"\nregion = \"eu\"\n\
    [dns]\nlisten = [\"127.0.0.1:5300\"]\n[probe]\n";

const FLEET: &str = r#"version = 1
[region.eu]
location = "aws:eu-central-1"
[region.us]
location = "aws:us-east-1"
[region.sa]
location = "aws:sa-east-1"
[region.ap]
location = "gcp:asia-south1"
[region.au]
location = "aws:ap-southeast-2"
[monitor.ready]
kind = "tcp"
port = 80
interval = "3s"
timeout = "1s"
fall = 3
rise = 2
[pool.web]
monitors = ["ready"]
capacity = { eu = 1000, us = 1000, sa = 500, ap = 500 }
endpoints = [
  { region = "eu", address = "192.0.2.1", weight = 3 },
  { region = "eu", address = "192.0.2.2" },
  { region = "eu", address = "2001:db8::1" },
  { region = "us", address = "192.0.2.11" },
  { region = "us", address = "2001:db8::11" },
  { region = "sa", address = "192.0.2.21" },
  { region = "ap", address = "192.0.2.31" },
  { region = "ap", address = "2001:db8::31" },
  { region = "au", address = "192.0.2.41" },
]
[network.office]
prefixes = ["203.0.113.0/24", "16.0.0.0/4"]
regions = ["sa", "au"]
"#;

const ZONE: &str = "$TTL 300\n@ IN SOA ns1 root 1 3600 600 604800 60\n@ IN NS ns1\n\
    ns1 IN A 192.0.2.53\nstatic IN A 192.0.2.54\nalias IN CNAME near\n";

const SERVICES: &str = r#"version = 1
[service.near]
pool = "web"
policy = ["network", "proximity"]
ttl = { min = "1s", max = "60s" }
[service.full]
pool = "web"
policy = ["proximity", { method = "spill" }, { method = "affinity" }]
ttl = { min = "1s", max = "60s" }
[service.fenced]
pool = "web"
policy = [{ method = "fence", by = "continent", strict = true }, "proximity"]
answers = 1
ttl = { min = "1s", max = "60s" }
[service.band]
pool = "web"
policy = [{ method = "proximity", tolerance = 0.5 }, { method = "nearest", n = 2 }]
answers = 2
[service.sticky]
pool = "web"
policy = [{ method = "affinity" }]
[service.shares]
pool = "web"
policy = [{ method = "order", regions = ["eu"] }, "weighted"]
answers = 1
[service."*.turns"]
pool = "web"
policy = ["rotate"]
answers = 3
"#;

/// Names asked for, and whether chance has a part in the answer.
const NAMES: [(&str, bool); 10] = [
    ("full.x.test.", false),
    ("near.x.test.", true),
    ("fenced.x.test.", true),
    ("band.x.test.", true),
    ("sticky.x.test.", false),
    ("shares.x.test.", true),
    ("a.turns.x.test.", true),
    ("static.x.test.", false),
    ("alias.x.test.", true),
    ("none.x.test.", false),
];

fn write(top: &Path) {
    let files = [
        ("config/node.toml", NODE),
        ("config/fleet.toml", FLEET),
        ("zones/x.test.zone", ZONE),
        ("zones/x.test.toml", SERVICES),
    ];
    written::write(top, &files);
}

/// What a node serves after enough probes, of which those in the regions `down` failed.
fn serving(loaded: Loaded, down: &[RegionId]) -> Publisher {
    let fleet = loaded.model.fleet.clone();
    let mut health = HealthTable::new(&fleet, clock::now());
    let failure = Outcome::failure(CauseKind::Refused, "connection refused");
    for (id, endpoint) in (0..).map(EndpointId).zip(&fleet.endpoints) {
        let fails = down.contains(&endpoint.region);
        for outcome in std::iter::repeat_n(if fails { &failure } else { &Outcome::Success }, 5) {
            health.observe(id, MonitorId(0), outcome, clock::now());
        }
    }
    Publisher::new(loaded, health)
}

/// A client from anywhere, sometimes from the operator's network.
fn client(random: &mut fastrand::Rng) -> IpAddr {
    match random.u8(0..10) {
        0 => IpAddr::from([203, 0, 113, random.u8(..)]),
        1..7 => Ipv4Addr::from(random.u32(0x0100_0000..0xdfff_ffff)).into(),
        _ => Ipv6Addr::from(0x2 << 124 | random.u128(..) >> 4).into(),
    }
}

/// The reply and its scope, which is there when a client subnet was sent.
fn served(snapshot: &Snapshot, question: &Question, random: u64) -> (Message, Option<u8>) {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    let rtype = match question.asked {
        Asked::Addresses(Family::V4) => RecordType::A,
        Asked::Addresses(Family::V6) => RecordType::AAAA,
        Asked::Https => RecordType::HTTPS,
    };
    query.add_query(Query::query(question.name.to_string().parse().unwrap(), rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    if question.resolver.is_some() {
        let bits = if question.client.is_ipv4() { 24 } else { 56 };
        let subnet = ClientSubnet::new(question.client, bits, 0);
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
    }
    query.set_edns(edns);
    let address = SocketAddr::new(question.resolver.unwrap_or(question.client), 4711);
    let peer = Peer { address, transport: Transport::Udp, unix_seconds: 0 };
    let mut out = vec![0; 4096];
    let given = answer(snapshot, &query.to_vec().unwrap(), peer, random, &mut out);
    let Reply::Length(length) = given.reply else { panic!("no reply to {question:?}") };
    let message = Message::from_vec(&out[..length]).unwrap();
    let scope = match message.edns.as_ref().unwrap().option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
        _ => None,
    };
    (message, scope)
}

/// The data of the answer section, in order.
fn data(message: &Message) -> Vec<String> {
    let mut found: Vec<String> = message.answers.iter().map(|rr| rr.data.to_string()).collect();
    found.sort();
    found
}

fn texts(value: &Value, list: &str, member: &str) -> Vec<String> {
    let items = value[list].as_array().map_or(&[][..], Vec::as_slice);
    let mut found: Vec<String> =
        items.iter().map(|item| item[member].as_str().unwrap().to_owned()).collect();
    found.sort();
    found
}

/// Compares what is explained with what is served to one client.
fn compare(report: &Value, message: &Message, scope: Option<u8>, by_chance: bool, what: &str) {
    assert_eq!(report["rcode"], mnemonic(message.metadata.response_code), "{what}");
    let served = data(message);
    let explained = texts(report, "answers", "data");
    let tied = texts(&report["steering"], "tied", "address");
    assert_eq!(explained.len(), served.len(), "{what}: {report:#}");
    let records = served.iter().filter(|data| !data.ends_with('.')).count();
    if by_chance && tied.len() > records {
        let is_name = |data: &&String| data.ends_with('.');
        let mut others = served.iter().filter(|data| !tied.contains(data) && !is_name(data));
        assert_eq!(others.next(), None, "{what}: not tied in {report:#}");
    } else {
        assert_eq!(explained, served, "{what}: {report:#}");
    }
    let ttls = |list: &Value| -> Vec<u64> {
        let list = list.as_array().unwrap();
        list.iter().map(|record| record["ttl"].as_u64().unwrap()).collect()
    };
    let served_ttls: Vec<u64> = message.answers.iter().map(|r| u64::from(r.ttl)).collect();
    assert_eq!(ttls(&report["answers"]), served_ttls, "{what}");
    // That of an alias before it is the zone's.
    if let Some((ttl, served)) = report["steering"]["ttl"].as_u64().zip(served_ttls.last()) {
        assert_eq!(*served, ttl, "{what}: the TTL that is explained");
    }
    if let Some(scope) = scope {
        assert_eq!(report["scope"], scope, "{what}");
    }
}

#[test]
fn round_trips_are_explained_with_what_they_rest_on() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let config = folder.path().join("config");
    let matrix = "[latency]\nmatrix = \"m.csv\"\nexplore = 0.1\n";
    fs::write(config.join("fleet.toml"), format!("{FLEET}{matrix}")).unwrap();
    fs::write(config.join("m.csv"), "eu,us,90\neu,ap,130\neu,sa,200\neu,au,250\n").unwrap();
    let services = format!("{SERVICES}[service.fast]\npool = \"web\"\npolicy = [\"latency\"]\n");
    fs::write(folder.path().join("zones/x.test.toml"), services).unwrap();
    let loaded = load(&config, None).unwrap();
    let mut map = saved_latency(&loaded.model, clock::now()).unwrap();
    let client: IpAddr = "5.1.2.3".parse().unwrap();
    for _ in 0..9 {
        let (prefix, time) = (format!("{client}/32").parse().unwrap(), Duration::from_millis(200));
        map.sample(prefix, time, clock::now()).unwrap();
    }
    let publisher = serving(loaded.measured(&map, clock::now()), &[]);
    let question = Question {
        name: Name::parse("fast.x.test.", &Name::root()).unwrap(),
        asked: Asked::Addresses(Family::V4),
        client,
        resolver: None,
    };
    let report = Explanation::new(&question, &publisher.shared().load()).unwrap();
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let has = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(has("ms: connections of 5.1.2.0/24, 9 samples, the last within the hour"), "{text}");
    assert!(has("ms: the matrix from eu, and the way there"), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("latency   us > ap > eu > ")), "{text}");
    assert!(has("explore   10.0 % of answers go to ap and eu"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["steering"]["round_trips"]["estimates"][0]["region"], "us", "{json}");
}

#[test]
fn a_thousand_clients_are_served_what_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let config = folder.path().join("config");
    let mut random = fastrand::Rng::with_seed(20_261_121);
    let mut steered = 0;
    for down in [&[][..], &["eu"], &["us", "ap"], &["eu", "us", "sa", "ap", "au"]] {
        let down: Vec<String> = down.iter().map(|name| (*name).to_owned()).collect();
        let loaded = load(&config, None).unwrap();
        assert_eq!(loaded.diagnostics.counts().0, 0);
        let down = regions(&down, &loaded.model.fleet).unwrap();
        let supposed = supposed_health(&loaded, &down);
        let mut explaining = Publisher::new(loaded, supposed);
        let mut serving = serving(load(&config, None).unwrap(), &down);
        let loads = [("eu", 1100.0), ("us", 300.0), ("sa", 100.0), ("ap", 390.0), ("au", 50.0)];
        let loads = loads.map(|(region, load)| (region.to_owned(), load));
        for publisher in [&mut explaining, &mut serving] {
            super::load::suppose(publisher, &loads, clock::now());
        }
        let snapshot = serving.shared().load_full();
        for _ in 0..250 {
            let (name, by_chance) = NAMES[random.usize(..NAMES.len())];
            let question = Question {
                name: Name::parse(name, &Name::root()).unwrap(),
                asked: Asked::Addresses(if random.bool() { Family::V4 } else { Family::V6 }),
                client: client(&mut random),
                resolver: random.bool().then(|| client(&mut random)),
            };
            let report = Explanation::new(&question, &explaining.shared().load()).unwrap();
            let report = serde_json::to_value(&report).unwrap();
            let (message, scope) = served(&snapshot, &question, random.u64(..));
            compare(&report, &message, scope, by_chance, &format!("{question:?} without {down:?}"));
            steered += usize::from(report["steering"].is_object());
        }
    }
    assert!(steered > 600, "only {steered} of 1,000 were steered");
}
