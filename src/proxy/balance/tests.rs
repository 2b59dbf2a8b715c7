//! Distributions, movements and reactions of every balance, from fixed seeds.

#![allow(clippy::float_cmp)] // Shares of zero are exact.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::clock::Tick;
use crate::steering::mix;

/// The balances that hash.
const HASHES: [Balance; 3] = [Balance::IpHash, Balance::RingHash, Balance::Maglev];

fn members(weights: &[f64]) -> Vec<Member> {
    (1..).zip(weights).map(|(id, weight)| Member { id: mix(id, 77), weight: *weight }).collect()
}

fn candidates(members: &[Member]) -> Vec<Candidate> {
    let candidate = |member: &Member| Candidate {
        id: member.id,
        weight: member.weight,
        in_flight: 0,
        latency_ewma_ms: 10.0,
    };
    members.iter().map(candidate).collect()
}

fn key(number: u64) -> Key {
    Key::client(IpAddr::V4(Ipv4Addr::from(number as u32)))
}

/// How many of `rounds` requests each candidate gets.
fn shares(balancer: &mut Balancer, candidates: &[Candidate], rounds: u64) -> Vec<u64> {
    let mut counts = vec![0; candidates.len()];
    for round in 0..rounds {
        let at = balancer.pick(candidates, key(round), mix(round, 9)).unwrap();
        counts[at] += 1;
    }
    counts
}

/// The sum of squared deviations, each over its expectation.
fn chi_square(counts: &[u64], weights: &[f64]) -> f64 {
    let (rounds, total) = (counts.iter().sum::<u64>() as f64, weights.iter().sum::<f64>());
    let term = |(count, weight): (&u64, &f64)| {
        let expected = rounds * weight / total;
        if expected == 0.0 {
            return if *count == 0 { 0.0 } else { f64::INFINITY };
        }
        (*count as f64 - expected).powi(2) / expected
    };
    counts.iter().zip(weights).map(term).sum()
}

#[test]
fn shares_follow_the_weights() {
    // Chi-square with 3 degrees of freedom exceeds 16.3 once in a thousand times.
    const LIKELY: f64 = 16.3;
    let rounds = 60_000;
    let weights = [100.0, 50.0, 25.0, 25.0];
    for (kind, weights, bound) in [
        (Balance::RoundRobin, [1.0; 4], 0.01),
        (Balance::WeightedRoundRobin, weights, 0.01),
        (Balance::LeastConnections, weights, LIKELY),
        (Balance::LeastResponseTime, weights, LIKELY),
        (Balance::RandomTwo, weights, LIKELY),
        (Balance::IpHash, weights, LIKELY),
        (Balance::Maglev, weights, LIKELY),
    ] {
        let members = members(&weights);
        let counts = shares(&mut Balancer::new(kind, &members, 5), &candidates(&members), rounds);
        let deviation = chi_square(&counts, &weights);
        assert!(deviation < bound, "{kind:?}: {counts:?}, {deviation}");
    }
    // The share of a ring's points varies by 1/√points, here 200 for the median weight.
    let members = members(&weights);
    let counts =
        shares(&mut Balancer::new(Balance::RingHash, &members, 5), &candidates(&members), rounds);
    for (count, weight) in counts.iter().zip(weights) {
        let error = (*count as f64 / rounds as f64) / (weight / 200.0) - 1.0;
        assert!(error.abs() < 0.25, "{counts:?}");
    }
}

#[test]
fn weight_zero_is_a_last_resort() {
    for kind in Balance::ALL {
        let set = members(&[10.0, 0.0, 10.0, 0.0]);
        let mut balancer = Balancer::new(kind, &set, 3);
        let mut all = candidates(&set);
        all[3].weight = f64::NAN;
        let counts = shares(&mut balancer, &all, 2000);
        assert_eq!((counts[1], counts[3]), (0, 0), "{kind:?}: {counts:?}");
        let rest = [all[1], all[3]];
        let counts = shares(&mut balancer, &rest, 2000);
        assert!(counts.iter().all(|count| *count > 800), "{kind:?} among the last: {counts:?}");
        assert_eq!(balancer.pick(&[], key(1), 1), None, "{kind:?} without anyone");
        assert_eq!(balancer.pick(&rest[..1], key(1), 1), Some(0), "{kind:?} with one");
        let stranger = Candidate { id: 4711, ..all[0] };
        let counts = shares(&mut balancer, &[all[0], stranger, all[2]], 3000);
        assert!(counts.iter().sum::<u64>() == 3000, "{kind:?} with one it does not know");
    }
}

#[test]
fn turns_are_spread_out() {
    let set = members(&[5.0, 1.0, 1.0]);
    let mut balancer = Balancer::new(Balance::WeightedRoundRobin, &set, 1);
    let all = candidates(&set);
    let turns: Vec<usize> =
        (0..7000).filter_map(|round| balancer.pick(&all, key(0), round)).collect();
    for round in turns.windows(7).skip(7) {
        let first = round.iter().filter(|at| **at == 0).count();
        assert!((4..=6).contains(&first), "{round:?}");
    }
    let longest = turns.split(|at| *at != 0).map(<[usize]>::len).max();
    assert!(longest <= Some(5), "never more than its weight in a row: {longest:?}");
}

