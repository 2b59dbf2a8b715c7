//! Response rate limiting: how many answers of a kind the clients of one prefix get over UDP.
//!
//! A flood with forged senders must not become a flood of answers to the one whose address is
//! forged. All workers share one table without locks. An entry is the point in time up to which
//! the answers already given have used up the prefix's rate; it grows by the cost of one answer
//! with each, and an answer that would push it further than a second ahead of now is one too
//! many. An entry that lies in the past says nothing, so nothing ever needs to be cleaned up.

use std::array;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cookie::Standing;
use crate::clock::Tick;
use crate::model::ResponseRates;

/// Entries that share a cache line: one look into memory for each query.
const WAYS: usize = 8;
/// Cache lines: 2 MiB, enough for the prefixes of 260,000 clients within their last second.
const SETS: usize = 1 << 15;
/// Time is kept in units of 16 ns: fine enough for a million answers a second.
const UNITS_A_MS: u64 = 62_500;
/// The rate may be used up this far in advance: a burst of one second's answers.
const BURST: u64 = 1_000 * UNITS_A_MS;
/// Bits of an entry that hold the time. It begins anew every 78 hours, so an entry left alone for
/// exactly as long costs its prefix a second of its rate, once.
const TIME_BITS: u32 = 44;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Tries to write an entry that others write as well; beyond them the answer is free.
const TRIES: usize = 4;

/// What an answer is, as far as its limit is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Data, or a referral to those who have it.
    #[default]
    Positive,
    /// There is no such name or no such data.
    Negative,
    /// Anything else.
    Error,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Positive, Self::Negative, Self::Error];

    /// The name in metrics and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Error => "error",
        }
    }
}

/// What becomes of an answer above the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// It is not sent.
    Dropped,
    /// It is sent truncated, so that a real client asks again over TCP.
    Slipped,
    /// It is sent, since limits are on trial.
    Spared,
}

impl Limited {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Dropped, Self::Slipped, Self::Spared];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Slipped => "slipped",
            Self::Spared => "spared",
        }
    }
}

/// The table of all workers.
#[derive(Debug)]
pub struct Limiter {
    sets: Box<[Set]>,
    /// Unknown to clients, who could else choose prefixes that share a cache line.
    seed: [u64; 2],
}

/// Entries for prefixes of one hash.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// A client, and where in the table its prefix is.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    hash: u64,
}

/// What came of an attempt to use up some of a prefix's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spent {
    /// The rate was not used up.
    Within,
    /// Likewise, but the prefix took the place of another one, which begins anew.
    Evicting,
    /// The rate is used up.
    Beyond,
}

/// What the limiter says of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// What becomes of the answer; `None`: it is sent.
    pub limited: Option<Limited>,
    /// Whether another prefix was forgotten for this one.
    pub evicted: bool,
}

impl Limiter {
    /// An empty table; `seed` is random.
    pub fn new(seed: [u64; 2]) -> Self {
        let [key, factor] = seed;
        // An even factor would lose bits.
        Self { sets: (0..SETS).map(|_| Set::default()).collect(), seed: [key, factor | 1] }
    }

    /// Where in the table a client is.
    pub fn client(&self, address: IpAddr) -> Client {
        // Of an IPv6 address what customers get is left: a /56. Families differ in the top bit.
        let prefix = match address {
            IpAddr::V4(v4) => u64::from(u32::from(v4) >> 8) | 1 << 63,
            IpAddr::V6(v6) => (u128::from(v6) >> 72) as u64,
        };
        let [key, factor] = self.seed;
        let product = u128::from(prefix ^ key) * u128::from(factor);
        Client { address, hash: (product >> 64) as u64 ^ product as u64 }
    }

    /// Reads the client's place, so that queries of a batch wait for memory together; the result
    /// means nothing.
    pub fn touch(&self, client: Client) -> u64 {
        self.set(client.hash).map_or(0, |[entry, ..]| entry.load(Ordering::Relaxed))
    }

    /// Whether an answer of this kind may be sent at the time `now`; `random` decides which of
    /// those above the rate slip through.
    pub fn rule(
        &self,
        rates: &ResponseRates,
        client: Client,
        (kind, standing): (Kind, Standing),
        now: Tick,
        random: u64,
    ) -> Ruling {
        let rate = match kind {
            Kind::Positive => rates.positive,
            Kind::Negative => rates.negative,
            Kind::Error => rates.error,
        };
        // RFC 7873 section 5.2.5: who brings a valid cookie has no forged address.
        let Some(rate) = rate.filter(|_| standing != Standing::Valid) else {
            return Ruling::default();
        };
        match self.spend(client.hash, kind, rate, now) {
            Spent::Within => Ruling::default(),
            Spent::Evicting => Ruling { evicted: true, ..Ruling::default() },
            Spent::Beyond if rates.exempt.iter().any(|p| p.contains(client.address)) => {
                Ruling::default()
            }
            Spent::Beyond => {
                // At random, so that nobody can time a flood to take the slips of others; and a
                // flood then only reads the table, which costs workers no shared writes.
                let slot = ((random >> 32) * u64::from(rates.slip)) >> 32;
                let slips = rates.slip > 0 && slot == 0;
                let limited = match (rates.dry_run, slips) {
                    (true, _) => Limited::Spared,
                    (false, true) => Limited::Slipped,
                    (false, false) => Limited::Dropped,
                };
                Ruling { limited: Some(limited), evicted: false }
            }
        }
    }

    /// Uses up the cost of one answer, if there is as much left.
    fn spend(&self, hash: u64, kind: Kind, rate: NonZeroU32, now: Tick) -> Spent {
        let cost = BURST / u64::from(rate.get());
        let Some(set) = self.set(hash).filter(|_| cost > 0) else { return Spent::Within };
        let now = now.0.wrapping_mul(UNITS_A_MS) & TIME_MASK;
        // What is used up of the rate: a time beyond the burst is one of the past.
        let used = |entry: u64| {
            let ahead = entry.wrapping_sub(now) & TIME_MASK;
            if ahead <= BURST { ahead } else { 0 }
        };
        // The top bits, less two for the kind; the set is found by the lowest.
        let tag = (hash & !(0b11 << TIME_BITS) | (kind as u64) << TIME_BITS) & !TIME_MASK;
        for _ in 0..TRIES {
            let entries = array::from_fn::<u64, WAYS, _>(|way| {
                set.get(way).map_or(0, |entry| entry.load(Ordering::Relaxed))
            });
            let own = (0..).zip(entries).find(|(_, entry)| entry & !TIME_MASK == tag);
            let taken = own.map(|(way, entry)| (way, entry, used(entry), false)).or_else(|| {
                let least = (0..).zip(entries).min_by_key(|(_, entry)| used(*entry));
                least.map(|(way, entry)| (way, entry, 0, used(entry) > 0))
            });
            let Some((way, entry, used, evicting)) = taken else { return Spent::Within };
            if used + cost > BURST {
                return Spent::Beyond;
            }
            let time = (now + used + cost) & TIME_MASK;
            let written = set.get(way).is_some_and(|place: &AtomicU64| {
                let order = Ordering::Relaxed;
                place.compare_exchange_weak(entry, tag | time, order, order).is_ok()
            });
            if written {
                return if evicting { Spent::Evicting } else { Spent::Within };
            }
        }
        Spent::Within
    }

    fn set(&self, hash: u64) -> Option<&[AtomicU64; WAYS]> {
        self.sets.get(hash as usize % SETS).map(|Set(entries)| entries)
    }
}

#[cfg(test)]
mod tests;
