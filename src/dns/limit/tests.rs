//! The limiter over a clock of its own: accuracy, bounds, fairness.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn rates(rate: u32) -> ResponseRates {
    let rate = NonZeroU32::new(rate);
    ResponseRates { positive: rate, negative: rate, error: rate, slip: 0, ..Default::default() }
}

fn limiter() -> Limiter {
    Limiter::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210])
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(number).into()
}

/// Whether an answer to this client is sent whole.
fn passes(limiter: &Limiter, rates: &ResponseRates, address: IpAddr, kind: Kind, at: u64) -> bool {
    let (client, facts) = (limiter.client(address), (kind, Standing::Absent));
    limiter.rule(rates, client, facts, Tick(at), 0).limited.is_none()
}

#[test]
fn clients_of_one_prefix_share_a_rate_and_others_do_not() {
    for (what, first, second, shared) in [
        ("one address", "192.0.2.1", "192.0.2.1", true),
        ("one /24", "192.0.2.1", "192.0.2.254", true),
        ("two of a /23", "192.0.2.1", "192.0.3.1", false),
        ("one /56", "2001:db8::1", "2001:db8:0:ff:ffff::", true),
        ("two of a /55", "2001:db8::1", "2001:db8:0:100::", false),
        ("two families", "0.0.0.0", "::", false),
    ] {
        let limiter = limiter();
        let [first, second] = [first, second].map(|text| text.parse::<IpAddr>().unwrap());
        assert!(passes(&limiter, &rates(1), first, Kind::Positive, 7), "{what}");
        assert_eq!(passes(&limiter, &rates(1), second, Kind::Positive, 7), !shared, "{what}");
        for other in [Kind::Negative, Kind::Error] {
            assert!(passes(&limiter, &rates(1), first, other, 7), "{what}: kinds are apart");
        }
    }
}

#[test]
fn who_is_beyond_the_rate_is_dropped_slipped_or_spared() {
    let address = "192.0.2.1".parse().unwrap();
    let exempt = vec!["192.0.2.0/25".parse().unwrap()];
    let (low, half, high) = (0, u64::MAX / 2 + 1, u64::MAX);
    let base = rates(1);
    let slip = |slip| ResponseRates { slip, ..base.clone() };
    let standing = Standing::Absent;
    for (what, rates, standing, random, expected) in [
        ("no slip", slip(0), standing, low, Some(Limited::Dropped)),
        ("slip of one", slip(1), standing, high, Some(Limited::Slipped)),
        ("slip of two, first half", slip(2), standing, half - 1, Some(Limited::Slipped)),
        ("slip of two, second half", slip(2), standing, half, Some(Limited::Dropped)),
        ("slip of ten", slip(10), standing, half, Some(Limited::Dropped)),
        (
            "on trial",
            ResponseRates { dry_run: true, ..slip(2) },
            standing,
            low,
            Some(Limited::Spared),
        ),
        ("exempt", ResponseRates { exempt, ..slip(2) }, standing, low, None),
        ("off", ResponseRates { positive: None, ..slip(2) }, standing, low, None),
        ("a cookie of a new client", slip(2), Standing::New, low, Some(Limited::Slipped)),
        ("an invalid cookie", slip(2), Standing::Invalid, low, Some(Limited::Slipped)),
        ("a valid cookie", slip(2), Standing::Valid, low, None),
    ] {
        let limiter = limiter();
        let client = limiter.client(address);
        let rule = || limiter.rule(&rates, client, (Kind::Positive, standing), Tick(5), random);
        assert_eq!(rule().limited, None, "{what}: the first");
        assert_eq!(rule().limited, expected, "{what}: the second");
    }
}

#[test]
fn one_in_n_slips() {
    let limiter = limiter();
    let client = limiter.client(v4(1));
    let rates = ResponseRates { slip: 5, ..rates(1) };
    let mut random = fastrand::Rng::with_seed(3);
    let facts = (Kind::Error, Standing::Absent);
    let slipped = (0..100_000)
        .filter(|_| {
            let ruling = limiter.rule(&rates, client, facts, Tick(0), random.u64(..));
            ruling.limited == Some(Limited::Slipped)
        })
        .count();
    assert!((19_000..21_000).contains(&slipped), "{slipped}");
}

#[test]
fn an_idle_prefix_begins_anew_and_a_burst_is_one_second() {
    let limiter = limiter();
    let rates = rates(50);
    let burst = |at: u64| {
        (0..1_000).filter(|_| passes(&limiter, &rates, v4(9), Kind::Negative, at)).count()
    };
    // Times in milliseconds, with the whole turn of the clock among them.
    let turn = 1 << (TIME_BITS - 16);
    for (at, expected) in
        [(0, 50), (100, 5), (100, 0), (1_100, 50), (60_000, 50), (turn * 65_536 / 62_500, 50)]
    {
        assert_eq!(burst(at), expected, "at {at} ms");
    }
}

