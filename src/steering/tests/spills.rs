//! Cases of decisions by load.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::model::{Fence, Spill};
use crate::steering::{Seen, Shares, Stance, Step};

const POOL: &[&str] = &[
    "eu 192.0.2.1",
    "eu 192.0.2.2 300",
    "eu 2001:db8::1",
    "uk 198.51.100.1",
    "uk 2001:db8::2",
    "us 203.0.113.1",
    "ap 203.0.113.99 0",
];

fn spills(before: Method, pick: Method) -> Service {
    let rule = Spill { target: 0.8, ramp: 0.1, standby: 0.0 };
    service(1, vec![before, Method::Spill(rule), pick])
}

/// A spread over ap, eu, uk and us, the contest's regions, by own region.
fn spread(shares: [[f64; 4]; 4], gone: &[usize]) -> Spread {
    let seen = |at: usize| Seen {
        stance: match at {
            0 => Stance::Standby,
            at if gone.contains(&at) => Stance::Gone,
            _ => Stance::Active(10),
        },
        weight: [0, 500, 200, 100][at],
        ..Seen::default()
    };
    Spread {
        pool: PoolId(0),
        seen: (0..4).map(seen).collect(),
        demand: vec![None; 4],
        shares: Shares { of: shares.map(|of| of.to_vec()).to_vec(), is_full: false },
        crowded: vec![false; 4],
    }
}

const STAY: [[f64; 4]; 4] =
    [[0.0; 4], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];

/// The part of each address in the answers to a client.
fn parts(
    world: &World,
    service: &Service,
    family: Family,
    client: &Place,
) -> BTreeMap<String, f64> {
    let decision = world.decide(service, family, client);
    let Outcome::Tied(tied) = decision.outcome else { return BTreeMap::new() };
    let total: u64 = tied.iter().map(|candidate| candidate.weight).sum();
    let part = |candidate: &Candidate| {
        (target(candidate), (candidate.weight as f64 / total as f64 * 1000.0).round() / 1000.0)
    };
    tied.iter().map(part).collect()
}

fn german() -> Place {
    client(50.0, 9.0, "DE", Continent::Europe)
}

/// What it is a case of, where clients go, which regions are gone, the method before, the family
/// asked for, and the part of each address for a client in Germany.
type Case =
    (&'static str, [[f64; 4]; 4], &'static [usize], Method, Family, &'static [(&'static str, f64)]);

fn cases() -> Vec<Case> {
    let mut half = STAY;
    half[1] = [0.0, 0.5, 0.1, 0.4];
    vec![
        (
            "all stay",
            STAY,
            &[],
            proximity(),
            Family::V4,
            &[("192.0.2.1", 0.25), ("192.0.2.2", 0.75)],
        ),
        (
            "half of them leave",
            half,
            &[],
            proximity(),
            Family::V4,
            &[
                ("192.0.2.1", 0.125),
                ("192.0.2.2", 0.375),
                ("198.51.100.1", 0.1),
                ("203.0.113.1", 0.4),
            ],
        ),
        (
            "to regions that have the family",
            half,
            &[],
            proximity(),
            Family::V6,
            &[("2001:db8::1", 0.833), ("2001:db8::2", 0.167)],
        ),
    ]
}

fn cases_of_losses_and_ties() -> Vec<Case> {
    let mut half = STAY;
    half[1] = [0.0, 0.5, 0.1, 0.4];
    let mut warm = STAY;
    warm[1] = [0.02, 0.98, 0.0, 0.0];
    let mut lost = STAY;
    lost[1] = [0.0, 0.0, 0.25, 0.75];
    let all = Method::Nearest { count: 3, tolerance: 0.0 };
    vec![
        (
            "a standby is kept warm",
            warm,
            &[],
            proximity(),
            Family::V4,
            &[("192.0.2.1", 0.245), ("192.0.2.2", 0.735), ("203.0.113.99", 0.02)],
        ),
        (
            "their region is gone",
            lost,
            &[1],
            proximity(),
            Family::V4,
            &[("198.51.100.1", 0.25), ("203.0.113.1", 0.75)],
        ),
        (
            "whose regions tie have the parts of all of them",
            half,
            &[],
            all,
            Family::V4,
            // By weight 5, 2 and 1 of 8, of which the first spreads.
            &[
                ("192.0.2.1", 0.078),
                ("192.0.2.2", 0.234),
                ("198.51.100.1", 0.313),
                ("203.0.113.1", 0.375),
            ],
        ),
        (
            "what nobody takes goes by the other methods",
            [[0.0; 4]; 4],
            &[1],
            proximity(),
            Family::V4,
            &[("198.51.100.1", 1.0)],
        ),
    ]
}

