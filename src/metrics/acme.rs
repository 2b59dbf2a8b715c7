//! What orders of certificates come to.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

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
        let orders = Opts::new("meridian_acme_orders_total", "Orders of certificates by outcome.");
        let ends = Opts::new(
            "meridian_acme_certificate_end_timestamp_seconds",
            "When a certificate ends that was ordered, since 1970-01-01 UTC.",
        );
        let orders = IntCounterVec::new(orders, &["outcome"])?;
        for outcome in OUTCOMES {
            orders.with_label_values(&[outcome]);
        }
        Ok(Self { orders, ends: IntGaugeVec::new(ends, &["name"])? })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.orders.clone()))?;
        registry.register(Box::new(self.ends.clone()))
    }
}
