//! Defaults of `[safety]`.

use std::ops::RangeInclusive;

use super::{Preset, preset};
use crate::model::LastRecord;

/// `safety.max_removed`: checks that flap take half a pool at most.
pub(in crate::config) const MAX_REMOVED: Preset<f64> = preset(0.5, "0.5");
/// `safety.min_regions`
pub(in crate::config) const MIN_REGIONS: Preset<u16> = preset(1, "1");
/// Range of `safety.min_regions`: what no service can have would refuse every act.
pub(in crate::config) const MIN_REGIONS_RANGE: RangeInclusive<u16> = 0..=1_000;
/// `safety.min_capacity`: either of two regions can be taken out.
pub(in crate::config) const MIN_CAPACITY: Preset<f64> = preset(0.0, "0");
/// `safety.last_record`
pub(in crate::config) const LAST_RECORD: Preset<LastRecord> =
    preset(LastRecord::Refuse, "\"refuse\"");
