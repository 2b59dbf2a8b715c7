//! Rate limits by key: how many requests the same client, header or cookie may make.
//!
//! An entry is the time up to which a key's requests have used up its rate, as for DNS answers: it
//! needs no cleaning, and the table never grows.

#[cfg(test)]
mod tests;

use std::array;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Tick;
use crate::steering::{mix, mixed};

/// Entries that share a cache line.
const WAYS: usize = 8;
/// Bits of an entry that hold the time in microseconds. It begins anew every 203 days.
const TIME_BITS: u32 = 44;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// No rate is used up further in advance than this: a burst of a rate that takes longer to come
/// back means nothing.
const AHEAD_MAX: u64 = 24 * 3_600_000_000;
/// Tries to write an entry that others write as well; beyond them the request is free.
const TRIES: usize = 4;

/// A rate with the burst that it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds that one request uses up.
    cost: u64,
    /// How far ahead of now the rate may be used up.
    ahead: u64,
}

impl Rate {
    /// So many requests in a time, and so many at once: 100 in a second, 200 at once.
    pub fn new(requests: NonZeroU32, per: Duration, burst: NonZeroU32) -> Self {
        let cost = per.as_micros() / u128::from(requests.get());
        let cost = u64::try_from(cost).unwrap_or(AHEAD_MAX).clamp(1, AHEAD_MAX);
        Self { cost, ahead: cost.saturating_mul(u64::from(burst.get())).min(AHEAD_MAX) }
    }
}

/// What a limit says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// It may go on.
    Within,
    /// It may not; the key's next request may after this time.
    Beyond(Duration),
}

/// Whom a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateKey(u64);

impl RateKey {
    /// The same key under another one, so that limits can share a table.
    #[must_use]
    pub fn below(self, other: Self) -> Self {
        Self(mix(other.0, self.0))
    }
}

/// The keys of one limit.
#[derive(Debug)]
pub struct RateTable {
    sets: Box<[Set]>,
    /// Unknown to clients, who could else choose keys that share a cache line.
    seed: u64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

impl RateTable {
    /// An empty table for about this many keys at a time; `seed` is random. The key with the most
    /// of its rate left makes room for another.
    pub fn new(keys: usize, seed: u64) -> Self {
        let sets = (keys / WAYS).clamp(1, 1 << 20).next_power_of_two();
        Self { sets: (0..sets).map(|_| Set::default()).collect(), seed }
    }

    /// The key of a client: an IPv4 address, of an IPv6 address the first `v6` bits.
    pub fn client(&self, address: IpAddr, v6: u8) -> RateKey {
        RateKey(match address.to_canonical() {
            IpAddr::V4(v4) => mix(self.seed ^ 4, u64::from(u32::from(v4))),
            IpAddr::V6(v6_address) => {
                let bits = u128::from(v6_address) & crate::prefix::mask128(v6.min(128));
                mix(mix(self.seed ^ 6, (bits >> 64) as u64), bits as u64)
            }
        })
    }

    /// The key of a text, as of a header or cookie.
    pub fn text(&self, text: &[u8]) -> RateKey {
        RateKey(mixed(self.seed, text))
    }

    /// Uses up the cost of one request, if there is as much left of the key's rate.
    pub fn rule(&self, RateKey(hash): RateKey, rate: Rate, now: Tick) -> Limited {
        let Some(Set(set)) = self.sets.get(hash as usize & (self.sets.len() - 1)) else {
            return Limited::Within;
        };
        let now = now.0.wrapping_mul(1000) & TIME_MASK;
        // A time beyond all bursts is one of the past.
        let used = |entry: u64| {
            let ahead = entry.wrapping_sub(now) & TIME_MASK;
            if ahead <= AHEAD_MAX { ahead } else { 0 }
        };
        let tag = hash & !TIME_MASK;
        for _ in 0..TRIES {
            let entries = array::from_fn::<u64, WAYS, _>(|way| {
                set.get(way).map_or(0, |entry| entry.load(Ordering::Relaxed))
            });
            let own = (0..).zip(entries).find(|(_, entry)| entry & !TIME_MASK == tag);
            let taken = own.map(|(way, entry)| (way, entry, used(entry))).or_else(|| {
                let least = (0..).zip(entries).min_by_key(|(_, entry)| used(*entry));
                least.map(|(way, entry)| (way, entry, 0))
            });
            let Some((way, entry, used)) = taken else { break };
            let next = used + rate.cost;
            if next > rate.ahead {
                return Limited::Beyond(Duration::from_micros(next - rate.ahead));
            }
            let time = (now + next) & TIME_MASK;
            let order = Ordering::Relaxed;
            let written = set.get(way).is_some_and(|place: &AtomicU64| {
                place.compare_exchange_weak(entry, tag | time, order, order).is_ok()
            });
            if written {
                break;
            }
        }
        Limited::Within
    }
}

/// The value of Retry-After for a wait (RFC 9110 section 10.2.3): whole seconds, at least one.
pub fn retry_after(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}
