//! What an answer costs from memory, without sockets.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)] // A benchmark.

#[path = "../tests/dns_support/mod.rs"]
mod dns_support;

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dns_support::{Builder, Query, peer};
use meridian::clock::Tick;
use meridian::dns::limit::Limiter;
use meridian::dns::{Draws, Parsed, Random, Reply, Transport, engine};
use meridian::health::HealthTable;
use meridian::latency::{LatencyMap, Reporter};
use meridian::prefix::Prefix;
use meridian::snapshot::{Publisher, Snapshot, load};

/// Queries answered together, as a UDP worker does.
const BATCH: usize = 32;

/// `names` static names, and steered ones.
fn world(names: usize) -> Snapshot {
    let mut world = Builder::default();
    world.zone("example.com.");
    world.record("@ 3600 SOA ns1 host 7 3600 900 604800 300");
    world.record("@ 3600 NS ns1");
    for number in 0..names {
        let (high, low) = (number / 250 % 250, number % 250);
        world.record(&format!("h{number} 300 A 198.18.{high}.{low}"));
    }
    world.service("www ttl=20 v4=192.0.2.1 scope=24");
    world.service("split ttl=20 v4=192.0.2.1,192.0.2.2,192.0.2.3 apart");
    // On, and too high to bite.
    for kind in ["positive", "negative", "error"] {
        world.option(&format!("{kind}=1000000"));
    }
    world.option("secret=e5e973e5a6b2a43f48e7dc849e37bfcf");
    world.build()
}

/// Answers all queries in batches; the octets written keep the work from being left out.
fn answer_all(
    snapshot: &Snapshot,
    queries: &[Vec<u8>],
    parsed: &mut [Parsed],
    draws: &Draws,
    out: &mut [u8],
) -> usize {
    let peer = peer(Transport::Udp);
    let mut octets = 0;
    for batch in queries.chunks(BATCH) {
        for (parsed, query) in parsed.iter_mut().zip(batch) {
            parsed.parse(query);
            engine::locate(snapshot, parsed);
        }
        black_box(engine::touch(snapshot, &parsed[..batch.len()]));
        for (parsed, query) in parsed.iter().zip(batch) {
            let random = Random::shared(7, draws, 1_800_000_000);
            match engine::respond(snapshot, query, parsed, peer, random, out).reply {
                Reply::Length(length) => octets += length,
                Reply::Drop | Reply::Transfer => {}
            }
        }
    }
    octets
}

/// Likewise from many clients, each with its place in the limiter's table.
fn answer_limited(
    snapshot: &Snapshot,
    limiter: &Limiter,
    queries: &[Vec<u8>],
    parsed: &mut [Parsed],
    out: &mut [u8],
) -> usize {
    let mut peer = peer(Transport::Udp);
    let rates = &snapshot.options.response_rates;
    let mut clients = [limiter.client(peer.address.ip()); BATCH];
    let (mut octets, mut number) = (0, 0_u32);
    for batch in queries.chunks(BATCH) {
        for ((parsed, client), query) in parsed.iter_mut().zip(&mut clients).zip(batch) {
            parsed.parse(query);
            engine::locate(snapshot, parsed);
            number = number.wrapping_add(0x9e37_79b9);
            *client = limiter.client(Ipv4Addr::from(number).into());
        }
        black_box(engine::touch(snapshot, &parsed[..batch.len()]));
        black_box(clients.iter().fold(0, |all, client| all ^ limiter.touch(*client)));
        for ((parsed, client), query) in parsed.iter().zip(&clients).zip(batch) {
            peer.address.set_ip(client.address);
            let answer = engine::respond(snapshot, query, parsed, peer, 7, out);
            let kind = (answer.facts.kind, answer.facts.standing);
            let ruling = limiter.rule(rates, *client, kind, Tick(1), 7);
            match answer.reply {
                Reply::Length(length) if ruling.limited.is_none() => octets += length,
                Reply::Length(_) | Reply::Drop | Reply::Transfer => {}
            }
        }
    }
    octets
}

