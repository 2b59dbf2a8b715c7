//! What the proxy counts.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Upper bounds of the buckets of request durations, in seconds: from a cache to a long poll.
const REQUEST_SECONDS: [f64; 11] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What the proxy counts.
#[derive(Debug)]
pub struct ProxyMetrics {
    /// Connections of clients.
    pub connections: IntGauge,
    /// Connections of clients that this side closed, or did not take, by reason.
    pub closed: IntCounterVec,
    /// Requests by route and class of status.
    pub requests: IntCounterVec,
    /// Time from a request's head to the end of its reply, by route.
    pub duration: HistogramVec,
    /// Requests that the proxy answered itself, by route and cause.
    pub failures: IntCounterVec,
    /// Tries beside the first one, by route.
    pub retries: IntCounterVec,
    /// Octets of bodies, by route and direction.
    pub octets: IntCounterVec,
    /// Requests that an endpoint has not answered yet.
    pub in_flight: IntGaugeVec,
    /// Time from sending a request to its reply's head, by endpoint.
    pub upstream: HistogramVec,
    /// Connections to endpoints, by what came of them.
    pub upstream_connections: IntCounterVec,
}

/// Labels of an endpoint.
const ENDPOINT: [&str; 3] = ["pool", "region", "endpoint"];

impl ProxyMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let times = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(REQUEST_SECONDS.to_vec());
            HistogramVec::new(options, labels)
        };
        let metrics = Self {
            connections: IntGauge::new(
                "meridian_proxy_connections",
                "Connections of clients that are open.",
            )?,
            closed: counters(
                "meridian_proxy_connections_closed_total",
                "Connections of clients that this side closed or did not take.",
                &["reason"],
            )?,
            requests: counters(
                "meridian_proxy_requests_total",
                "Requests by route and class of status.",
                &["route", "status"],
            )?,
            duration: times(
                "meridian_proxy_request_duration_seconds",
                "Time from a request's head to the end of its reply.",
                &["route"],
            )?,
            failures: counters(
                "meridian_proxy_failures_total",
                "Requests that the proxy answered itself, by cause.",
                &["route", "cause"],
            )?,
            retries: counters(
                "meridian_proxy_retries_total",
                "Tries of requests beside the first one.",
                &["route"],
            )?,
            octets: counters(
                "meridian_proxy_body_bytes_total",
                "Octets of bodies passed on.",
                &["route", "direction"],
            )?,
            in_flight: IntGaugeVec::new(
                Opts::new(
                    "meridian_proxy_requests_in_flight",
                    "Requests that an endpoint has not answered to the end yet.",
                ),
                &ENDPOINT,
            )?,
            upstream: times(
                "meridian_proxy_upstream_duration_seconds",
                "Time from sending a request to the head of its reply.",
                &ENDPOINT,
            )?,
            upstream_connections: counters(
                "meridian_proxy_upstream_connections_total",
                "Connections to endpoints, by what came of them.",
                &["pool", "region", "endpoint", "result"],
            )?,
        };
        for reason in ["full", "client_full", "header_timeout", "idle", "stalled", "drain"] {
            metrics.closed.with_label_values(&[reason]);
        }
        Ok(metrics)
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.connections.clone()))?;
        registry.register(Box::new(self.closed.clone()))?;
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.failures.clone()))?;
        registry.register(Box::new(self.retries.clone()))?;
        registry.register(Box::new(self.octets.clone()))?;
        registry.register(Box::new(self.in_flight.clone()))?;
        registry.register(Box::new(self.upstream.clone()))?;
        registry.register(Box::new(self.upstream_connections.clone()))
    }
}
