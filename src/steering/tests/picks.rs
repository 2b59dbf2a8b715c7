//! Shares, stickiness and rotation of the last stage.

use std::collections::BTreeMap;

use super::*;
use crate::steering::Pick;

/// How often each address comes first in `count` answers to `client(n)`.
fn shares(
    world: &World,
    service: &Service,
    family: Family,
    count: u64,
    client: impl Fn(u64) -> IpAddr,
) -> BTreeMap<String, f64> {
    let (contest, class) = world.contest(service, &Place::default());
    let (contenders, tied) = contenders(&contest, &class, family, &world.view());
    let mut shares = BTreeMap::new();
    let mut random = 1;
    for n in 0..count {
        random = super::super::pick::next(random);
        let chosen = contest.pick().choose(&contenders, client(n), random, contest.answers());
        let first = chosen.iter().next().unwrap();
        *shares.entry(target(&tied[first])).or_insert(0.0) += 1.0 / count as f64;
    }
    shares
}

fn one_client(_: u64) -> IpAddr {
    [192, 0, 2, 1].into()
}

fn many_clients(n: u64) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::from((n as u32).wrapping_mul(0x0001_0100)))
}

#[track_caller]
fn assert_shares(shares: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    assert_eq!(shares.len(), expected.len(), "{shares:?}");
    for (address, share) in expected {
        let found = shares.get(*address).copied().unwrap_or(0.0);
        assert!((found - share).abs() < 0.01, "{address}: {found}, expected {share}");
    }
}

#[test]
fn weighted_gives_exact_shares() {
    let mut world = World::new(&[&[
        "eu 192.0.2.1 10",
        "eu 192.0.2.2 20",
        "us 192.0.2.3 30",
        "us 192.0.2.4 40",
    ]]);
    let service = service(1, vec![Method::Weighted]);
    let expected = [("192.0.2.1", 0.1), ("192.0.2.2", 0.2), ("192.0.2.3", 0.3), ("192.0.2.4", 0.4)];
    assert_shares(&shares(&world, &service, Family::V4, 100_000, one_client), &expected);
    world.set("192.0.2.1", Level::Down);
    let left = [("192.0.2.2", 0.2 / 0.9), ("192.0.2.3", 0.3 / 0.9), ("192.0.2.4", 0.4 / 0.9)];
    world.fleet.pools[0].min_up = 0.1;
    assert_shares(&shares(&world, &service, Family::V4, 100_000, one_client), &left);
}

#[test]
fn endpoints_of_weight_zero_share_alike_when_they_are_all_there_is() {
    let world = World::new(&[&["eu 192.0.2.1 0", "us 192.0.2.2 0"]]);
    let service = service(1, vec![]);
    let expected = [("192.0.2.1", 0.5), ("192.0.2.2", 0.5)];
    assert_shares(&shares(&world, &service, Family::V4, 100_000, one_client), &expected);
}

#[test]
fn a_hostname_shares_its_weight_among_its_addresses() {
    let mut world = World::new(&[&["eu lb.example.net 30", "eu 192.0.2.1 10"]]);
    let v4 = vec![[192, 0, 2, 7].into(), [192, 0, 2, 8].into(), [192, 0, 2, 9].into()];
    let resolved = crate::health::Resolved { v4, ..Default::default() };
    world.hosts.insert(name("lb.example.net"), resolved);
    let expected = ["192.0.2.1", "192.0.2.7", "192.0.2.8", "192.0.2.9"].map(|a| (a, 0.25));
    let service = service(1, vec![]);
    assert_shares(&shares(&world, &service, Family::V4, 100_000, one_client), &expected);
}

#[test]
fn affinity_honours_weights_and_keeps_each_client() {
    let world = World::new(&[&["eu 192.0.2.1 100", "eu 192.0.2.2 300", "us 192.0.2.3 400"]]);
    let service = service(1, vec![Method::Affinity { v4: 24, v6: 48 }]);
    let expected = [("192.0.2.1", 0.125), ("192.0.2.2", 0.375), ("192.0.2.3", 0.5)];
    assert_shares(&shares(&world, &service, Family::V4, 100_000, many_clients), &expected);
    assert_eq!(shares(&world, &service, Family::V4, 1_000, one_client).len(), 1);
}