#[test]
fn a_rate_too_high_to_bite_takes_no_entry() {
    let limiter = limiter();
    let rates = rates(1_000_000_000);
    assert!((0..100_000).all(|_| passes(&limiter, &rates, v4(9), Kind::Positive, 0)));
    let entries = limiter.sets.iter().flat_map(|Set(entries)| entries);
    assert_eq!(entries.filter(|entry| entry.load(Ordering::Relaxed) != 0).count(), 0);
}

#[test]
fn the_table_is_bounded_and_forgets_those_with_the_most_left() {
    assert_eq!(size_of::<Set>() * SETS, 2 << 20);
    let limiter = limiter();
    let rates = rates(10);
    // One heavy client uses up its rate; then ten times as many come as the table holds.
    let heavy = v4(0xc000_0201);
    while passes(&limiter, &rates, heavy, Kind::Error, 0) {}
    let facts = (Kind::Error, Standing::Absent);
    let mut evicted = 0;
    for number in 0..(SETS * WAYS * 10) as u32 {
        let client = limiter.client(v4(number << 8 & 0x7fff_ffff | number >> 23));
        let ruling = limiter.rule(&rates, client, facts, Tick(0), 0);
        evicted += u32::from(ruling.evicted);
    }
    assert!(evicted > 0);
    assert!(!passes(&limiter, &rates, heavy, Kind::Error, 0), "the flood freed the heavy client");
}

#[test]
fn workers_together_give_what_one_would() {
    let limiter = Arc::new(limiter());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let limiter = limiter.clone();
            std::thread::spawn(move || {
                let rates = rates(5_000);
                (0..20_000).filter(|_| passes(&limiter, &rates, v4(1), Kind::Error, 0)).count()
            })
        })
        .collect();
    let given: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    // A write that fails some times over is free. How often depends on who is interrupted when;
    // without any order 80,000 would be given.
    assert!((5_000..7_500).contains(&given), "{given}");
}

fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) }
}

proptest! {
    #![proptest_config(cases())]

    /// Over any time, with any pattern of arrival that keeps the rate used up, what is given is
    /// the rate times the time, and one burst.
    #[test]
    fn a_flood_gets_its_rate_and_one_burst(
        rate in 1_u32..5_000,
        start in any::<u32>(),
        seconds in 1_u64..20,
        gaps in prop::collection::vec(1_u64..9, 1..20),
        address in any::<u128>(),
    ) {
        let limiter = limiter();
        let rates = rates(rate);
        let address = IpAddr::V6(Ipv6Addr::from(address));
        let (mut at, mut given) = (0, 0_u64);
        for gap in gaps.iter().cycle() {
            // As much as comes in between, and more.
            for _ in 0..2 + gap * u64::from(rate) / 1_000 * 2 {
                let passed =
                    passes(&limiter, &rates, address, Kind::Positive, u64::from(start) + at);
                given += u64::from(passed);
            }
            at += gap;
            if at >= seconds * 1_000 {
                break;
            }
        }
        // The first burst may take some time to be used up; what was used cannot be more.
        let most = u64::from(rate) * (at + 1_000) / 1_000 + 1;
        prop_assert!(given <= most, "{given} of {most}");
        if gaps.iter().all(|gap| *gap * u64::from(rate) >= 1_000) {
            let least = u64::from(rate) * (at - 9).saturating_sub(1_000) / 1_000;
            prop_assert!(given * 1_001 / 1_000 + 1 >= least, "{given} of {least}");
        }
    }

    /// Whoever stays within the rate gets every answer, whatever one prefix sends meanwhile.
    #[test]
    fn a_flood_from_one_prefix_leaves_all_others_alone(
        rate in 1_u32..500,
        attacker in any::<u32>(),
        others in prop::collection::hash_set(any::<u32>().prop_map(|v| v >> 8), 1..40),
        per_ms in 1_usize..50,
    ) {
        let limiter = limiter();
        let rates = rates(rate);
        let others: Vec<u32> =
            others.into_iter().filter(|prefix| *prefix != attacker >> 8).collect();
        let mut random = fastrand::Rng::with_seed(u64::from(attacker));
        let mut attacked = 0_u32;
        for at in 0..3_000_u64 {
            for _ in 0..per_ms {
                let address = v4(attacker & !0xff | random.u32(..256));
                attacked += u32::from(passes(&limiter, &rates, address, Kind::Positive, at));
            }
            // Each asks as often as its rate allows.
            let due = at * u64::from(rate) / 1_000 != (at + 1) * u64::from(rate) / 1_000;
            for prefix in others.iter().filter(|_| due) {
                let address = v4(prefix << 8 | random.u32(..256));
                let kind = Kind::ALL[random.usize(..3)];
                prop_assert!(passes(&limiter, &rates, address, kind, at), "{address} at {at}");
            }
        }
        prop_assert!(attacked <= rate * 4 + 1, "{attacked}");
    }
}
