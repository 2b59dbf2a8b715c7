//! The estimate of one round trip from its samples.
//!
//! A sample is the shortest round trip of a connection, and its smoothed one says how much they
//! scatter. Both scatter upwards: a full queue or a lost packet adds to them, nothing takes away.
//! So a step towards a sample is bounded by the usual spread, and one up is half of one down; what
//! stays higher raises the spread with each sample and is followed within some ten of them.

use std::time::Duration;

use super::rtt::{Rtt, steps};

/// Samples are worth half after this time without new ones, so that those are followed sooner.
const HALF_LIFE: Duration = Duration::from_secs(6 * 3_600);
/// Samples that count at most: more would make it slow to see a change.
pub const SAMPLES_MAX: u16 = 64;
/// Samples are counted in parts, so that they can decay.
const PARTS: f64 = 16.0;
/// The least weight of a new sample.
const WEIGHT_LEAST: f64 = 1.0 / 12.0;
/// The least weight of a shorter one among the first few: one of them may have lost a packet.
const WEIGHT_FIRST: f64 = 0.4;
/// Those are the first few.
const FIRST: f64 = 8.0;
/// A step is at most so many times the usual spread.
const REACH: f64 = 4.0;
/// A step may always be as long as this factor, however small the spread is.
const REACH_LEAST: f64 = 1.15;
/// What others see follows the estimate when it has moved by this factor…
const SETTLED_WITHIN: f64 = 1.06;
/// …and by this much, in milliseconds.
const SETTLED_WITHIN_MS: f64 = 1.5;

/// An estimate with what it rests on; eight octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) estimate: Rtt,
    pub(super) settled: Rtt,
    /// Mean distance of smoothed round trips from the estimate, in steps of the scale.
    pub(super) spread: u16,
    /// Samples that count, in parts; 0: there is none.
    pub(super) parts: u16,
}

impl Cell {
    /// An estimate that somebody else has made.
    pub(super) fn told(estimate: Rtt, spread: u16, samples: u16) -> Self {
        let parts = samples.clamp(1, SAMPLES_MAX) * PARTS as u16;
        Self { estimate, settled: estimate, spread, parts }
    }

    /// One that was saved; `None`: it is none.
    pub(super) fn restored(estimate: Rtt, settled: Rtt, spread: u16, parts: u16) -> Option<Self> {
        let counts = (1..=SAMPLES_MAX * PARTS as u16).contains(&parts);
        counts.then_some(Self { estimate, settled, spread, parts })
    }

    /// Takes in the shortest and the smoothed round trip of a connection, `idle` after the last.
    #[must_use]
    pub(super) fn sampled(self, (least, smoothed): (Rtt, Rtt), idle: Duration) -> Self {
        if self.parts == 0 {
            return Self::told(least, smoothed.0.saturating_sub(least.0), 1);
        }
        let before = f64::from(self.parts) / PARTS;
        let before = before * (-idle.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        let samples = (before + 1.0).min(f64::from(SAMPLES_MAX));
        let weight = (1.0 / samples).max(WEIGHT_LEAST);
        let away = f64::from(least.0) - f64::from(self.estimate.0);
        let scatter = (f64::from(smoothed.0) - f64::from(self.estimate.0)).abs();
        let spread = f64::from(self.spread);
        let reach = (REACH * spread).max(steps(REACH_LEAST));
        let step = match (away > 0.0, before < FIRST) {
            (true, _) => weight * away.min(reach) / 2.0,
            (false, true) => weight.max(WEIGHT_FIRST) * away,
            (false, false) => weight * away.max(-reach),
        };
        let estimate = f64::from(self.estimate.0) + step;
        let spread = spread + weight * (scatter.min(2.0 * reach) - spread);
        Self {
            estimate: Rtt(estimate.round() as u16),
            settled: self.settled,
            spread: spread.round() as u16,
            parts: (samples * PARTS).round() as u16,
        }
        .settle()
    }

    /// The estimate that is told and steered by: it stands until the estimate has clearly left it,
    /// so that noise moves nobody.
    pub(super) fn settled(self) -> Rtt {
        self.settled
    }

    /// The estimate as it is.
    #[cfg(test)]
    pub(super) fn estimate(self) -> Rtt {
        self.estimate
    }

    /// Samples that count, rounded up.
    pub(super) fn samples(self) -> u16 {
        self.parts.div_ceil(PARTS as u16)
    }

    /// What is settled on follows the estimate, if it has to.
    fn settle(mut self) -> Self {
        if has_left(self.settled.ms(), self.estimate.ms()) {
            self.settled = self.estimate;
        }
        self
    }
}

/// Whether what was settled on, in milliseconds, has to follow.
pub(super) fn has_left(settled_ms: f64, now_ms: f64) -> bool {
    let (low, high) = if settled_ms < now_ms { (settled_ms, now_ms) } else { (now_ms, settled_ms) };
    high > low * SETTLED_WITHIN && high - low > SETTLED_WITHIN_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    fn after(cell: Cell, samples: impl Iterator<Item = f64>) -> Cell {
        samples.fold(cell, |cell, ms| cell.sampled((Rtt::from_ms(ms), Rtt::from_ms(ms)), PAUSE))
    }

    /// Round trips around `ms` with a tenth of noise, and one in twenty that lost a packet.
    fn noisy(ms: f64, seed: u64) -> impl Iterator<Item = f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(move || {
            let lost = if random.u8(0..20) == 0 { 200.0 } else { 0.0 };
            ms * (1.0 + 0.2 * (random.f64() - 0.3)) + lost
        })
    }

