//! The share of answers that goes to the runner-up, so that its round trips stay known.

use super::answers::{AnswerSet, SetKind};
use crate::steering::mix;

/// Tells whether a query explores apart from what it is answered; "explore" in octets.
const SALT: u64 = 0x65_7870_6c6f_7265;

/// What some queries get instead.
#[derive(Debug)]
pub(super) struct Detour {
    /// Answers to the runner-up.
    pub(super) kind: SetKind,
    /// Random numbers below this take it.
    below: u64,
}

impl Detour {
    /// A detour for this share of queries.
    pub(super) fn new(kind: SetKind, share: f64) -> Self {
        // A share of 2^64, where the float cannot be all of it.
        Self { kind, below: (share.clamp(0.0, 1.0) * 2f64.powi(64)) as u64 }
    }
}

impl AnswerSet {
    /// What a query with this random number gets, and whether that is to the runner-up.
    #[inline]
    pub(super) fn kind(&self, random: u64) -> (&SetKind, bool) {
        match self.detour.as_deref() {
            Some(detour) if mix(random, SALT) < detour.below => (&detour.kind, true),
            _ => (&self.kind, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_queries_is_as_it_should_be() {
        let share = |share: f64| {
            let detour = Some(Box::new(Detour::new(SetKind::ServFail, share)));
            let set = AnswerSet { kind: SetKind::NoData, ttl: 5, ede: None, detour };
            let mut random = fastrand::Rng::with_seed(7);
            (0..100_000).filter(|_| set.kind(random.u64(..)).1).count()
        };
        assert_eq!(share(0.0), 0);
        assert!((400..600).contains(&share(0.005)), "{}", share(0.005));
        assert!((9_500..10_500).contains(&share(0.1)), "{}", share(0.1));
    }
}