#[test]
fn rotation_goes_evenly_through_any_subset() {
    let set = members(&[1.0; 5]);
    let all = candidates(&set);
    let mut balancer = Balancer::new(Balance::RoundRobin, &set, 8);
    let some = [all[0], all[2], all[3]];
    assert_eq!(shares(&mut balancer, &some, 3000), [1000; 3]);
    // Now this one, now that one is out: nobody gets two turns while another waits.
    let mut counts = [0_i32; 5];
    for round in 0..5000_u64 {
        let out = (mix(round / 50, 3) % 5) as usize;
        let some: Vec<Candidate> = (0..5).filter(|at| *at != out).map(|at| all[at]).collect();
        let at = balancer.pick(&some, key(0), round).unwrap();
        counts[set.iter().position(|member| member.id == some[at].id).unwrap()] += 1;
    }
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least < 250, "{counts:?}");
}

#[test]
fn threads_do_not_begin_with_the_same_endpoint() {
    let set = members(&[1.0; 8]);
    for kind in [Balance::RoundRobin, Balance::WeightedRoundRobin] {
        let first = |seed: u64| {
            Balancer::new(kind, &set, mix(seed, 1)).pick(&candidates(&set), key(0), 0).unwrap()
        };
        let begun: std::collections::BTreeSet<usize> = (0..40).map(first).collect();
        assert!(begun.len() >= 6, "{kind:?}: {begun:?}");
    }
}

/// The owner of each of many keys.
fn owners(balancer: &mut Balancer, candidates: &[Candidate]) -> Vec<u64> {
    (0..20_000).map(|n| candidates[balancer.pick(candidates, key(n), 0).unwrap()].id).collect()
}

fn moved(before: &[u64], after: &[u64]) -> f64 {
    let moved = before.iter().zip(after).filter(|(before, after)| before != after).count();
    moved as f64 / before.len() as f64
}

#[test]
fn hashes_move_little_when_one_joins_or_leaves() {
    for (kind, weights) in HASHES.iter().flat_map(|kind| {
        [(kind, vec![1.0; 5]), (kind, vec![1.0; 40]), (kind, vec![100.0, 50.0, 20.0, 100.0, 70.0])]
    }) {
        let all = members(&weights);
        let total: f64 = weights.iter().sum();
        let mut before = Balancer::new(*kind, &all, 1);
        let owned = owners(&mut before, &candidates(&all));
        for gone in 0..all.len().min(5) {
            let mut fewer = all.clone();
            let lost = fewer.remove(gone);
            let bound = lost.weight / total + 0.05;
            let mut after = before.over(&fewer, 2);
            let share = moved(&owned, &owners(&mut after, &candidates(&fewer)));
            assert!(share <= bound, "{kind:?} of {}: {share} when one leaves", weights.len());
            let back = owners(&mut after.over(&all, 3), &candidates(&all));
            assert!(moved(&owned, &back) == 0.0, "{kind:?}: back where it was");
        }
    }
}

#[test]
fn a_failure_moves_the_failed_share_alone_and_spreads_it() {
    for kind in HASHES {
        let set = members(&[1.0; 6]);
        let mut balancer = Balancer::new(kind, &set, 1);
        let all = candidates(&set);
        let before = owners(&mut balancer, &all);
        let without: Vec<Candidate> = [&all[..2], &all[3..]].concat();
        let after = owners(&mut balancer, &without);
        let lost = all[2].id;
        let mut heirs = std::collections::BTreeMap::new();
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == lost, "{kind:?} moved a key it need not");
            if *before == lost {
                *heirs.entry(*after).or_insert(0_u32) += 1;
            }
        }
        let total: u32 = heirs.values().sum();
        assert!(heirs.values().all(|count| *count * 12 > total), "{kind:?}: {heirs:?}");
    }
}

#[test]
fn nodes_agree_whatever_the_order_of_their_files() {
    for kind in HASHES {
        let mut set = members(&[3.0, 1.0, 2.0, 5.0]);
        let one = owners(&mut Balancer::new(kind, &set, 1), &candidates(&set));
        set.reverse();
        let other = owners(&mut Balancer::new(kind, &set, 2), &candidates(&set));
        assert_eq!(moved(&one, &other), 0.0, "{kind:?}");
    }
}

#[test]
fn a_slow_start_brings_more_and_more_keys_and_takes_none_back() {
    for kind in HASHES {
        let set = members(&[1.0; 5]);
        let mut balancer = Balancer::new(kind, &set, 1);
        let mut all = candidates(&set);
        let mut held: Vec<bool> = vec![false; 20_000];
        for seconds in [0, 3, 9, 18, 30] {
            all[1].weight = ramp(Tick(0), Duration::from_secs(30), Tick(seconds * 1000));
            let owned = owners(&mut balancer, &all);
            let share = owned.iter().filter(|id| **id == all[1].id).count() as f64 / 20_000.0;
            assert!(share <= all[1].weight * 0.2 + 0.05, "{kind:?} after {seconds} s: {share}");
            for (held, owner) in held.iter_mut().zip(&owned) {
                assert!(!*held || *owner == all[1].id, "{kind:?}: a key went back");
                *held = *owner == all[1].id;
            }
        }
        let count = held.iter().filter(|held| **held).count();
        assert!(count > 3000, "{kind:?}: {count} in the end");
    }
}

