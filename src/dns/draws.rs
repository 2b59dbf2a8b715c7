//! Random numbers for answers, and those that a client's A, AAAA and HTTPS queries of a name share.
//!
//! A client asks for both families in two queries. Where chance decides between regions, both must
//! meet the same chance, or its two answers lie in different regions. The same goes for the hints
//! of HTTPS records, which repeat the addresses of the two. So a query joins the draw of the
//! client's latest query for the name, unless one of its type has joined that already; then it
//! begins the next draw. The number of a draw comes from the client, the name, the time and
//! the draws before it. The time lets the nodes of a fleet, which know nothing of each other's
//! queries, draw alike.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::steering::mix;

/// Clients and names that are remembered: 32 KiB. Of two that meet in an entry the later begins
/// anew, with the same number that it would get on another node.
const ENTRIES: usize = 4096;
/// Resolvers ask for both families within moments, and again after the TTL: a period lies between.
const PERIOD_SECONDS: u32 = 4;
/// Bits of an entry: client and name, period, types, draws in the period.
const TAG_BITS: u32 = 16;
const PERIOD_BITS: u32 = 8;
const TYPE_BITS: u32 = 3;
const COUNT_BITS: u32 = u64::BITS - TAG_BITS - PERIOD_BITS - TYPE_BITS;

/// The types whose queries share a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hints of both.
    Https,
}

/// The latest draws of clients for names.
///
/// Entries are read and written without exclusion: workers that answer one client at the same
/// moment may draw the same number twice, which harms nothing.
#[derive(Debug)]
pub struct Draws {
    entries: Box<[AtomicU64]>,
}

