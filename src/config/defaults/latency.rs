//! Defaults of `[latency]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{DAY, HOUR, Preset, preset, seconds, span};

/// `latency.explore`: enough for a client prefix with a thousand answers a day.
pub(in crate::config) const EXPLORE: Preset<f64> = preset(0.005, "0.005");
/// `latency.keep`
pub(in crate::config) const KEEP: Preset<Duration> = seconds(7 * DAY, "\"7d\"");
/// Range of `latency.keep`
pub(in crate::config) const KEEP_RANGE: RangeInclusive<Duration> = span(HOUR * 1_000, 365 * DAY);
/// `latency.learn`
pub(in crate::config) const LEARN: Preset<bool> = preset(true, "true");
