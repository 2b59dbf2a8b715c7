//! Hashes of requests and endpoints. They are the same on every node, so that the proxies of a
//! region agree.

use std::net::IpAddr;

use super::{Candidate, Field, Member, member_of};
use crate::steering::{mix, mixed};

/// What a request is known by to the balances that hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// The client: an IPv4 address whole, of an IPv6 address the /64, within which a client moves
    /// about for its privacy.
    pub fn client(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(mix(u64::from(u32::from(v4)), 4)),
            IpAddr::V6(v6) => Self(mix((u128::from(v6) >> 64) as u64, 6)),
        }
    }

    /// Any text, as that of a header or a cookie.
    pub fn text(text: &[u8]) -> Self {
        Self(mixed(0, text))
    }

    /// A number that only this key has with `other`.
    pub(super) fn with(self, other: u64) -> u64 {
        mix(self.0, other)
    }

    /// Whether a candidate takes this key: while it starts slowly, more and more of its keys come
    /// to it, and none goes back and forth. Where all start slowly, they are measured by the one
    /// that is furthest.
    pub(super) fn is_taken(self, field: &Field<'_>, members: &[Member], at: usize) -> bool {
        let grown = |at: usize, candidate: &Candidate| {
            let member = member_of(members, candidate.id, at).and_then(|at| members.get(at))?;
            let is_whole = member.weight <= candidate.weight || member.weight <= 0.0;
            Some(if is_whole { 1.0 } else { candidate.weight / member.weight })
        };
        let Some(candidate) = field.candidates.get(at) else { return false };
        let own = grown(at, candidate).unwrap_or(1.0);
        if own >= 1.0 {
            return true;
        }
        let all = field.entrants().filter_map(|(at, _, candidate)| grown(at, candidate));
        unit(mix(self.0, !candidate.id)) * all.fold(own, f64::max) < own
    }
}

/// A number as one from 0 to below 1.
pub(super) fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

/// Rendezvous hashing: each candidate draws for the key, the highest score wins. By the weights
/// in the score a loss moves the lost keys alone, and a change of weight only what it must.
pub(super) fn rendezvous(field: &Field<'_>, key: Key) -> Option<usize> {
    let mut best: Option<(f64, u64, usize)> = None;
    for (at, weight, candidate) in field.entrants() {
        // The highest of w / -ln u: an exponential race, won in proportion to weight.
        let draw = unit(key.with(candidate.id)).max(f64::MIN_POSITIVE);
        let score = weight / -draw.ln();
        // Equal scores fall to the smaller id, not to the order of the candidates.
        let wins =
            best.is_none_or(|(most, id, _)| score > most || (score >= most && candidate.id < id));
        if wins {
            best = Some((score, candidate.id, at));
        }
    }
    best.map(|(_, _, at)| at)
}
