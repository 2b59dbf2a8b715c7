//! Defaults of `[telemetry]`.

use super::{Preset, preset};

/// `telemetry.sample`: enough to see what is slow, and little to send.
pub(in crate::config) const SAMPLE: Preset<f64> = preset(0.01, "0.01");
