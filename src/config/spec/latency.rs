//! `[latency]` as written.

use serde::Deserialize;

use super::{DurationText, Field, RateText, Table};

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
    /// Resolvers that are probed.
    pub resolvers: Field<Table<ResolversTable>>,
}

/// `[latency.resolvers]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ResolversTable {
    /// The resolvers, a file.
    pub file: Field<String>,
    /// How they are probed.
    pub kind: Field<String>,
    /// At which port.
    pub port: Field<i64>,
    /// How often each is.
    pub interval: Field<DurationText>,
    /// For how long a reply is waited for.
    pub timeout: Field<DurationText>,
    /// How many probes a node starts in a second.
    pub rate: Field<RateText>,
}
