//! Rates and bursts on a manual clock.

use super::*;

fn rate(requests: u32, per: Duration, burst: u32) -> Rate {
    Rate::new(NonZeroU32::new(requests).unwrap(), per, NonZeroU32::new(burst).unwrap())
}

fn within(table: &RateTable, key: RateKey, rate: Rate, tries: u32, now: Tick) -> u32 {
    (0..tries).map(|_| u32::from(table.rule(key, rate, now) == Limited::Within)).sum()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_key_has_its_burst_and_then_its_rate() {
    let table = RateTable::new(1000, 7);
    let limit = rate(100, SECOND, 200);
    let client = table.client("192.0.2.1".parse().unwrap(), 64);
    assert_eq!(within(&table, client, limit, 1000, Tick(5000)), 200);
    assert_eq!(table.rule(client, limit, Tick(5000)), Limited::Beyond(Duration::from_millis(10)));
    assert_eq!(within(&table, client, limit, 1000, Tick(5100)), 10, "a tenth of a second later");
    assert_eq!(within(&table, client, limit, 1000, Tick(6100)), 100, "a second later");
    assert_eq!(within(&table, client, limit, 1000, Tick(60_000)), 200, "long after");
    let other = table.client("192.0.2.2".parse().unwrap(), 64);
    assert_eq!(within(&table, other, limit, 1000, Tick(60_000)), 200, "another client");
}

#[test]
fn rates_of_all_sizes_hold() {
    for (case, limit, first, later) in [
        ("one a second", rate(1, SECOND, 1), 1, 1),
        ("one an hour", rate(1, Duration::from_secs(3600), 3), 3, 0),
        ("many", rate(20_000, SECOND, 500), 500, 500),
        ("more than the clock tells apart", rate(10_000_000, SECOND, 100), 100, 100),
        ("a burst beyond a day", rate(1, Duration::from_secs(7200), 100), 12, 0),
    ] {
        let table = RateTable::new(64, 1);
        let key = table.text(b"key");
        assert_eq!(within(&table, key, limit, 2000, Tick(1000)), first, "{case}");
        assert_eq!(within(&table, key, limit, 2000, Tick(2000)), later, "{case}, a second later");
    }
}

#[test]
fn a_steady_stream_gets_its_rate_over_any_time() {
    let table = RateTable::new(64, 3);
    let (key, limit) = (table.text(b"x"), rate(50, SECOND, 10));
    let passed: u32 = (0..60_000).map(|ms| within(&table, key, limit, 1, Tick(ms))).sum();
    assert!((3000..=3010).contains(&passed), "{passed} in a minute");
}

#[test]
fn a_full_table_forgets_who_used_least() {
    let table = RateTable::new(8, 9);
    let limit = rate(10, SECOND, 10);
    let heavy = table.text(b"heavy");
    assert_eq!(within(&table, heavy, limit, 100, Tick(0)), 10);
    for number in 0..1000_u32 {
        let key = table.text(&number.to_le_bytes());
        assert_eq!(table.rule(key, limit, Tick(0)), Limited::Within);
    }
    assert_eq!(within(&table, heavy, limit, 100, Tick(0)), 0, "it is still known");
}

#[test]
fn keys_are_clients_or_texts() {
    let table = RateTable::new(8, 9);
    let client = |text: &str, bits| table.client(text.parse().unwrap(), bits);
    assert_eq!(client("2001:db8::1", 64), client("2001:db8::2", 64));
    assert_ne!(client("2001:db8::1", 128), client("2001:db8::2", 128));
    assert_eq!(client("::ffff:192.0.2.1", 64), client("192.0.2.1", 64));
    assert_ne!(table.text(b"a"), table.text(b"a\0"));
    assert_ne!(table.text(b"a"), RateTable::new(8, 10).text(b"a"), "the seed is part of it");
}

#[test]
fn retry_after_is_in_whole_seconds() {
    for (ms, seconds) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (90_000, 90)] {
        assert_eq!(retry_after(Duration::from_millis(ms)), seconds, "{ms} ms");
    }
}
