//! `[latency]`: what is known of round trips before any was measured, and what is learnt.

use std::time::Duration;

use super::RegionId;

/// `[latency]`
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// The rows of `matrix`, by `from` and `to`.
    pub matrix: Vec<Leg>,
    /// Share of answers that go to the runner-up, so that its estimate stays true; 0: none.
    pub explore: f64,
    /// What was not measured for this long is forgotten.
    pub keep: Duration,
    /// Whether the round trips of clients are recorded at all.
    pub learn: bool,
}

/// The round trip between two regions, as an imported matrix has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leg {
    /// Where clients are.
    pub from: RegionId,
    /// Where endpoints are.
    pub to: RegionId,
    /// In milliseconds, from 0.05 to 10,000.
    pub ms: f64,
}

impl Default for Latency {
    fn default() -> Self {
        let keep = Duration::from_secs(7 * 86_400);
        Self { matrix: Vec::new(), explore: 0.005, keep, learn: true }
    }
}
