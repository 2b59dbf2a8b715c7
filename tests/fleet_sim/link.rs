//! What carries messages: a bus with a server in each region, which delays, loses and repeats.

use std::time::Duration;

use super::Arrival;

/// How rough it is while there is trouble, in thousandths. A request is answered to all nodes, so
/// that a thousand of them that lose much would do little else than ask.
const LOST_BETWEEN_REGIONS: u32 = 5;
const LOST_IN_REGION: u32 = 1;
const REPEATED: u32 = 5;
/// Longest time that a message lags behind others in trouble, which reorders them.
const LAG_MS: u64 = 900;

/// The ways between regions.
pub(crate) struct Links {
    regions: usize,
    /// How many faults cut each way, from region to region.
    cuts: Vec<u8>,
    /// Whether messages suffer.
    pub(crate) rough: bool,
}

impl Links {
    /// All ways are open.
    pub(crate) fn new(regions: usize) -> Self {
        Self { regions, cuts: vec![0; regions * regions], rough: false }
    }

    /// Cuts (or mends) what leaves a region, what reaches it, or both.
    pub(crate) fn cut(&mut self, region: usize, out: bool, into: bool, cut: bool) {
        for other in (0..self.regions).filter(|other| *other != region) {
            let ways = [(out, region, other), (into, other, region)];
            for (_, from, to) in ways.into_iter().filter(|(concerned, ..)| *concerned) {
                let count = &mut self.cuts[from * self.regions + to];
                *count = if cut { *count + 1 } else { *count - 1 };
            }
        }
    }

    /// Whether messages get from one region to another.
    pub(crate) fn is_open(&self, from: usize, to: usize) -> bool {
        self.cuts[from * self.regions + to] == 0
    }

    /// Whether a connection between two regions can be made.
    pub(crate) fn is_open_both_ways(&self, one: usize, other: usize) -> bool {
        self.is_open(one, other) && self.is_open(other, one)
    }

    /// How long a message takes from region to region; `None`: it is lost.
    pub(crate) fn carry(
        &self,
        rng: &mut fastrand::Rng,
        from: usize,
        to: usize,
    ) -> Option<Duration> {
        if !self.is_open(from, to) {
            return None;
        }
        let away = from.abs_diff(to).min(self.regions - from.abs_diff(to)) as u64;
        let mut ms = 1 + 3 * away + rng.u64(0..5);
        if self.rough && from != to {
            if rng.u32(0..1_000) < LOST_BETWEEN_REGIONS {
                return None;
            }
            if rng.u32(0..4) == 0 {
                ms += rng.u64(0..LAG_MS);
            }
        }
        Some(Duration::from_millis(ms))
    }

    /// What becomes of a message on its last way, from the server of a region to a node.
    pub(crate) fn arrive(&self, rng: &mut fastrand::Rng) -> Arrival {
        if !self.rough {
            return Arrival::Once;
        }
        match rng.u32(0..1_000) {
            drawn if drawn < LOST_IN_REGION => Arrival::Never,
            drawn if drawn < LOST_IN_REGION + REPEATED => {
                Arrival::Twice(Duration::from_millis(rng.u64(0..3 * LAG_MS)))
            }
            _ => Arrival::Once,
        }
    }
}
