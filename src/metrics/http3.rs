//! What HTTP/3 adds to what the proxy counts.

use prometheus::{IntCounterVec, Registry};

use super::counters;

/// Why streams are reset.
const RESETS: [&str; 3] = ["header_timeout", "malformed", "stalled"];

/// What HTTP/3 adds.
#[derive(Debug)]
pub struct Http3Metrics {
    /// Streams that this side reset, by reason.
    pub resets: IntCounterVec,
}

impl Http3Metrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let resets = counters(
            "meridian_proxy_streams_reset_total",
            "Requests over HTTP/3 that this side broke off, by reason.",
            &["reason"],
        )?;
        for reason in RESETS {
            resets.with_label_values(&[reason]);
        }
        Ok(Self { resets })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.resets.clone()))
    }
}
