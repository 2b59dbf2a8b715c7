//! A and AAAA of one client lie in one region, asked for over real sockets as clients ask: in two
//! queries, from two ports, of two workers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Test.

mod dns_support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use dns_support::{Query, decode, folder, loaded};
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::svcb::SvcParamValue;
use hickory_proto::rr::{RData, Record};
use meridian::clock;
use meridian::dns::{Counters, Transport, UdpServer, UdpSockets};
use meridian::health::HealthTable;
use meridian::snapshot::{Labels, Publisher};

const NODE: &str = r#"version = 1
[node]
name = "one"
region = "eu"
state = "../state"
[zones]
directory = "../zones"
[dns]
listen = ["127.0.0.1:5300"]
"#;

/// The last octet of an address is its region; us has lost IPv6, and eu has more of IPv4.
const FLEET: &str = r#"version = 1
[region.ap]
location = "aws:ap-southeast-1"
[region.eu]
location = "aws:eu-central-1"
[region.us]
location = "aws:us-east-1"
[pool.web]
endpoints = [
  { region = "ap", address = "192.0.2.1" },
  { region = "eu", address = "192.0.2.2" },
  { region = "us", address = "192.0.2.3" },
  { region = "ap", address = "2001:db8::1" },
  { region = "eu", address = "2001:db8::2" },
]
"#;

const ZONE: &str = "$TTL 60\n@ SOA ns1 host 1 60 60 60 60\n@ NS ns1\nns1 A 192.0.2.53\n";

const SERVICES: &str = r#"version = 1
[service.weighted]
pool = "web"
[service.rotate]
pool = "web"
policy = ["rotate"]
[service.affinity]
pool = "web"
policy = ["affinity"]
[service.near]
pool = "web"
policy = ["proximity", { method = "nearest", n = 2 }, "weighted"]
[service.hinted]
pool = "web"
https = { alpn = ["h2", "h3"] }
[service.several]
pool = "web"
answers = 2
https = { alpn = ["h3"], port = 8443 }
"#;

fn serve() -> (UdpServer, Arc<Counters>) {
    let folder = folder(&[
        ("config/node.toml", NODE),
        ("config/fleet.toml", FLEET),
        ("zones/a.test.zone", ZONE),
        ("zones/a.test.toml", SERVICES),
    ]);
    let loaded = loaded(&folder, None);
    let health = HealthTable::new(&loaded.model.fleet, clock::now());
    let snapshot = Publisher::new(loaded, health).shared();
    let labels = || Arc::new(Labels::new(16));
    let counters = Arc::new(Counters::new(labels(), labels()));
    let sockets = UdpSockets::bind(&["127.0.0.1:0".parse().unwrap()], 2).unwrap();
    (sockets.serve(&snapshot, &counters).unwrap(), counters)
}

/// The region of the first address that a client is answered.
fn region(server: SocketAddr, service: &str, qtype: u16, client: Option<Ipv4Addr>) -> u8 {
    match ask(server, service, qtype, client).answers.first().unwrap().data {
        RData::A(a) => a.0.octets()[3],
        RData::AAAA(aaaa) => aaaa.0.octets()[15],
        ref other => panic!("{other}"),
    }
}

/// The addresses of a reply with A, AAAA or HTTPS records.
fn addresses(reply: &Message) -> Vec<IpAddr> {
    let of = |record: &Record| match &record.data {
        RData::A(a) => vec![IpAddr::V4(a.0)],
        RData::AAAA(aaaa) => vec![IpAddr::V6(aaaa.0)],
        RData::HTTPS(https) => {
            let hints = https.0.svc_params.iter().flat_map(|(_, value)| match value {
                SvcParamValue::Ipv4Hint(list) => list.0.iter().map(|a| IpAddr::V4(a.0)).collect(),
                SvcParamValue::Ipv6Hint(list) => list.0.iter().map(|a| IpAddr::V6(a.0)).collect(),
                _ => Vec::new(),
            });
            hints.collect()
        }
        other => panic!("{other}"),
    };
    reply.answers.iter().flat_map(of).collect()
}

/// The reply to a client, asked from a new port each time.
fn ask(server: SocketAddr, service: &str, qtype: u16, client: Option<Ipv4Addr>) -> Message {
    let query = Query::new(&format!("{service}.a.test."), qtype);
    let query = client.into_iter().fold(query, |query, ip| query.subnet(IpAddr::V4(ip), 24));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send_to(&query.wire(), server).unwrap();
    let mut reply = [0; 1232];
    let length = socket.recv(&mut reply).unwrap();
    decode(&reply[..length])
}

#[test]
fn the_hints_of_https_records_are_the_addresses_of_both_families() {
    let (server, _) = serve();
    let mut seen = BTreeSet::new();
    for number in 0..200u32 {
        let client = (number % 2 == 1).then(|| Ipv4Addr::from(0x5000_0000 + number * 0x0040_0500));
        for service in ["hinted", "several"] {
            let [a, aaaa, https] =
                [1, 28, 65].map(|qtype| ask(server.addresses()[0], service, qtype, client));
            let both = [addresses(&a), addresses(&aaaa)].concat();
            assert_eq!(addresses(&https), both, "{service} for {client:?}");
            assert_eq!(https.answers.len(), 1);
            assert_eq!(https.answers[0].ttl, a.answers[0].ttl);
            seen.insert(both);
        }
    }
    assert!(seen.len() > 6, "chance plays no part: {seen:?}");
    server.shutdown();
}

#[test]
fn both_families_of_one_client_lie_in_one_region_where_both_exist() {
    let (server, counters) = serve();
    let address = server.addresses()[0];
    let mut seen: BTreeMap<(&str, u8), u32> = BTreeMap::new();
    for number in 0..300u32 {
        // One client that asks again and again, and many clients of one resolver.
        let client = (number % 2 == 1).then(|| Ipv4Addr::from(0x5000_0000 + number * 0x0040_0500));
        for service in ["weighted", "rotate", "affinity", "near"] {
            let order = if number % 3 == 0 { [28, 1] } else { [1, 28] };
            let [first, second] = order.map(|qtype| region(address, service, qtype, client));
            let (a, aaaa) = if order[0] == 1 { (first, second) } else { (second, first) };
            assert!(a == aaaa || a == 3, "{service} for {client:?}: {a} and {aaaa}");
            *seen.entry((service, a)).or_default() += 1;
        }
    }
    for service in ["weighted", "rotate"] {
        for region in 1..=3 {
            let times = seen.get(&(service, region)).copied().unwrap_or(0);
            assert!((60..=140).contains(&times), "{service}, region {region}: {times} of 300");
        }
    }
    server.shutdown();
    assert_eq!(counters.totals().queries[0], (Transport::Udp, 2400));
}

#[test]
fn shares_are_exact_also_for_one_client_that_asks_for_one_family() {
    let (server, _) = serve();
    let mut times = [0; 4];
    for _ in 0..3000 {
        times[usize::from(region(server.addresses()[0], "weighted", 1, None))] += 1;
    }
    for times in &times[1..] {
        assert!((900..=1100).contains(times), "{times} of 3000, expected a third");
    }
    server.shutdown();
}