fn answers(criterion: &mut Criterion) {
    let mut parsed = vec![Parsed::default(); BATCH];
    let mut out = vec![0; 4096];
    let draws = Draws::default();
    let mut numbers = fastrand::Rng::with_seed(1);
    for names in [10_000, 1_000_000] {
        let snapshot = world(names);
        let mut queries = |make: &dyn Fn(usize) -> Query| -> Vec<Vec<u8>> {
            (0..BATCH * 1000).map(|_| make(numbers.usize(0..names)).wire()).collect()
        };
        let known = |number: usize| Query::new(&format!("h{number}.example.com."), 1);
        let subnet = |number: usize| {
            let address = [(number >> 16) as u8, (number >> 8) as u8, number as u8, 0];
            Query::new("www.example.com.", 1).subnet(address.into(), 24)
        };
        let cases: [(&str, &dyn Fn(usize) -> Query); 6] = [
            ("static", &known),
            ("static, EDNS", &|number| known(number).edns(1232, &[])),
            ("NXDOMAIN", &|number| Query::new(&format!("x{number}.example.com."), 1)),
            ("steered", &|_| Query::new("www.example.com.", 1)),
            ("steered, client subnet", &subnet),
            ("weighted between regions", &|_| Query::new("split.example.com.", 1)),
        ];
        let mut group = criterion.benchmark_group(format!("{names} names"));
        for (case, make) in cases {
            let queries = queries(make);
            group.throughput(Throughput::Elements(queries.len() as u64));
            group.bench_function(case, |bencher| {
                bencher.iter(|| answer_all(&snapshot, &queries, &mut parsed, &draws, &mut out));
            });
        }
        let limiter = Limiter::new([fastrand::u64(..), fastrand::u64(..)]);
        let new = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        let returned =
            [&[0, 10, 0, 24, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0][..], &[0x5c; 12]].concat();
        let guarded: [(&str, &dyn Fn(usize) -> Query); 3] = [
            ("static, limited", &|number| known(number).edns(1232, &[])),
            ("static, limited, new cookie", &|number| known(number).edns(1232, &new)),
            ("static, limited, cookie to check", &|number| known(number).edns(1232, &returned)),
        ];
        for (case, make) in guarded {
            let queries = queries(make);
            group.bench_function(case, |bencher| {
                bencher
                    .iter(|| answer_limited(&snapshot, &limiter, &queries, &mut parsed, &mut out));
            });
        }
        group.finish();
    }
}

/// A service that goes by round trips, of which this many clients' were measured.
fn measured(clients: u32) -> Arc<Snapshot> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        (
            "node.toml",
            "version = 1\n[node]\nname = \"a\"\nregion = \"eu\"\n[zones]\ndirectory = \"zones\"\n\
             [dns]\nlisten = [\"127.0.0.1:5300\"]\n",
        ),
        (
            "fleet.toml",
            "version = 1\n[region.eu]\nlocation = \"DE\"\n[region.us]\nlocation = \"US\"\n\
             [pool.web]\nendpoints = [\n{ region = \"eu\", address = \"192.0.2.1\" },\n\
             { region = \"us\", address = \"192.0.2.2\" },\n]\n\
             [latency]\nmatrix = \"latency.csv\"\n",
        ),
        ("latency.csv", "eu,us,90\n"),
        ("zones/example.com.zone", "@ 60 IN SOA a b 7 3600 900 604800 300\n@ 60 IN NS a.test.\n"),
        (
            "zones/example.com.toml",
            "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"latency\", \"proximity\"]\n",
        ),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let (loaded, now) = (load(folder.path(), None).unwrap(), Tick(1 << 40));
    let me = Reporter { region: "eu".into(), node: "a".into() };
    let mut map = LatencyMap::new(me, 7);
    for client in 0..clients {
        let address = (0x1800_0000 + (client << 8)).to_be_bytes();
        let time = Duration::from_millis(u64::from(client % 90) + 110);
        map.sample(Prefix::holding(address.into(), 24), time, now).unwrap();
    }
    let loaded = loaded.measured(&map, now);
    let health = HealthTable::new(&loaded.model.fleet, now);
    let mut publisher = Publisher::new(loaded, health);
    publisher.publish();
    publisher.shared().load_full()
}

/// What it costs that clients' own round trips are known: nothing but a longer table.
fn learnt(criterion: &mut Criterion) {
    let mut parsed = vec![Parsed::default(); BATCH];
    let mut out = vec![0; 4096];
    let draws = Draws::default();
    let mut numbers = fastrand::Rng::with_seed(1);
    let mut group = criterion.benchmark_group("latency");
    for clients in [0, 1_000_000] {
        let snapshot = measured(clients);
        let query = |number: u32| {
            let [a, b, c, _] = (0x1800_0000 + (number << 8)).to_be_bytes();
            Query::new("www.example.com.", 1).subnet([a, b, c, 0].into(), 24).wire()
        };
        let queries: Vec<Vec<u8>> =
            (0..BATCH * 1000).map(|_| query(numbers.u32(0..1_000_000))).collect();
        group.throughput(Throughput::Elements(queries.len() as u64));
        group.bench_function(format!("{clients} clients measured"), |bencher| {
            bencher.iter(|| answer_all(&snapshot, &queries, &mut parsed, &draws, &mut out));
        });
    }
    group.finish();
}

criterion_group!(benches, answers, learnt);
criterion_main!(benches);
