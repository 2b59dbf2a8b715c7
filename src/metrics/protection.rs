//! What keeps the proxy and its endpoints alive, counted.

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry};

use super::{counters, gauges, times};

/// Upper bounds of the buckets of the time in a queue, in seconds.
const QUEUE_SECONDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Upper bounds of the buckets of round trips of clients, in seconds.
const RTT_SECONDS: [f64; 11] = [0.0005, 0.002, 0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.25, 0.5];

/// What keeps the proxy and its endpoints alive, counted.
#[derive(Debug)]
pub struct ProtectionMetrics {
    /// Ejections by cause, and those that were not allowed.
    pub ejections: IntCounterVec,
    /// Endpoints that are left out.
    pub ejected: IntGaugeVec,
    /// What health was told of proxied requests.
    pub observations: IntCounterVec,
    /// Requests that wait for a place.
    pub waiting: IntGaugeVec,
    /// Time that requests waited for a place, by route.
    pub waited: HistogramVec,
    /// Requests turned away for others that matter more, by route and priority.
    pub shed: IntCounterVec,
    /// Requests served in another region, by route, region and reason.
    pub rescued: IntCounterVec,
    /// Second endpoints that were asked, or would have been, by route and what came of it.
    pub hedges: IntCounterVec,
    /// Requests that went to an endpoint while it was drained.
    pub drained: IntCounterVec,
    /// Smoothed round trips to clients, by the region of this node.
    pub rtt: HistogramVec,
    /// The shortest round trips of the same connections.
    pub rtt_least: HistogramVec,
    /// Round trips that nobody took.
    pub rtt_dropped: IntCounter,
}

impl ProtectionMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let trips = |name, help| times(name, help, &["region"], &RTT_SECONDS);
        Ok(Self {
            ejections: counters(
                "meridian_proxy_ejections_total",
                "Endpoints left out for a time, and those that would have been.",
                &["pool", "region", "cause", "result"],
            )?,
            ejected: gauges(
                "meridian_proxy_ejected",
                "Endpoints that are left out at the moment.",
                &["pool", "region"],
            )?,
            observations: counters(
                "meridian_proxy_observations_total",
                "What health was told of proxied requests.",
                &["pool", "outcome"],
            )?,
            waiting: gauges(
                "meridian_proxy_queue_requests",
                "Requests that wait for a place at an endpoint.",
                &["pool", "region"],
            )?,
            waited: times(
                "meridian_proxy_queue_duration_seconds",
                "Time that requests waited for a place at an endpoint.",
                &["route"],
                &QUEUE_SECONDS,
            )?,
            shed: counters(
                "meridian_proxy_shed_total",
                "Requests turned away for others that matter more.",
                &["route", "priority"],
            )?,
            rescued: counters(
                "meridian_proxy_rescued_total",
                "Requests that went to endpoints of another region.",
                &["route", "region", "reason"],
            )?,
            hedges: counters(
                "meridian_proxy_hedges_total",
                "Requests that a second endpoint was asked about, by what came of it.",
                &["route", "result"],
            )?,
            drained: counters(
                "meridian_proxy_drained_requests_total",
                "Requests that went to an endpoint while it was drained.",
                &["pool", "region", "endpoint"],
            )?,
            rtt: trips("meridian_proxy_client_rtt_seconds", "Smoothed round trips to clients.")?,
            rtt_least: trips(
                "meridian_proxy_client_rtt_least_seconds",
                "The shortest round trips of the same connections with clients.",
            )?,
            rtt_dropped: IntCounter::new(
                "meridian_proxy_client_rtt_dropped_total",
                "Round trips to clients that were not counted, since too many came at once.",
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.ejections.clone()))?;
        registry.register(Box::new(self.ejected.clone()))?;
        registry.register(Box::new(self.observations.clone()))?;
        registry.register(Box::new(self.waiting.clone()))?;
        registry.register(Box::new(self.waited.clone()))?;
        registry.register(Box::new(self.shed.clone()))?;
        registry.register(Box::new(self.rescued.clone()))?;
        registry.register(Box::new(self.hedges.clone()))?;
        registry.register(Box::new(self.drained.clone()))?;
        registry.register(Box::new(self.rtt.clone()))?;
        registry.register(Box::new(self.rtt_least.clone()))?;
        registry.register(Box::new(self.rtt_dropped.clone()))
    }
}
