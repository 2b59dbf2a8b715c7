//! Reading, sorting and checking a zone of a million records.
//!
//! A million records must be ready to serve within 2 s, the tree included.

#![allow(missing_docs)] // The macros below make functions without any.

use std::fmt::Write;
use std::hint::black_box;
use std::io;

use criterion::{Criterion, criterion_group, criterion_main};
use meridian::name::Name;
use meridian::zone;

const RECORDS: u32 = 1_000_000;

/// A zone with one A record for each of the numbers, in their order.
fn text(numbers: impl Iterator<Item = u32>) -> String {
    let mut text = String::from("$TTL 300\n@ SOA ns1 host 1 3600 900 604800 300\n@ NS ns1\n");
    text.push_str("ns1 A 192.0.2.53\n");
    for number in numbers {
        let [_, net, high, low] = number.to_be_bytes();
        let net = 18 + (net & 1);
        let _ = writeln!(text, "h{number} 300 IN A 198.{net}.{high}.{low}");
    }
    text
}

fn load(c: &mut Criterion) {
    let Ok(origin) = Name::parse("example.com.", &Name::root()) else { return };
    let mut group = c.benchmark_group("zone_load");
    group.sample_size(10);
    // 7,368,787 has no factor in common with the number of records: each comes once.
    let scattered = |n: u32| ((u64::from(n) * 7_368_787) % u64::from(RECORDS)) as u32;
    let zones = [("in order", text(0..RECORDS)), ("scattered", text((0..RECORDS).map(scattered)))];
    for (order, text) in zones {
        group.bench_function(order, |b| {
            b.iter(|| {
                let mut none = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
                let loaded = zone::load_from(&origin, "z", text.as_bytes(), &[], &mut none);
                assert_eq!(loaded.0.len(), RECORDS as usize + 3);
                black_box(loaded)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