#[test]
fn the_slowest_is_avoided() {
    let set = members(&[1.0; 4]);
    let mut all = candidates(&set);
    all[2].latency_ewma_ms = 400.0;
    let counts = shares(&mut Balancer::new(Balance::LeastResponseTime, &set, 1), &all, 4000);
    assert_eq!(counts[2], 0, "{counts:?}");
    let two = [all[0], all[2]];
    let counts = shares(&mut Balancer::new(Balance::LeastResponseTime, &set, 1), &two, 1000);
    assert_eq!(counts, [1000, 0]);
}

/// A second of traffic in steps of a millisecond: each request ends after the latency of its
/// endpoint. Gives the shares and the most that each had in flight.
fn second(kind: Balance, all: &mut [Candidate], latency_ms: &[u64]) -> (Vec<u64>, Vec<u32>) {
    let set: Vec<Member> =
        all.iter().map(|candidate| Member { id: candidate.id, weight: 1.0 }).collect();
    let mut balancer = Balancer::new(kind, &set, 1);
    let mut ends: Vec<(u64, usize)> = Vec::new();
    let (mut counts, mut most) = (vec![0; all.len()], vec![0; all.len()]);
    let mut estimates = vec![PeakEwma::default(); all.len()];
    for (estimate, candidate) in estimates.iter_mut().zip(all.iter()) {
        if candidate.latency_ewma_ms > 0.0 {
            let known = Duration::from_secs_f32(candidate.latency_ewma_ms / 1000.0);
            estimate.observe(known, Tick(1000));
        }
    }
    for now in 1000..2000_u64 {
        ends.retain(|(end, at)| {
            if *end == now {
                all[*at].in_flight -= 1;
                estimates[*at].observe(Duration::from_millis(latency_ms[*at]), Tick(now));
                all[*at].latency_ewma_ms = estimates[*at].read(Tick(now));
            }
            *end > now
        });
        for request in 0..4 {
            let at = balancer.pick(all, key(now), mix(now, request)).unwrap();
            all[at].in_flight += 1;
            counts[at] += 1;
            most[at] = most[at].max(all[at].in_flight);
            ends.push((now + latency_ms[at], at));
        }
    }
    (counts, most)
}

#[test]
fn traffic_moves_away_from_a_slow_endpoint_and_does_not_rush_to_a_new_one() {
    let set = members(&[1.0; 5]);
    let slow = [10, 10, 10, 10, 200];
    for (kind, bound) in [
        (Balance::LeastConnections, 0.10),
        (Balance::RandomTwo, 0.12),
        (Balance::LeastResponseTime, 0.02),
    ] {
        let (counts, _) = second(kind, &mut candidates(&set), &slow);
        let share = counts[4] as f64 / 4000.0;
        assert!(share < bound, "{kind:?}: {counts:?}");
    }
    // A new one that nothing is known of, in a pool that is busy.
    let mut all = candidates(&set);
    all[4].latency_ewma_ms = 0.0;
    let (counts, most) = second(Balance::LeastResponseTime, &mut all, &[10; 5]);
    let share = counts[4] as f64 / 4000.0;
    assert!((0.1..0.3).contains(&share), "it gets about its share: {counts:?}");
    assert!(most[4] <= 20, "and never a crowd: {most:?}");
    // One that never answers gets a single request.
    let mut all = candidates(&set);
    all[4].latency_ewma_ms = 0.0;
    let (counts, _) = second(Balance::LeastResponseTime, &mut all, &[10, 10, 10, 10, 100_000]);
    assert_eq!(counts[4], 1, "{counts:?}");
}

#[test]
fn slow_start_holds_back_what_would_draw_a_crowd() {
    let set = members(&[1.0; 5]);
    for kind in [
        Balance::WeightedRoundRobin,
        Balance::LeastConnections,
        Balance::RandomTwo,
        Balance::LeastResponseTime,
    ] {
        let mut all = candidates(&set);
        all[4].weight = ramp(Tick(0), Duration::from_secs(30), Tick(1500));
        let (counts, most) = second(kind, &mut all, &[10; 5]);
        let share = counts[4] as f64 / 4000.0;
        assert!(share < 0.06, "{kind:?} with a twentieth of its weight: {counts:?}");
        assert!(most[4] <= 2, "{kind:?}: {most:?}");
    }
}

#[test]
fn keys_are_clients_or_texts() {
    let client = |text: &str| Key::client(text.parse().unwrap());
    assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"), "one /64");
    assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
    assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"), "mapped");
    assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    assert_ne!(Key::text(b"a"), Key::text(b"a\0"), "the length counts");
    assert_eq!(Key::text(b"session-0815"), Key::text(b"session-0815"));
}
