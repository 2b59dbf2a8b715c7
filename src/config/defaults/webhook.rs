//! Defaults and ranges of `[webhook.NAME]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Preset, seconds, span};

/// `webhook.events`
pub(in crate::config) const EVENTS: &str = "(every kind)";
/// `webhook.group`
pub(in crate::config) const GROUP: Preset<Duration> = seconds(5, "\"5s\"");
/// Range of `webhook.group`
pub(in crate::config) const GROUP_RANGE: RangeInclusive<Duration> = span(0, 600);