#[test]
fn affinity_moves_only_the_clients_of_the_endpoint_that_goes() {
    let pool = ["eu 192.0.2.1", "eu 192.0.2.2", "us 192.0.2.3", "us 192.0.2.4", "ap 192.0.2.5"];
    let mut world = World::new(&[&pool]);
    let service = service(1, vec![Method::Affinity { v4: 24, v6: 48 }]);
    let chosen = |world: &World, n: u64| {
        let share = shares(world, &service, Family::V4, 1, |_| many_clients(n));
        share.into_keys().next().unwrap()
    };
    let before: Vec<String> = (0..5_000).map(|n| chosen(&world, n)).collect();
    for gone in ["192.0.2.1", "192.0.2.5"] {
        world.set(gone, Level::Down);
        let mut moved = 0;
        for (n, before) in before.iter().enumerate() {
            let after = chosen(&world, n as u64);
            assert_ne!(after, gone);
            if after != *before {
                assert_eq!(before, gone, "a client of a healthy endpoint moved");
                moved += 1;
            }
        }
        assert!(moved <= 5_000 / 5 + 250, "{moved} of 5000 moved when {gone} went");
        world.set(gone, Level::Up);
    }
}

#[test]
fn affinity_hashes_the_ipv4_client_inside_ipv6() {
    let pick = Pick::Affinity { v4: 24, v6: 48 };
    for (client, scope) in
        [("192.0.2.1", 24), ("2001:db8::1", 48), ("::ffff:192.0.2.1", 120), ("2002:c000:201::", 40)]
    {
        assert_eq!(pick.scope(client.parse().unwrap()), scope, "{client}");
    }
    let world = World::new(&[&["eu 192.0.2.1", "us 192.0.2.2", "ap 192.0.2.3", "br 192.0.2.4"]]);
    let service = service(1, vec![Method::Affinity { v4: 24, v6: 48 }]);
    for n in 0..200 {
        let IpAddr::V4(v4) = many_clients(n) else { unreachable!() };
        let plain = shares(&world, &service, Family::V4, 1, |_| IpAddr::V4(v4));
        let mapped = shares(&world, &service, Family::V4, 1, |_| v4.to_ipv6_mapped().into());
        assert_eq!(plain, mapped);
    }
}

#[test]
fn several_answers_are_different_and_one_of_each_group() {
    let pool =
        ["eu 192.0.2.1 100 r1", "eu 192.0.2.2 100 r1", "eu 192.0.2.3 100 r2", "eu 192.0.2.4"];
    let world = World::new(&[&pool]);
    for method in [Method::Weighted, Method::Affinity { v4: 24, v6: 48 }, Method::Rotate] {
        let service = Service { answers: Some(3), ..service(1, vec![method.clone()]) };
        let (contest, class) = world.contest(&service, &Place::default());
        let (contenders, tied) = contenders(&contest, &class, Family::V4, &world.view());
        for random in (0..1_000u64).map(|n| n << 54) {
            let chosen = contest.pick().choose(&contenders, many_clients(random), random, 3);
            let mut all: Vec<String> = chosen.iter().map(|at| target(&tied[at])).collect();
            all.sort();
            assert_eq!(all.len(), 3, "{method:?}");
            assert_eq!(all[1..], ["192.0.2.3", "192.0.2.4"], "{method:?}");
        }
    }
}

#[test]
fn rotate_answers_all_and_starts_evenly() {
    let world = World::new(&[&["eu 192.0.2.1", "us 192.0.2.2 7", "ap 192.0.2.3"]]);
    let service = Service { answers: None, ..service(1, vec![Method::Rotate]) };
    let third = 1.0 / 3.0;
    let expected = [("192.0.2.1", third), ("192.0.2.2", third), ("192.0.2.3", third)];
    assert_shares(&shares(&world, &service, Family::V4, 100_000, one_client), &expected);
    let (contest, _) = world.contest(&service, &Place::default());
    assert_eq!(contest.answers(), crate::steering::PICKS_MAX);
}

