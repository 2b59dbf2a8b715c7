//! What the process counts about itself, beside the counters of the DNS workers.
//!
//! Names are `meridian_NOUN_UNIT[_total]` in base units; every label has a bounded set of values.

mod acme;
mod events;
mod http3;
mod latency;
mod protection;
mod proxy;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

pub use acme::AcmeMetrics;
pub use events::EventMetrics;
pub use http3::Http3Metrics;
pub use latency::LatencyMetrics;
pub use protection::ProtectionMetrics;
pub use proxy::ProxyMetrics;

/// Upper bounds of the buckets of probe durations, in seconds: from a LAN to the longest timeout.
const PROBE_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Counters with one owner each, shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Probe durations, by monitor and result.
    pub probe_duration: HistogramVec,
    /// Failed probes, by monitor and sort of failure.
    pub probe_failures: IntCounterVec,
    /// Probes that started more than an interval late, by monitor.
    pub probe_late: IntCounterVec,
    /// Changes of health, by pool and new level.
    pub flips: IntCounterVec,
    /// Reloads, by outcome: all taken over, all but zones with errors, nothing.
    pub reloads: IntCounterVec,
    /// Visits at the primaries of zones, by outcome.
    pub zone_fetches: IntCounterVec,
    /// Failed writes to the state folder.
    pub state_failures: IntCounter,
    /// Reloads refused since their plan must not follow the one served.
    pub plan_refusals: IntCounter,
    /// 1 while a plan is served that is older than one served before.
    pub plan_behind: IntGauge,
    /// Generation of the published snapshot.
    pub generation: IntGauge,
    /// What nodes tell each other.
    pub cluster: ClusterMetrics,
    /// What happens.
    pub events: EventMetrics,
    /// What the latency map counts.
    pub latency: LatencyMetrics,
    /// What the proxy counts.
    pub proxy: ProxyMetrics,
    /// What orders of certificates come to.
    pub acme: AcmeMetrics,
}

impl Metrics {
    /// All counters at zero.
    ///
    /// # Errors
    /// When two metrics have one name: a mistake in this file, found by its test.
    pub fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            probe_duration: times(
                "meridian_probe_duration_seconds",
                "Duration of probes.",
                &["monitor", "result"],
                &PROBE_SECONDS,
            )?,
            probe_failures: counters(
                "meridian_probe_failures_total",
                "Failed probes by sort of failure.",
                &["monitor", "cause"],
            )?,
            probe_late: counters(
                "meridian_probe_late_total",
                "Probes that started more than an interval late: `max_in_flight` is too low.",
                &["monitor"],
            )?,
            flips: counters(
                "meridian_endpoint_flips_total",
                "Changes of an endpoint's health, by new level.",
                &["pool", "to"],
            )?,
            reloads: counters("meridian_reloads_total", "Reloads by outcome.", &["outcome"])?,
            zone_fetches: counters(
                "meridian_zone_fetches_total",
                "Visits at the primaries of zones, by what came of them.",
                &["outcome"],
            )?,
            state_failures: IntCounter::new(
                "meridian_state_write_failures_total",
                "Failed writes to the state folder; serving goes on without.",
            )?,
            plan_refusals: IntCounter::new(
                "meridian_plan_refusals_total",
                "Reloads refused since their plan is older than the one served, or much smaller.",
            )?,
            plan_behind: IntGauge::new(
                "meridian_plan_behind",
                "1 while a plan is served that is older than one served before.",
            )?,
            generation: IntGauge::new(
                "meridian_snapshot_generation",
                "Number of the snapshot that answers are given from.",
            )?,
            cluster: ClusterMetrics::new()?,
            events: EventMetrics::new()?,
            latency: LatencyMetrics::new()?,
            proxy: ProxyMetrics::new()?,
            acme: AcmeMetrics::new()?,
        };
        for result in ["ok", "partial", "refused"] {
            metrics.reloads.with_label_values(&[result]);
        }
        for outcome in ["fetched", "unchanged", "failed"] {
            metrics.zone_fetches.with_label_values(&[outcome]);
        }
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.probe_duration.clone()))?;
        self.registry.register(Box::new(self.probe_failures.clone()))?;
        self.registry.register(Box::new(self.probe_late.clone()))?;
        self.registry.register(Box::new(self.flips.clone()))?;
        self.registry.register(Box::new(self.reloads.clone()))?;
        self.registry.register(Box::new(self.zone_fetches.clone()))?;
        self.registry.register(Box::new(self.state_failures.clone()))?;
        self.registry.register(Box::new(self.plan_refusals.clone()))?;
        self.registry.register(Box::new(self.plan_behind.clone()))?;
        self.registry.register(Box::new(self.generation.clone()))?;
        self.cluster.register(&self.registry)?;
        self.events.register(&self.registry)?;
        self.latency.register(&self.registry)?;
        self.proxy.register(&self.registry)?;
        self.acme.register(&self.registry)
    }

    /// The current values.
    pub fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
}