impl Default for Draws {
    fn default() -> Self {
        Self { entries: (0..ENTRIES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Draws {
    /// The number for the next query of `client` for this type of the name with this hash.
    fn number(&self, client: IpAddr, name: u64, rtype: Shared, unix_seconds: u32) -> u64 {
        let client = match client {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => mix((u128::from(v6) >> 64) as u64, u128::from(v6) as u64),
        };
        let key = mix(client, name);
        let (tag, period) = (key >> (u64::BITS - TAG_BITS), unix_seconds / PERIOD_SECONDS);
        let Some(entry) = self.entries.get(key as usize % ENTRIES) else { return key };
        let draw = Draw::read(entry.load(Ordering::Relaxed), tag, period).next(rtype, period);
        entry.store(draw.write(tag), Ordering::Relaxed);
        mix(mix(key, u64::from(draw.period)), draw.count)
    }
}

/// The latest draw of a client for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Draw {
    period: u32,
    /// The types that have joined it, a bit each.
    types: u64,
    /// Draws before it in its period.
    count: u64,
}

impl Draw {
    /// The draw in an entry; of another client or name, or long ago: none that anyone has joined.
    fn read(entry: u64, tag: u64, period: u32) -> Self {
        let held = (entry >> (TYPE_BITS + COUNT_BITS)) as u8;
        let age = (period as u8).wrapping_sub(held);
        if entry >> (u64::BITS - TAG_BITS) != tag || age > 1 {
            return Self { period, types: 0, count: 0 };
        }
        Self {
            period: period.wrapping_sub(u32::from(age)),
            types: entry >> COUNT_BITS & ((1 << TYPE_BITS) - 1),
            count: entry & ((1 << COUNT_BITS) - 1),
        }
    }

    fn write(self, tag: u64) -> u64 {
        let head = (tag << PERIOD_BITS | u64::from(self.period as u8)) << TYPE_BITS;
        (head | self.types) << COUNT_BITS | self.count & ((1 << COUNT_BITS) - 1)
    }

    /// The draw that a query of this type belongs to.
    fn next(self, rtype: Shared, period: u32) -> Self {
        let own = match rtype {
            Shared::A => 1,
            Shared::Aaaa => 2,
            Shared::Https => 4,
        };
        if self.types & own == 0 {
            return Self { types: self.types | own, ..self };
        }
        let count = if self.period == period { self.count + 1 } else { 0 };
        Self { period, types: own, count }
    }
}

/// Where the engine takes chance from.
#[derive(Clone, Copy, Debug)]
pub struct Random<'d> {
    number: u64,
    draws: Option<(&'d Draws, u32)>,
}

impl From<u64> for Random<'_> {
    /// This one number for everything: equal queries get equal answers.
    fn from(number: u64) -> Self {
        Self { number, draws: None }
    }
}

impl<'d> Random<'d> {
    /// `number` where each query stands for itself; `draws` where one number must serve a client's
    /// queries of all types at this wall-clock time.
    pub fn shared(number: u64, draws: &'d Draws, unix_seconds: u32) -> Self {
        Self { number, draws: Some((draws, unix_seconds)) }
    }

    /// A number for this query alone.
    pub(super) fn number(self) -> u64 {
        self.number
    }

    /// The number that serves `client` for all types of the name with this hash.
    pub(super) fn paired(self, client: IpAddr, name: u64, rtype: Shared) -> u64 {
        self.draws.map_or(self.number, |(draws, unix_seconds)| {
            draws.number(client, name, rtype, unix_seconds)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn ask(draws: &Draws, rtype: Shared, unix_seconds: u32) -> u64 {
        draws.number(CLIENT, 7, rtype, unix_seconds)
    }

    #[test]
    fn queries_of_all_types_share_a_number_and_repeated_ones_get_the_next() {
        use Shared::{A, Aaaa, Https};
        let draws = Draws::default();
        let mut seen = HashSet::new();
        for (what, order) in [
            ("A first", &[(A, 40), (Aaaa, 40), (Https, 40)][..]),
            ("AAAA first, in the same period", &[(Aaaa, 40), (Https, 40), (A, 41)]),
            ("HTTPS first", &[(Https, 41), (A, 41), (Aaaa, 43)]),
            ("over the end of a period", &[(A, 43), (Https, 44), (Aaaa, 44)]),
            ("in the next period", &[(Aaaa, 45), (A, 45)]),
            ("much later", &[(A, 9_000), (Aaaa, 9_001)]),
        ] {
            let numbers: Vec<u64> = order.iter().map(|(t, at)| ask(&draws, *t, *at)).collect();
            let first = numbers[0];
            assert!(numbers.iter().all(|number| *number == first), "{what}");
            assert!(seen.insert(first), "{what}: an old number");
        }
        let repeated: HashSet<u64> = (0..1000).map(|_| ask(&draws, A, 20_000)).collect();
        assert_eq!(repeated.len(), 1000);
        let latest = ask(&draws, A, 20_000);
        assert_eq!(ask(&draws, Aaaa, 20_003), latest, "after a burst of the other type");
        let repeated: HashSet<u64> = (0..1000).map(|_| ask(&draws, Aaaa, 20_003)).collect();
        assert_eq!(repeated.len(), 1000);
        assert!(!repeated.contains(&latest));
    }

    #[test]
    fn a_lone_query_does_not_bind_a_later_period() {
        let draws = Draws::default();
        let first = ask(&draws, Shared::A, 40);
        assert_ne!(ask(&draws, Shared::Aaaa, 48), first, "two periods later");
        let draws = Draws::default();
        let first = ask(&draws, Shared::A, 40);
        assert_ne!(ask(&draws, Shared::A, 44), first, "the same type, a period later");
    }

    #[test]
    fn nodes_of_a_fleet_draw_alike_and_clients_and_names_do_not() {
        let (one, other) = (Draws::default(), Draws::default());
        assert_eq!(ask(&one, Shared::A, 40), ask(&other, Shared::Aaaa, 43));
        let mut seen = HashSet::from([ask(&Draws::default(), Shared::A, 40)]);
        for client in ["192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1"] {
            assert!(seen.insert(one.number(client.parse().unwrap(), 7, Shared::A, 40)));
        }
        assert!(seen.insert(one.number(CLIENT, 8, Shared::A, 40)));
    }

    #[test]
    fn numbers_are_uniform_for_one_client_and_for_many() {
        let draws = Draws::default();
        let one = (0..40_000u32).map(|n| ask(&draws, Shared::A, n / 4000));
        let many = (0..40_000u32)
            .map(|n| draws.number(IpAddr::V4(n.wrapping_mul(257).into()), 7, Shared::A, 40));
        for numbers in [one.collect::<Vec<_>>(), many.collect()] {
            let mut parts = [0; 16];
            for number in numbers {
                parts[(number >> 60) as usize] += 1;
            }
            for held in parts {
                assert!((2_300..2_700).contains(&held), "{parts:?}");
            }
        }
    }

    #[test]
    fn an_entry_holds_a_draw_of_its_client_and_name_alone() {
        let draw = Draw { period: 0x1234, types: 2, count: (1 << COUNT_BITS) - 1 };
        assert_eq!(Draw::read(draw.write(5), 5, 0x1234), draw);
        assert_eq!(Draw::read(draw.write(5), 5, 0x1235), draw, "a period later");
        let anew = |period| Draw { period, types: 0, count: 0 };
        assert_eq!(Draw::read(draw.write(5), 6, 0x1234), anew(0x1234), "of another");
        assert_eq!(Draw::read(draw.write(5), 5, 0x1236), anew(0x1236), "two periods later");
        let full = draw.next(Shared::Aaaa, 0x1234).write(5);
        assert_eq!(Draw::read(full, 5, 0x1234).count, 0, "a full count begins anew");
    }
}
