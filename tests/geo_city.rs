//! Measures a large city database: time to compile, memory, and time of a look-up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // a test

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use meridian::clock::stopwatch;
use meridian::geo::{Client, Databases, Ground, PrefixTable};
use meridian::place::{Point, gazetteer};

/// Twelve regions all over the world.
const REGIONS: [&str; 12] = [
    "aws:us-east-1",
    "aws:eu-central-1",
    "aws:ap-southeast-1",
    "aws:us-west-2",
    "aws:ap-northeast-1",
    "aws:sa-east-1",
    "aws:eu-west-1",
    "aws:ap-south-1",
    "aws:ap-southeast-2",
    "aws:ca-central-1",
    "aws:af-south-1",
    "aws:me-south-1",
];

/// Numbers the nearest-first orders of regions in the order in which they are first seen.
struct Orders {
    regions: Vec<Point>,
    seen: HashMap<Vec<usize>, u32>,
}

impl Orders {
    fn new(count: usize) -> Self {
        let regions = REGIONS.iter().take(count).map(|text| gazetteer::locate(text).unwrap().point);
        Self { regions: regions.collect(), seen: HashMap::new() }
    }

    fn class(&mut self, client: &Client<'_>) -> u32 {
        let order = client.place.point.map_or_else(Vec::new, |point| {
            let mut order: Vec<usize> = (0..self.regions.len()).collect();
            order.sort_by_cached_key(|at| (self.regions[*at].distance_km(point) * 1000.0) as u64);
            order
        });
        let next = self.seen.len() as u32;
        *self.seen.entry(order).or_insert(next)
    }
}

/// Mean nanoseconds of a look-up.
fn nanoseconds(table: &PrefixTable, addresses: &[IpAddr]) -> f64 {
    let rounds = 20;
    let mut sum = 0u64;
    let start = stopwatch();
    for _ in 0..rounds {
        for address in addresses {
            let (class, scope) = table.lookup(*address);
            sum = sum.wrapping_add(u64::from(class) + u64::from(scope));
        }
    }
    let passed = start.elapsed().as_nanos() as f64;
    assert_ne!(sum, 0);
    passed / (rounds * addresses.len()) as f64
}

#[test]
#[ignore = "needs a large city database, named by MERIDIAN_CITY_DATABASE, and a release build"]
fn a_city_database_compiles_in_two_seconds_to_a_small_table() {
    let path = PathBuf::from(std::env::var("MERIDIAN_CITY_DATABASE").unwrap());
    let start = stopwatch();
    let databases = Databases::load(&[path]).unwrap();
    println!("open and verify {:?}", start.elapsed());
    let start = stopwatch();
    let ground = Ground::new(&databases, &[]);
    let laid = start.elapsed();
    let (runs, clients) = (ground.runs().count(), ground.clients().count());
    println!("ground {laid:?}: {runs} runs, {clients} clients, {} octets", ground.bytes());
    for count in [6, 12] {
        let mut orders = Orders::new(count);
        let start = stopwatch();
        let table = ground.compile(|client| orders.class(client));
        let compiled = start.elapsed();
        let (v4, v6) = table.bytes();
        println!("{count} regions {compiled:?}: {} classes, {v4} + {v6} octets", orders.seen.len());
        report_lookups(&ground, &table);
        assert!(v4 <= 32 << 20, "{v4} octets for IPv4");
        assert!((laid + compiled).as_secs_f64() <= 2.0);
    }
}

/// Prints the time of look-ups of several mixes of clients.
fn report_lookups(ground: &Ground, table: &PrefixTable) {
    let mut random = fastrand::Rng::with_seed(1);
    let v4: Vec<IpAddr> =
        (0..100_000).map(|_| Ipv4Addr::from(random.u32(1 << 24..224 << 24)).into()).collect();
    let few: Vec<IpAddr> = v4.iter().take(500).copied().cycle().take(100_000).collect();
    let known: Vec<IpAddr> = ground
        .runs()
        .filter(|(first, _, client)| first.is_ipv6() && client.place.country.is_some())
        .map(|(first, ..)| first)
        .collect();
    let v6: Vec<IpAddr> = (0..100_000).map(|_| known[random.usize(..known.len())]).collect();
    let few_v6: Vec<IpAddr> = v6.iter().take(500).copied().cycle().take(100_000).collect();
    println!(
        "look-up: {:.1} ns of 100,000 IPv4 clients, {:.1} of 500; IPv6 {:.1}, {:.1} of 500",
        nanoseconds(table, &v4),
        nanoseconds(table, &few),
        nanoseconds(table, &v6),
        nanoseconds(table, &few_v6),
    );
}
