//! What orders of certificates come to.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{counters, gauges};

/// How orders end.
const OUTCOMES: [&str; 4] = ["issued", "unreached", "refused", "limited"];

/// What orders of certificates come to.
#[derive(Debug)]
pub struct AcmeMetrics {
    /// Orders that have ended, by outcome.
    pub orders: IntCounterVec,
    /// When ordered certificates end, by first name, in seconds since 1970-01-01 UTC; 0: there
    /// is none.
    pub ends: IntGaugeVec,
}

impl AcmeMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let ended = "Orders of certificates by outcome.";
        let orders = counters("meridian_acme_orders_total", ended, &["outcome"])?;
        let ends = gauges(
            "meridian_acme_certificate_end_timestamp_seconds",
            "When a certificate ends that was ordered, since 1970-01-01 UTC.",
            &["name"],
        )?;
        for outcome in OUTCOMES {
            orders.with_label_values(&[outcome]);
        }
        Ok(Self { orders, ends })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.orders.clone()))?;
        registry.register(Box::new(self.ends.clone()))
    }
}
