//! How many probes may start: the rate of all that leaves the node.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::Tick;

/// One probe, in the unit in which a rate of one a second gives one a millisecond.
const PROBE: u64 = 1_000;

/// What may start at once after a pause: a tenth of a second's worth, so that a burst is no flood.
const BURST_MS: u64 = 100;

/// A bucket that fills at the rate and that each probe takes one out of.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// `None`: no bound.
    rate: Option<NonZeroU32>,
    credit: u64,
    filled_at: Tick,
}

impl Allowance {
    /// Another rate; what is in the bucket stays in it.
    pub(super) fn set_rate(&mut self, rate: Option<NonZeroU32>) {
        self.rate = rate;
    }

    /// Whether a probe may start at `now`.
    pub(super) fn any(&mut self, now: Tick) -> bool {
        let Some(rate) = self.rate else { return true };
        let rate = u64::from(rate.get());
        let most = (rate * BURST_MS).max(PROBE);
        let passed = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        self.credit = self.credit.saturating_add(passed.saturating_mul(rate)).min(most);
        self.filled_at = now;
        self.credit >= PROBE
    }

    /// A probe starts.
    pub(super) fn take(&mut self) {
        self.credit = self.credit.saturating_sub(PROBE);
    }

    /// When the next probe may start, as of the last look; `None`: at once.
    pub(super) fn next(&self, now: Tick) -> Option<Tick> {
        let rate = u64::from(self.rate?.get());
        let lacking = PROBE.checked_sub(self.credit).filter(|lacking| *lacking > 0)?;
        Some((self.filled_at + Duration::from_millis(lacking.div_ceil(rate))).max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_start_than_the_rate_allows() {
        for rate in [1, 3, 250, 1_000, 7_777] {
            let mut allowance = Allowance::default();
            allowance.set_rate(NonZeroU32::new(rate));
            let mut now = Tick::START;
            let mut started = 0;
            while now < Tick::START + Duration::from_secs(10) {
                while allowance.any(now) {
                    allowance.take();
                    started += 1;
                }
                let next = allowance.next(now).unwrap();
                assert!(next > now, "{rate}: something is waited for");
                now = next;
            }
            let burst = (rate / 10).max(1);
            assert!((rate * 10 - 1..=rate * 10 + burst).contains(&started), "{rate}: {started}");
        }
    }

    #[test]
    fn without_a_rate_all_may_start() {
        let mut allowance = Allowance::default();
        for _ in 0..10_000 {
            assert!(allowance.any(Tick::START));
            allowance.take();
        }
        assert_eq!(allowance.next(Tick::START), None);
    }
}
