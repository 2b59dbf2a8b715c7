//! Defaults and ranges of capacity and `spill`.

use std::ops::RangeInclusive;

use super::{Preset, preset};

/// Range of `pool.capacity`: requests a second of a whole region.
pub(in crate::config) const CAPACITY_RANGE: RangeInclusive<u32> = 1..=1_000_000_000;
/// `target` of `spill`: room for what comes between two reports, and for the clients of a small
/// region that dies.
pub(in crate::config) const SPILL_TARGET: Preset<f64> = preset(0.8, "0.8");
/// `ramp` of `spill`: a full region is half its size away from its target after five minutes.
pub(in crate::config) const SPILL_RAMP: Preset<f64> = preset(0.1, "0.1");
/// `standby` of `spill`: what is of weight 0 gets nothing.
pub(in crate::config) const SPILL_STANDBY: Preset<f64> = preset(0.0, "0");
