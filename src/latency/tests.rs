//! The map as a whole: what becomes of measurements until somebody is steered by them.

use std::time::Duration;

use super::sample::{fleet, place};
use super::*;
use crate::clock::Tick;
use crate::geo::{Databases, Ground};
use crate::model::Fleet;
use crate::place::Place;
use crate::prefix::Prefix;

const NOW: Tick = Tick(1_000_000_000);

fn reporter(region: &str, node: &str) -> Reporter {
    Reporter { region: region.into(), node: node.into() }
}

fn map() -> LatencyMap {
    LatencyMap::new(reporter("eu", "fra-1"), 7)
}

fn ground() -> Ground {
    Ground::new(&Databases::load(&[]).unwrap(), &[])
}

fn estimates(map: &LatencyMap, fleet: &Fleet) -> Estimates {
    Estimates::new(map, fleet, &ground(), &Estimates::default(), NOW)
}

fn client(text: &str) -> Client {
    Client::of(text.parse().unwrap()).unwrap()
}

fn measured(text: &str, ms: f64) -> Measured {
    let (samples, age) = (64, Duration::ZERO);
    Measured { client: client(text), settled: Rtt::from_ms(ms), samples, age }
}

/// Estimates of a client of this network at a place, by region.
fn of(estimates: &Estimates, fleet: &Fleet, place: &Place, text: &str) -> Vec<Estimate> {
    let chart = Chart::new(estimates, fleet);
    chart.of(&chart.prior(place), client(text))
}

#[test]
fn an_estimate_rests_on_the_narrowest_that_was_measured() {
    let fleet = fleet();
    let mut map = map();
    let berlin = place("DE", 52.5, 13.4);
    map.hear(&reporter("us", "iad-1"), &[measured("5.1.2.0/24", 120.0)], NOW);
    for _ in 0..20 {
        let client: Prefix = "5.1.2.0/24".parse().unwrap();
        map.sample(client, Duration::from_millis(30), NOW).unwrap();
    }
    let estimates = estimates(&map, &fleet);
    let sources = |text| -> Vec<Source> {
        of(&estimates, &fleet, &berlin, text).iter().map(|estimate| estimate.source).collect()
    };
    assert_eq!(sources("5.1.2.0/24"), [Source::Prefix, Source::Prefix, Source::Distance]);
    let covering = Source::Covering("5.1.0.0/16".parse().unwrap());
    assert_eq!(sources("5.1.3.0/24"), [covering, covering, Source::Distance]);
    let own = of(&estimates, &fleet, &berlin, "5.1.2.0/24");
    assert!((28.0..30.5).contains(&own[0].ms) && own[0].samples > 15, "{own:?}");
    assert!((115.0..120.5).contains(&own[1].ms), "{own:?}");
    assert!(is_known(&own));
    assert_eq!(estimates.facts().clients, 1);
}

#[test]
fn probes_alone_already_tell_regions_apart() {
    let fleet = fleet();
    let mut map = map();
    map.probed("us", Duration::from_millis(95), NOW).unwrap();
    map.probed("ap", Duration::from_millis(130), NOW).unwrap();
    let estimates = estimates(&map, &fleet);
    let found = of(&estimates, &fleet, &place("DE", 52.5, 13.4), "5.1.2.0/24");
    let eu = crate::model::RegionId(0);
    assert_eq!(found[1].source, Source::Probes(eu));
    assert!(found[0].ms < found[1].ms && found[1].ms < found[2].ms, "{found:?}");
    let nowhere = of(&Estimates::default(), &fleet, &Place::default(), "5.1.2.0/24");
    assert!(!is_known(&nowhere));
}

#[test]
fn who_contradicts_physics_is_not_believed() {
    let fleet = fleet();
    let mut map = map();
    let liar = reporter("us", "iad-1");
    // Clients of Europe, by what the registries say of these blocks.
    let lies: Vec<Measured> = (0..60).map(|n| measured(&format!("5.{n}.2.0/24"), 0.06)).collect();
    map.hear(&liar, &lies, NOW);
    let one = [measured("5.200.2.0/24", 120.0)];
    map.hear(&liar, &one, NOW);
    let found = estimates(&map, &fleet);
    assert_eq!(found.facts().distrusted, [liar], "{:?}", found.facts());
    assert_eq!(found.clients().count(), 0, "nothing of a liar's counts");
    assert!(found.facts().contradictions["us"] >= 20);
}