/// In how many of 10,000 draws the families land in different regions although each could have
/// landed in the region of the other.
fn parted(world: &World, service: &Service) -> usize {
    let view = world.view();
    let (contest, class) = world.contest(service, &paris());
    let [v4, v6] =
        [Family::V4, Family::V6].map(|family| contenders(&contest, &class, family, &view));
    let mut random = 7;
    (0..10_000)
        .filter(|n| {
            random = super::super::pick::next(random);
            let region = |(contenders, tied): &(Contenders, Vec<Candidate>)| {
                let want = contest.answers();
                let chosen = contest.pick().choose(contenders, many_clients(*n), random, want);
                tied[chosen.iter().next().unwrap()].region
            };
            let (first, second) = (region(&v4), region(&v6));
            let serves = |tied: &[Candidate], region| tied.iter().any(|c| c.region == region);
            first != second && serves(&v4.1, second) && serves(&v6.1, first)
        })
        .count()
}

fn paris() -> Place {
    client(48.86, 2.35, "FR", Continent::Europe)
}

/// Every way of picking, over all regions and over the nearest ones.
fn policies() -> Vec<(u16, Vec<Method>)> {
    let picks = [Method::Weighted, Method::Rotate, Method::Affinity { v4: 24, v6: 48 }];
    let nearest = || Method::Nearest { count: 2, tolerance: 0.0 };
    let all = picks.iter().map(|pick| (1, vec![pick.clone()]));
    let near = picks.iter().map(|pick| (1, vec![proximity(), nearest(), pick.clone()]));
    let several = picks.iter().map(|pick| (2, vec![pick.clone()]));
    all.chain(near).chain(several).collect()
}

#[test]
fn both_families_land_in_the_same_region_whatever_the_health_of_one() {
    let pool = [
        "eu 192.0.2.1 10",
        "us 192.0.2.2 30",
        "uk 192.0.2.3 20",
        "eu 2001:db8::1 10",
        "us 2001:db8::2 30",
        "uk 2001:db8::3 20",
    ];
    for (answers, policy) in policies() {
        let service = Service { answers: Some(answers), ..service(1, policy.clone()) };
        for down in [
            &[][..],
            &["192.0.2.1"],
            &["2001:db8::3"],
            &["192.0.2.1", "2001:db8::1"],
            &["192.0.2.1", "2001:db8::3"],
        ] {
            let mut world = World::new(&[&pool]);
            for address in down {
                world.set(address, Level::Down);
            }
            assert_eq!(parted(&world, &service), 0, "{policy:?}, down: {down:?}");
        }
    }
}

#[test]
fn regions_of_unequal_families_keep_their_clients_together() {
    // eu has more of IPv4, us of IPv6; ap has IPv6 alone.
    let pool = [
        "eu 192.0.2.1 100",
        "eu 192.0.2.2 50",
        "us 192.0.2.3 50",
        "eu 2001:db8::1 100",
        "us 2001:db8::2 100",
        "us 2001:db8::3 100",
    ];
    let mut world = World::new(&[&pool]);
    let affinity = service(1, vec![Method::Affinity { v4: 24, v6: 48 }]);
    assert_eq!(parted(&world, &affinity), 0, "one weight draws for both families");
    let expected = [("192.0.2.1", 0.5), ("192.0.2.2", 0.25), ("192.0.2.3", 0.25)];
    assert_shares(&shares(&world, &affinity, Family::V4, 100_000, many_clients), &expected);

    // Exact shares of 3/4 and 1/4 beside 1/3 and 2/3 part 5 clients of 12, and no more.
    let weighted = service(1, vec![]);
    let parts = parted(&world, &weighted) as f64 / 10_000.0;
    assert!((parts - 5.0 / 12.0).abs() < 0.02, "{parts}");
    let third = 1.0 / 3.0;
    let expected = [("2001:db8::1", third), ("2001:db8::2", third), ("2001:db8::3", third)];
    assert_shares(&shares(&world, &weighted, Family::V6, 100_000, one_client), &expected);

    world.set("192.0.2.3", Level::Down);
    assert_eq!(parted(&world, &affinity), 0, "us has no IPv4 left");

    // A region without IPv4 draws with the weight it has.
    let world = World::new(&[&["eu 2001:db8::1 100", "us 2001:db8::2 300"]]);
    let expected = [("2001:db8::1", 0.25), ("2001:db8::2", 0.75)];
    assert_shares(&shares(&world, &affinity, Family::V6, 100_000, many_clients), &expected);
}
