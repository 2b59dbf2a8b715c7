//! Defaults and ranges of drill files.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{DAY, Preset, preset, span};
use crate::model::How;

/// `drill.how`
pub(in crate::config) const HOW: Preset<Option<How>> = preset(Some(How::Health), "\"health\"");
/// Range of `drill.for`
pub(in crate::config) const FOR_RANGE: RangeInclusive<Duration> = span(1_000, DAY);
/// Longest `drill.name`, in characters.
pub(in crate::config) const NAME_MAX: usize = 100;
/// `drill.every`
pub(in crate::config) const EVERY: Preset<Duration> =
    preset(Duration::from_millis(100), "\"100ms\"");
/// Range of `drill.every`
pub(in crate::config) const EVERY_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60);
/// Longest time until `drill.at`; who waits longer is better served by a timer of the system.
pub(in crate::config) const AHEAD_MAX: Duration = Duration::from_secs(7 * DAY);
/// Range of `expect.moved_within` and `expect.back_within`
pub(in crate::config) const WITHIN_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(3_600);
/// `expect.no_errors`
pub(in crate::config) const NO_ERRORS: Preset<bool> = preset(true, "true");
/// Highest `abort.survivor_load`; regions may be over their capacity.
pub(in crate::config) const LOAD_MAX: f64 = 10.0;