#[test]
fn clients_go_where_the_load_lets_them() {
    for (case, shares, gone, before, family, expected) in
        cases().into_iter().chain(cases_of_losses_and_ties())
    {
        let mut world = World::new(&[POOL]);
        if gone.contains(&1) {
            for lost in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
                world.set(lost, Level::Down);
            }
        }
        world.spread = Some(spread(shares, gone));
        let service = spills(before, Method::Weighted);
        let found = parts(&world, &service, family, &german());
        let expected = expected.iter().map(|(a, part)| ((*a).to_owned(), *part)).collect();
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn what_load_decides_is_a_step() {
    let mut shares = STAY;
    shares[1] = [0.0, 0.4, 0.6, 0.0];
    let mut world = World::new(&[POOL]);
    world.spread = Some(spread(shares, &[]));
    let decision = world.decide(&spills(proximity(), Method::Weighted), Family::V4, &german());
    assert!(decision.is_spilled);
    let last = decision.steps.last().unwrap();
    let expected = Step { method: "spill", spoke: true, tiers: vec![vec![2, 1], vec![3]] };
    assert_eq!(*last, expected);
}

#[test]
fn a_strict_fence_holds_and_rotation_answers_all() {
    let mut shares = STAY;
    shares[1] = [0.0, 0.5, 0.2, 0.3];
    let mut world = World::new(&[POOL]);
    world.spread = Some(spread(shares, &[]));
    let fence = Method::Fence { by: Fence::Continent, strict: true };
    let mut service = spills(fence, Method::Weighted);
    service.policy.insert(1, proximity());
    let found = parts(&world, &service, Family::V4, &german());
    assert!(!found.contains_key("203.0.113.1"), "{found:?}");
    assert!((found["198.51.100.1"] - 0.286).abs() < 1e-9, "{found:?}");
    let rotating = spills(proximity(), Method::Rotate);
    assert!(!world.decide(&rotating, Family::V4, &german()).is_spilled);
}

#[test]
fn clients_of_a_fenced_network_leave_it_only_when_it_is_full() {
    let mut shares = STAY;
    shares[1] = [0.0, 0.5, 0.1, 0.4];
    let fence = Method::Fence { by: Fence::Network(NetworkId(0)), strict: false };
    let mut service = spills(fence, Method::Weighted);
    service.policy.insert(1, proximity());
    let office = Place { asn: Some(64500), ..german() };
    for (case, client, us_load, expected) in [
        ("there is room in us", &office, 20.0, [("eu", 0.5), ("us", 0.5)].as_slice()),
        ("there is none", &office, 99.0, &[("eu", 0.5), ("uk", 0.1), ("us", 0.4)]),
        ("of no network", &german(), 20.0, &[("eu", 0.5), ("uk", 0.1), ("us", 0.4)]),
    ] {
        let mut world = World::new(&[POOL]);
        let mut spread = spread(shares, &[]);
        for (at, (demand, load)) in
            [(0.0, 0.0), (99.0, 99.5), (0.0, 0.0), (us_load - 39.6, us_load)]
                .into_iter()
                .enumerate()
                .skip(1)
        {
            spread.demand[at] = Some(f64::max(demand, 0.0));
            spread.seen[at] = Seen { load: Some(load), capacity: Some(100.0), ..spread.seen[at] };
        }
        // What stays of eu's clients fills it.
        spread.seen[1].capacity = Some(50.0);
        world.spread = Some(spread);
        let found = parts(&world, &service, Family::V4, client);
        let of = |region: &str| {
            let addresses: &[&str] = match region {
                "eu" => &["192.0.2.1", "192.0.2.2"],
                "uk" => &["198.51.100.1"],
                _ => &["203.0.113.1"],
            };
            let sum: f64 = addresses.iter().filter_map(|address| found.get(*address)).sum();
            (sum * 1000.0).round() / 1000.0
        };
        let wanted =
            |region| expected.iter().find(|(name, _)| *name == region).map_or(0.0, |e| e.1);
        for region in ["eu", "uk", "us"] {
            assert!((of(region) - wanted(region)).abs() < 1e-9, "{case}: {region} in {found:?}");
        }
    }
}

#[test]
fn the_same_clients_leave_and_for_both_families_alike() {
    let service = spills(proximity(), Method::Affinity { v4: 24, v6: 48 });
    let clients: Vec<IpAddr> =
        (0..4_000u32).map(|n| IpAddr::from((0x0b00_0000 + (n << 8)).to_be_bytes())).collect();
    // uk alone has both families beside eu.
    let regions = |kept: f64, family: Family| -> Vec<u16> {
        let mut shares = STAY;
        shares[1] = [0.0, kept, 1.0 - kept, 0.0];
        let mut world = World::new(&[POOL]);
        world.spread = Some(spread(shares, &[]));
        let (contest, class) = world.contest(&service, &german());
        let (from, tied) = contenders(&contest, &class, family, &world.view());
        let from = from.by_share(&tied);
        let pick = |client: &IpAddr| {
            let chosen = contest.pick().choose(&from, *client, 0, 1);
            tied[chosen.at(0).unwrap()].region
        };
        clients.iter().map(pick).collect()
    };
    let left = |regions: &[u16]| regions.iter().filter(|region| **region == 2).count() as f64;
    let (some, more) = (regions(0.9, Family::V4), regions(0.7, Family::V4));
    assert!((left(&some) / 4_000.0 - 0.1).abs() < 0.02, "{}", left(&some));
    assert!((left(&more) / 4_000.0 - 0.3).abs() < 0.03, "{}", left(&more));
    assert!(some.iter().zip(&more).all(|(some, more)| *some == 1 || *more == 2), "nobody returns");
    assert_eq!(more, regions(0.7, Family::V6));
}

#[test]
fn nobody_explores_a_region_that_is_crowded() {
    let mut world = World::new(&[POOL]);
    let mut service = spills(Method::Latency { tolerance: 0.0, explore: None }, Method::Weighted);
    service.policy.insert(1, proximity());
    let contest = Contest::new(&service, &world.fleet, true);
    // By region of the fleet: ap, br, eu, uk, us.
    let estimates = [200.0, 200.0, 10.0, 30.0, 90.0].map(|ms| {
        let source = crate::latency::Source::Prefix;
        crate::latency::Estimate { ms, source, samples: 9, hours: 0 }
    });
    let class = contest.class(&contest.opinions(&german(), None, &estimates, &world.fleet));
    for (case, crowded, expected) in [
        ("all have room", [0usize; 0].as_slice(), [2, 3].as_slice()),
        ("the runner-up is crowded", &[2], &[3]),
        ("the one behind it is", &[3], &[2]),
        ("both are", &[2, 3], &[]),
        ("their own is", &[1], &[2, 3]),
    ] {
        let mut spread = spread(STAY, &[]);
        for at in crowded {
            spread.crowded[*at] = true;
        }
        world.spread = Some(spread);
        let explored = contest.runner_up(&class, Family::V4, &world.view());
        let regions: Vec<u16> = explored.iter().map(|candidate| candidate.region).collect();
        assert_eq!(regions, expected, "{case}");
    }
    let mut spread = spread(STAY, &[]);
    (spread.pool, spread.crowded) = (PoolId(7), vec![true; 4]);
    world.spread = Some(spread);
    let explored = contest.runner_up(&class, Family::V4, &world.view());
    assert_eq!(explored.len(), 2, "load of another pool says nothing");
    for (own, share, explored) in [(None, 0.005, 2), (Some(0.0), 0.0, 0), (Some(0.1), 0.1, 2)] {
        let mut service = service.clone();
        service.policy[0] = Method::Latency { tolerance: 0.0, explore: own };
        let contest = Contest::new(&service, &world.fleet, true);
        assert!((contest.explored(&world.fleet) - share).abs() < 1e-9, "{own:?}");
        assert_eq!(contest.runner_up(&class, Family::V4, &world.view()).len(), explored);
    }
    world.set("198.51.100.1", Level::Down);
    world.set("2001:db8::2", Level::Down);
    assert_eq!(contest.runner_up(&class, Family::V4, &world.view()), [], "one is down");
}