    #[test]
    fn a_few_samples_find_the_round_trip_and_losses_do_not_lose_it() {
        for seed in 0..200 {
            let ms = [3.0, 20.0, 90.0, 300.0][seed as usize % 4];
            let cell = after(Cell::default(), noisy(ms, seed).take(12));
            let found = cell.estimate().ms();
            assert!((0.85..1.35).contains(&(found / ms)), "{seed}: {found} for {ms}");
            let cell = after(cell, noisy(ms, seed + 1_000).take(300));
            let found = cell.settled().ms();
            assert!((0.85..1.2).contains(&(found / ms)), "{seed}: {found} for {ms}");
            assert_eq!(cell.samples(), SAMPLES_MAX);
        }
    }

    #[test]
    fn noise_does_not_move_what_was_settled_on() {
        let mut moves = 0;
        for seed in 0..100 {
            let mut cell = after(Cell::default(), noisy(40.0, seed).take(100));
            for ms in noisy(40.0, seed + 500).take(1_000) {
                let next = after(cell, std::iter::once(ms));
                moves += u32::from(next.settled() != cell.settled());
                cell = next;
            }
        }
        assert!(moves < 2_000, "{moves} moves in 100,000 samples");
    }

    #[test]
    fn a_lasting_change_is_followed_both_ways() {
        for (from, to) in [(20.0, 80.0), (80.0, 20.0), (20.0, 30.0)] {
            let cell = after(Cell::default(), noisy(from, 1).take(100));
            let cell = after(cell, noisy(to, 2).take(50));
            let found = cell.settled().ms();
            assert!((0.8..1.2).contains(&(found / to)), "{from} to {to}: {found}");
        }
    }

    #[test]
    fn samples_count_less_with_time() {
        let cell = after(Cell::default(), noisy(40.0, 1).take(100));
        assert_eq!(cell.samples(), 64);
        let sample = (Rtt::from_ms(40.0), Rtt::from_ms(40.0));
        let idle = cell.sampled(sample, Duration::from_secs(24 * 3_600));
        assert_eq!(idle.samples(), 5, "a sixteenth of them after a day, and the new one");
    }

    #[test]
    fn queues_that_clients_fill_themselves_make_them_no_farther() {
        let fold = |cell: Cell, ms: f64, queue: f64, count: usize| {
            let noise = noisy(ms, 3).zip(noisy(queue, 4)).take(count);
            noise.fold(cell, |cell, (least, more)| {
                cell.sampled((Rtt::from_ms(least), Rtt::from_ms(least + more)), PAUSE)
            })
        };
        for count in [1, 4, 100] {
            let found = fold(Cell::default(), 20.0, 300.0, count).settled().ms();
            assert!((17.0..24.0).contains(&found), "{count} samples: {found}");
        }
        // The spread says how full they are, and a way that is longer in truth is still followed.
        let calm = fold(Cell::default(), 20.0, 0.1, 200);
        let full = fold(calm, 20.0, 300.0, 200);
        assert!(full.spread > 2 * calm.spread, "{} and {}", full.spread, calm.spread);
        let found = fold(full, 80.0, 300.0, 50).settled().ms();
        assert!((64.0..96.0).contains(&found), "{found}");
    }
}
