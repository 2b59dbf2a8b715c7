//! What an answer costs from memory, without sockets.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)] // A benchmark.

#[path = "../tests/dns_support/mod.rs"]
mod dns_support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dns_support::{Builder, Query, peer};
use meridian::dns::{Draws, Parsed, Random, Reply, Transport, engine};
use meridian::snapshot::Snapshot;

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
        group.finish();
    }
}

criterion_group!(benches, answers);
criterion_main!(benches);