/// What nodes tell each other.
#[derive(Debug)]
pub struct ClusterMetrics {
    /// Whether the cluster engine can be reached.
    pub link: IntGauge,
    /// Other probers, by standing.
    pub probers: IntGaugeVec,
    /// Messages between nodes, by kind and direction.
    pub messages: IntCounterVec,
    /// Octets of the messages that were sent.
    pub sent_bytes: IntCounter,
    /// Messages and votes that were dropped, by reason.
    pub dropped: IntCounterVec,
    /// What happened to the connection with the engine.
    pub events: IntCounterVec,
    /// Whether another node goes by the name of this one.
    pub cloned: IntGauge,
    /// Peers that serve another configuration.
    pub drifted: IntGauge,
}

impl ClusterMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        let cluster = Self {
            link: IntGauge::new(
                "meridian_cluster_link",
                "1 while the cluster engine can be reached.",
            )?,
            probers: gauges(
                "meridian_cluster_probers",
                "Other probers by standing.",
                &["standing"],
            )?,
            messages: counters(
                "meridian_cluster_messages_total",
                "Messages between nodes.",
                &["kind", "direction"],
            )?,
            sent_bytes: IntCounter::new(
                "meridian_cluster_sent_bytes_total",
                "Octets of the messages to other nodes.",
            )?,
            dropped: counters(
                "meridian_cluster_dropped_total",
                "Messages and votes that were dropped.",
                &["reason"],
            )?,
            events: counters(
                "meridian_cluster_events_total",
                "What happened to the connection with the cluster engine.",
                &["event"],
            )?,
            cloned: IntGauge::new(
                "meridian_cluster_cloned",
                "1 when another node goes by the name of this one.",
            )?,
            drifted: IntGauge::new(
                "meridian_cluster_drifted_peers",
                "Peers that have served another configuration than this node for half a minute.",
            )?,
        };
        cluster.show_zeros();
        Ok(cluster)
    }

    /// Makes the samples, so that alerts find them before anything happens.
    fn show_zeros(&self) {
        for standing in ["live", "late", "dead", "impaired"] {
            self.probers.with_label_values(&[standing]);
        }
        for kind in ["health", "beat", "need", "latency", "load", "challenge", "presence"] {
            for direction in ["sent", "received"] {
                self.messages.with_label_values(&[kind, direction]);
            }
        }
        for reason in [
            "foreign",
            "length",
            "format",
            "malformed",
            "forged",
            "stale",
            "full",
            "overrun",
            "unsent",
            "overflow",
        ] {
            self.dropped.with_label_values(&[reason]);
        }
        for event in ["connected", "disconnected", "failed", "refused", "slow", "error"] {
            self.events.with_label_values(&[event]);
        }
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.link.clone()))?;
        registry.register(Box::new(self.probers.clone()))?;
        registry.register(Box::new(self.messages.clone()))?;
        registry.register(Box::new(self.sent_bytes.clone()))?;
        registry.register(Box::new(self.dropped.clone()))?;
        registry.register(Box::new(self.events.clone()))?;
        registry.register(Box::new(self.cloned.clone()))?;
        registry.register(Box::new(self.drifted.clone()))
    }
}

/// Counters by labels.
fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

/// Gauges by labels.
fn gauges(name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

/// Histograms by labels; `bounds` are the upper ones of the buckets, in seconds.
fn times(
    name: &str,
    help: &str,
    labels: &[&str],
    bounds: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_in_base_units() {
        let metrics = Metrics::new().unwrap();
        metrics.probe_duration.with_label_values(&["ready", "ok"]).observe(0.01);
        let names: Vec<String> = metrics.gather().iter().map(|f| f.name().to_owned()).collect();
        assert!(names.contains(&"meridian_probe_duration_seconds".to_owned()), "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("meridian_")), "{names:?}");
    }
}
