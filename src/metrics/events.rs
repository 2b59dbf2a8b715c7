//! What happens and who is told of it, counted.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::counters;

/// What happens and who is told of it, counted.
#[derive(Debug)]
pub struct EventMetrics {
    /// Happenings by kind.
    pub told: IntCounterVec,
    /// Readers of the stream.
    pub readers: IntGauge,
    /// Readers that were too slow.
    pub dropped: IntCounter,
    /// Messages to webhooks by outcome.
    pub webhooks: IntCounterVec,
}

impl EventMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let messages = "Messages to webhooks by outcome.";
        let webhooks = counters("meridian_webhook_messages_total", messages, &["outcome"])?;
        for outcome in ["sent", "retried", "given_up", "suppressed"] {
            webhooks.with_label_values(&[outcome]);
        }
        Ok(Self {
            webhooks,
            told: counters("meridian_events_total", "Happenings told, by kind.", &["kind"])?,
            readers: IntGauge::new("meridian_event_readers", "Readers of the event stream.")?,
            dropped: IntCounter::new(
                "meridian_event_readers_dropped_total",
                "Readers of the event stream that were dropped, as they were too slow.",
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.told.clone()))?;
        registry.register(Box::new(self.readers.clone()))?;
        registry.register(Box::new(self.dropped.clone()))?;
        registry.register(Box::new(self.webhooks.clone()))
    }
}
