//! The response time of an endpoint: an average that believes bad news at once.

use std::time::Duration;

use crate::clock::Tick;

/// After this many decay times without an answer nothing is known any more: an endpoint that was
/// shunned for being slow must be tried again some day.
const FORGOTTEN: u32 = 6;

/// An exponentially weighted average that jumps to any higher value and comes down slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeakEwma {
    value_ms: f32,
    /// `None`: nothing was ever observed.
    at: Option<Tick>,
}

impl PeakEwma {
    /// The time in which a past value loses 63 % of its say.
    pub const DECAY: Duration = Duration::from_secs(10);

    /// Takes in that an answer came after `latency`, at `now`.
    pub fn observe(&mut self, latency: Duration, now: Tick) {
        let sample = latency.as_secs_f32() * 1000.0;
        let known = self.read(now);
        let Some(before) = self.at.filter(|_| known > 0.0) else {
            (self.value_ms, self.at) = (sample, Some(now));
            return;
        };
        let since = now.since(before).as_secs_f32();
        let kept = (-since / Self::DECAY.as_secs_f32()).exp();
        self.value_ms = if sample > known { sample } else { known * kept + sample * (1.0 - kept) };
        self.at = Some(now.max(before));
    }

    /// The response time in milliseconds at `now`; 0: not known, or too long ago to count.
    pub fn read(&self, now: Tick) -> f32 {
        match self.at {
            // A response within the clock's precision is a response: it must not count as unknown.
            Some(at) if now.since(at) < Self::DECAY * FORGOTTEN => self.value_ms.max(f32::EPSILON),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // What is observed first and peaks are kept as they are.
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_fades_slowly() {
        let mut latency = PeakEwma::default();
        assert_eq!(latency.read(Tick(5)), 0.0, "nothing is known");
        latency.observe(ms(10), Tick(0));
        assert_eq!(latency.read(Tick(0)), 10.0, "the first answer is all there is");
        latency.observe(ms(500), Tick(1000));
        assert_eq!(latency.read(Tick(1000)), 500.0, "a peak");
        latency.observe(ms(10), Tick(2000));
        let after = latency.read(Tick(2000));
        assert!((440.0..=460.0).contains(&after), "one good answer after a second: {after}");
        latency.observe(ms(10), Tick(12_000));
        let after = latency.read(Tick(12_000));
        assert!((165.0..=180.0).contains(&after), "a decay time later: {after}");
    }

    #[test]
    fn the_average_does_not_depend_on_how_often_it_was_asked_for() {
        let (mut seldom, mut often) = (PeakEwma::default(), PeakEwma::default());
        for latency in [&mut seldom, &mut often] {
            latency.observe(ms(100), Tick(0));
        }
        seldom.observe(ms(20), Tick(8000));
        for now in 1..=8000 {
            often.observe(ms(20), Tick(now));
        }
        let (seldom, often) = (seldom.read(Tick(8000)), often.read(Tick(8000)));
        assert!((seldom - often).abs() < 0.5, "{seldom} and {often}");
    }

    #[test]
    fn what_is_long_ago_is_not_known_any_more() {
        let mut latency = PeakEwma::default();
        latency.observe(ms(800), Tick(0));
        assert_eq!(latency.read(Tick(59_999)), 800.0);
        assert_eq!(latency.read(Tick(60_000)), 0.0);
        latency.observe(ms(10), Tick(60_000));
        assert_eq!(latency.read(Tick(60_000)), 10.0, "it begins anew");
        latency.observe(Duration::ZERO, Tick(200_000));
        assert!(latency.read(Tick(200_000)) > 0.0, "an instant answer is an answer");
        latency.observe(ms(30), Tick(100_000));
        assert_eq!(latency.read(Tick(200_000)), 30.0, "a clock that stands back harms nothing");
    }
}
