//! Defaults and ranges of `route.hedge`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Preset, preset, span};
use crate::model::HedgeAfter;

/// `route.hedge.after`: what is slow differs from route to route.
pub(in crate::config) const HEDGE_AFTER: Preset<HedgeAfter> = preset(HedgeAfter::P95, "\"p95\"");
/// Range of `route.hedge.after`
pub(in crate::config) const HEDGE_AFTER_RANGE: RangeInclusive<Duration> = span(1, 60);
/// `route.hedge.budget`: as many as are slow by `p95`.
pub(in crate::config) const HEDGE_BUDGET: Preset<f64> = preset(0.05, "0.05");
