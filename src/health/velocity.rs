//! How fast a pool may lose what it has.

use std::time::Duration;

use crate::clock::Tick;

/// What a pool lost and may lose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Share of the weight that may go within `interval`: `max_removed`.
    pub(super) share: f64,
    /// The longest interval of the pool's monitors.
    pub(super) interval: Duration,
    /// Weight of the whole pool.
    pub(super) total: u64,
}

impl Budget {
    /// Whether something of this weight may fall at `now`, after this much fell within the last
    /// interval; `held`: since when it is held up already.
    ///
    /// What has waited for an interval falls also when it is too much for any budget, once nothing
    /// else fell meanwhile: a dead endpoint must not be answered for ever, and one an interval is
    /// the slowest there is.
    pub(super) fn allows(&self, weight: u64, fallen: u64, held: Option<Tick>, now: Tick) -> bool {
        // Half a unit of weight absorbs the rounding of shares like 1/3.
        let limit = self.share * self.total as f64 + 0.5;
        let waited = held.is_some_and(|since| now.since(since) >= self.interval);
        (fallen + weight) as f64 <= limit || (waited && fallen == 0)
    }

    /// Whether what fell at `fell` still counts at `now`.
    pub(super) fn counts(&self, fell: Tick, now: Tick) -> bool {
        now.since(fell) < self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_pool_may_fall_in_an_interval() {
        let budget = Budget { share: 0.5, interval: Duration::from_secs(5), total: 400 };
        let (now, long, short) = (Tick(10_000), Some(Tick(5000)), Some(Tick(5001)));
        for (case, weight, fallen, held, expected) in [
            ("the first quarter", 100, 0, None, true),
            ("the second", 100, 100, None, true),
            ("not the third", 100, 200, None, false),
            ("not all at once", 400, 0, None, false),
            ("nor a moment later", 400, 0, short, false),
            ("but in the next interval", 400, 0, long, true),
            ("unless something else just fell", 400, 100, long, false),
            ("what has no weight is not missed", 0, 200, None, true),
        ] {
            assert_eq!(budget.allows(weight, fallen, held, now), expected, "{case}");
        }
        let third = Budget { share: 1.0 / 3.0, total: 3, ..budget };
        assert!(third.allows(1, 0, None, now) && !third.allows(1, 1, None, now));
        assert!(budget.counts(Tick(5001), now) && !budget.counts(Tick(5000), now));
    }
}
