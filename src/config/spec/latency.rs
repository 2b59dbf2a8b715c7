//! `[latency]` as written.

use serde::Deserialize;

use super::{DurationText, Field};

/// `[latency]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct LatencyTable {
    /// Round trips between regions, a file.
    pub matrix: Field<String>,
    /// Share of answers to the runner-up.
    pub explore: Field<f64>,
    /// How long measurements are kept.
    pub keep: Field<DurationText>,
    /// Whether round trips of clients are recorded.
    pub learn: Field<bool>,
}