#[test]
fn one_of_two_reporters_cannot_make_a_region_look_near() {
    let fleet = fleet();
    let mut map = map();
    map.hear(&reporter("eu", "fra-2"), &[measured("5.1.2.0/24", 3.0)], NOW);
    map.hear(&reporter("eu", "fra-3"), &[measured("5.1.2.0/24", 40.0)], NOW);
    let found = of(&estimates(&map, &fleet), &fleet, &place("DE", 52.5, 13.4), "5.1.2.0/24");
    assert!(found[0].ms > 30.0, "{found:?}");
}

#[test]
fn what_is_saved_comes_back_older_by_the_time_that_passed() {
    let fleet = fleet();
    let mut map = map();
    let keep = Duration::from_secs(7 * 86_400);
    map.probed("us", Duration::from_millis(95), NOW).unwrap();
    for ms in [20, 22, 21, 90] {
        map.sample("5.1.2.0/24".parse().unwrap(), Duration::from_millis(ms), NOW).unwrap();
    }
    map.hear(&reporter("us", "iad-1"), &[measured("2001:db8:1::/48", 120.0)], NOW);
    let file = map.save(NOW, 5_000);
    let load =
        |file: &[u8], unix| LatencyMap::load(reporter("eu", "fra-1"), 8, file, keep, (NOW, unix));
    let again = load(&file, 5_000).unwrap();
    assert_eq!(again.len(), 2);
    let sorted = |map: &LatencyMap| {
        let mut file: Vec<_> =
            map.all(NOW).map(|(r, e, age)| (e.client, r, e.cell.settled(), age)).collect();
        file.sort();
        file
    };
    assert_eq!(sorted(&again), sorted(&map));
    assert_eq!(again.own(NOW).count(), 1, "this node is still this node");
    assert_eq!(again.own_ways().count(), 1);
    let older = load(&file, 5_000 + 86_400).unwrap();
    assert_eq!(older.own(NOW).next().unwrap().age, Duration::from_secs(86_400));
    assert_eq!(load(&file, 5_000 + 8 * 86_400).unwrap().len(), 0, "forgotten");
    assert!(!is_known(
        &of(
            &estimates(&load(&file, 9_000_000).unwrap(), &fleet),
            &fleet,
            &Place::default(),
            "5.1.2.0/24"
        )[..1]
    ));
    let mut cut = file.clone();
    cut.pop();
    let mut other = file.clone();
    other[7] = 9;
    let mut wild = file.clone();
    let at = wild.len() - 12;
    wild[at..at + 2].copy_from_slice(&[0xff, 0xff]);
    for (what, bad) in
        [("cut", cut), ("of another version", other), ("wild", wild), ("empty", Vec::new())]
    {
        assert!(load(&bad, 5_000).is_err(), "{what}");
    }
}

#[test]
fn a_million_clients_take_less_than_64_mib() {
    let fleet = fleet();
    let mut map = map();
    let prefix = |n: u32| {
        let address = 0x1800_0000 + (n << 8);
        Prefix::holding(address.to_be_bytes().into(), 24)
    };
    for n in 0..1_000_000 {
        map.sample(prefix(n), Duration::from_millis(u64::from(n % 90) + 100), NOW).unwrap();
    }
    assert!(map.len() > 999_900, "{}", map.len());
    let estimates = estimates(&map, &fleet);
    let octets = map.bytes() + estimates.bytes();
    assert!(octets <= 64 << 20, "{} MiB", octets >> 20);
    // Another region measures the same clients: still bounded.
    let other = reporter("us", "iad-1");
    for n in 0..1_000_000 {
        let client = Client::of(prefix(n)).unwrap();
        let settled = Rtt::from_ms(200.0);
        map.hear(&other, &[Measured { client, settled, samples: 1, age: Duration::ZERO }], NOW);
    }
    assert!(map.bytes() <= 35 << 20, "{}", map.bytes());
    assert!(map.len() > 1_700_000, "{}", map.len());
}
