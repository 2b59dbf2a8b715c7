//! What the latency map counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{counters, gauges};

/// What the latency map counts.
#[derive(Debug)]
pub struct LatencyMetrics {
    /// Round trips of clients that were taken in.
    pub samples: IntCounter,
    /// Measurements that were not believed, by reason.
    pub refused: IntCounterVec,
    /// Estimates that had to make room for others.
    pub dropped: IntCounter,
    /// Client prefixes of which something is known.
    pub clients: IntGauge,
    /// Memory of the map.
    pub memory: IntGauge,
    /// Estimates that contradict physics, by the region that reports them.
    pub contradictions: IntGaugeVec,
    /// Reporters that are not believed.
    pub distrusted: IntGauge,
    /// How often contests were compiled anew.
    pub compilations: IntCounter,
    /// Probes of resolvers, by what came of them.
    pub resolver_probes: IntCounterVec,
}

impl LatencyMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            samples: IntCounter::new(
                "meridian_latency_samples_total",
                "Round trips of clients that the latency map took in.",
            )?,
            refused: counters(
                "meridian_latency_refused_total",
                "Measurements that the latency map did not believe.",
                &["reason"],
            )?,
            dropped: IntCounter::new(
                "meridian_latency_dropped_total",
                "Estimates that had to make room for others in the full latency map.",
            )?,
            clients: IntGauge::new(
                "meridian_latency_clients",
                "Client prefixes that the latency map knows something of.",
            )?,
            memory: IntGauge::new(
                "meridian_latency_memory_bytes",
                "Memory of the latency map and its estimates.",
            )?,
            contradictions: gauges(
                "meridian_latency_contradictions",
                "Estimates faster than light in fibre, by the region that reports them.",
                &["region"],
            )?,
            distrusted: IntGauge::new(
                "meridian_latency_distrusted_reporters",
                "Reporters whose estimates contradict physics so often that none is believed.",
            )?,
            compilations: IntCounter::new(
                "meridian_latency_compilations_total",
                "How often services were compiled anew by what was measured.",
            )?,
            resolver_probes: counters(
                "meridian_latency_resolver_probes_total",
                "Probes of resolvers in the place of their clients, by result.",
                &["result"],
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.samples.clone()))?;
        registry.register(Box::new(self.refused.clone()))?;
        registry.register(Box::new(self.dropped.clone()))?;
        registry.register(Box::new(self.clients.clone()))?;
        registry.register(Box::new(self.memory.clone()))?;
        registry.register(Box::new(self.contradictions.clone()))?;
        registry.register(Box::new(self.distrusted.clone()))?;
        registry.register(Box::new(self.compilations.clone()))?;
        registry.register(Box::new(self.resolver_probes.clone()))
    }
}
