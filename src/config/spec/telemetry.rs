//! Traces as written in `node.toml`.

use serde::Deserialize;

use super::Field;

/// `[telemetry]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TelemetryTable {
    /// URL of a collector.
    pub otlp: Field<String>,
    /// Share of the requests that begin a trace.
    pub sample: Field<f64>,
}
