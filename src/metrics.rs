//! What the process counts about itself, beside the counters of the DNS workers.
//!
//! Names are `meridian_NOUN_UNIT[_total]` in base units; every label has a bounded set of values.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

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
}

impl Metrics {
    /// All counters at zero.
    ///
    /// # Errors
    /// When two metrics have one name: a mistake in this file, found by its test.
    pub fn new() -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let durations =
            HistogramOpts::new("meridian_probe_duration_seconds", "Duration of probes.");
        let metrics = Self {
            registry: Registry::new(),
            probe_duration: HistogramVec::new(
                durations.buckets(PROBE_SECONDS.to_vec()),
                &["monitor", "result"],
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
        self.registry.register(Box::new(self.generation.clone()))
    }

    /// The current values.
    pub fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
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
