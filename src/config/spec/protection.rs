//! What keeps the endpoints of a route alive, as it is written.

use serde::Deserialize;

use super::{DurationText, Field, List};

/// `eject` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct EjectTable {
    /// Errors in a row.
    pub errors: Field<i64>,
    /// The time in which they come.
    pub within: Field<DurationText>,
    /// How long an endpoint is left out.
    pub r#for: Field<DurationText>,
    /// Share of the endpoints.
    pub max_share: Field<f64>,
    /// Multiple of the median response time.
    pub slow: Field<f64>,
    /// What counts as an error.
    pub status: List<i64>,
}

/// `priority` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PriorityTable {
    /// Name of a header field.
    pub header: Field<String>,
    /// Who is believed.
    pub from: Field<String>,
}

/// `rate_limit` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RateLimitTable {
    /// What is counted together.
    pub by: Field<String>,
    /// Requests in a time.
    pub rate: Field<String>,
    /// Requests at once.
    pub burst: Field<i64>,
    /// Length of a prefix.
    pub v6: Field<i64>,
}

/// `rescue` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RescueTable {
    /// How long.
    pub r#for: Field<DurationText>,
    /// Share of the requests.
    pub share: Field<f64>,
}
