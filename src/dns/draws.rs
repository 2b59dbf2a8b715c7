//! Random numbers for answers, and those that a client's A and AAAA queries of a name share.
//!
//! A client asks for both families in two queries. Where chance decides between regions, both must
//! meet the same chance, or its two answers lie in different regions. So the number is drawn from
//! the client, the name, the time, and how often the client has asked before: a client's first A
//! and first AAAA query get one number, its second ones the next. The time lets the nodes of a
//! fleet, which know nothing of each other's queries, draw alike.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::snapshot::Family;
use crate::steering::mix;

/// Clients and names that are remembered: 32 KiB. Of two that meet in an entry the later begins
/// anew, with the same number that it would get on another node.
const ENTRIES: usize = 4096;
/// Resolvers ask for both families within moments, and again after the TTL: a period lies between.
const PERIOD_SECONDS: u32 = 4;
/// Bits that count the queries of a family in a period; the count begins anew behind them.
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// Bits of the period that are remembered.
const PERIOD_BITS: u32 = 8;

/// How often clients have asked for names lately.
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
    /// The number for the next query of `client` for `family` of the name with this hash.
    fn number(&self, client: IpAddr, name: u64, family: Family, unix_seconds: u32) -> u64 {
        let client = match client {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => mix((u128::from(v6) >> 64) as u64, u128::from(v6) as u64),
        };
        let key = mix(client, name);
        let (tag, period) = (key >> 48, unix_seconds / PERIOD_SECONDS);
        let Some(entry) = self.entries.get(key as usize % ENTRIES) else { return key };
        let mut turn = Turn::read(entry.load(Ordering::Relaxed), tag, period);
        let count = turn.next(family, period);
        entry.store(turn.write(tag), Ordering::Relaxed);
        mix(mix(key, u64::from(turn.period)), count)
    }
}

/// Where a client stands with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    period: u32,
    /// Queries for IPv4 and IPv6 in this period.
    v4: u64,
    v6: u64,
}

impl Turn {
    /// The turn in an entry, when it is of this client and name and not of long ago.
    fn read(entry: u64, tag: u64, period: u32) -> Self {
        let held = (entry >> (2 * COUNT_BITS)) as u8;
        let age = (period as u8).wrapping_sub(held);
        if entry >> (2 * COUNT_BITS + PERIOD_BITS) != tag || age > 1 {
            return Self { period, v4: 0, v6: 0 };
        }
        let period = period.wrapping_sub(u32::from(age));
        Self { period, v4: entry >> COUNT_BITS & COUNT_MASK, v6: entry & COUNT_MASK }
    }

    fn write(self, tag: u64) -> u64 {
        let counts = (self.v4 & COUNT_MASK) << COUNT_BITS | (self.v6 & COUNT_MASK);
        (tag << PERIOD_BITS | u64::from(self.period as u8)) << (2 * COUNT_BITS) | counts
    }

    /// Counts a query; how many of its family came before. A query that follows one of the other
    /// family belongs to that one's period.
    fn next(&mut self, family: Family, period: u32) -> u64 {
        let (own, other) = match family {
            Family::V4 => (self.v4, self.v6),
            Family::V6 => (self.v6, self.v4),
        };
        if (self.period != period && own >= other) || own == COUNT_MASK {
            *self = Self { period, v4: 0, v6: 0 };
        }
        let count = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        *count += 1;
        *count - 1
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
    /// queries of both families at this wall-clock time.
    pub fn shared(number: u64, draws: &'d Draws, unix_seconds: u64) -> Self {
        Self { number, draws: Some((draws, unix_seconds as u32)) }
    }

    /// A number for this query alone.
    pub(super) fn number(self) -> u64 {
        self.number
    }

    /// The number that serves `client` for both families of the name with this hash.
    pub(super) fn paired(self, client: IpAddr, name: u64, family: Family) -> u64 {
        self.draws.map_or(self.number, |(draws, unix_seconds)| {
            draws.number(client, name, family, unix_seconds)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn ask(draws: &Draws, family: Family, unix_seconds: u32) -> u64 {
        draws.number(CLIENT, 7, family, unix_seconds)
    }

    #[test]
    fn queries_of_both_families_share_a_number_and_repeated_ones_get_the_next() {
        use Family::{V4, V6};
        let draws = Draws::default();
        let mut seen = HashSet::new();
        for (what, order) in [
            ("A first", [(V4, 40), (V6, 40)]),
            ("AAAA first", [(V6, 40), (V4, 40)]),
            ("again in the same period", [(V4, 41), (V6, 43)]),
            ("over the end of a period", [(V4, 43), (V6, 44)]),
            ("in the next period", [(V6, 45), (V4, 45)]),
            ("much later", [(V4, 9_000), (V6, 9_001)]),
        ] {
            let [first, second] = order.map(|(family, at)| ask(&draws, family, at));
            assert_eq!(first, second, "{what}");
            assert!(seen.insert(first), "{what}: an old number");
        }
        let repeated: HashSet<u64> = (0..1000).map(|_| ask(&draws, V4, 20_000)).collect();
        assert_eq!(repeated.len(), 1000);
        let twins: HashSet<u64> = (0..1000).map(|_| ask(&draws, V6, 20_003)).collect();
        assert_eq!(repeated, twins);
    }

    #[test]
    fn a_lone_query_does_not_bind_a_later_period() {
        let draws = Draws::default();
        let first = ask(&draws, Family::V4, 40);
        assert_ne!(ask(&draws, Family::V6, 48), first, "two periods later");
        let draws = Draws::default();
        let first = ask(&draws, Family::V4, 40);
        assert_ne!(ask(&draws, Family::V4, 44), first, "the same family, a period later");
    }

    #[test]
    fn nodes_of_a_fleet_draw_alike_and_clients_and_names_do_not() {
        let (one, other) = (Draws::default(), Draws::default());
        assert_eq!(ask(&one, Family::V4, 40), ask(&other, Family::V6, 43));
        let mut seen = HashSet::from([ask(&Draws::default(), Family::V4, 40)]);
        for client in ["192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1"] {
            assert!(seen.insert(one.number(client.parse().unwrap(), 7, Family::V4, 40)));
        }
        assert!(seen.insert(one.number(CLIENT, 8, Family::V4, 40)));
    }

    #[test]
    fn numbers_are_uniform_for_one_client_and_for_many() {
        let draws = Draws::default();
        let one = (0..40_000u32).map(|n| ask(&draws, Family::V4, n / 4000));
        let many = (0..40_000u32)
            .map(|n| draws.number(IpAddr::V4(n.wrapping_mul(257).into()), 7, Family::V4, 40));
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
    fn a_full_count_begins_anew() {
        let mut turn = Turn { period: 9, v4: COUNT_MASK, v6: 3 };
        assert_eq!(turn.next(Family::V4, 9), 0);
        assert_eq!(turn, Turn { period: 9, v4: 1, v6: 0 });
        assert_eq!(Turn::read(turn.write(5), 5, 9), turn);
        assert_eq!(Turn::read(turn.write(5), 6, 9).v4, 0, "of another client");
    }
}
