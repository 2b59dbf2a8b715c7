//! What the proxy counts.

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{Http3Metrics, ProtectionMetrics, counters, gauges, times};

/// Upper bounds of the buckets of request durations, in seconds: from a cache to a long poll.
const REQUEST_SECONDS: [f64; 11] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What the proxy counts.
#[derive(Debug)]
pub struct ProxyMetrics {
    /// Connections of clients.
    pub connections: IntGauge,
    /// Those of them that wait for a request and keep no buffers.
    pub resting: IntGauge,
    /// Connections of clients by thread.
    pub held: IntGaugeVec,
    /// Connections that a thread handed to another one.
    pub handed: IntCounter,
    /// Connections of clients that began to speak HTTP, by protocol.
    pub opened: IntCounterVec,
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
    /// Entries of the access log, by what became of them.
    pub access_log: IntCounterVec,
    /// Spans of requests and tries, by what became of them.
    pub spans: IntCounterVec,
    /// Replies that were compressed, by route and encoding.
    pub compressed: IntCounterVec,
    /// What endpoints do.
    pub upstream: UpstreamMetrics,
    /// What HTTP/3 adds.
    pub http3: Http3Metrics,
    /// What caches of routes do.
    pub cache: CacheMetrics,
    /// What relays pass on.
    pub relays: RelayMetrics,
    /// What upgraded connections do.
    pub tunnels: TunnelMetrics,
    /// What keeps the proxy and its endpoints alive.
    pub protection: ProtectionMetrics,
}

/// Why connections of clients are closed or not taken.
const CLOSED: [&str; 8] =
    ["full", "client_full", "header_timeout", "idle", "stalled", "drain", "proxy_header", "flood"];
/// Labels of an endpoint.
const ENDPOINT: [&str; 3] = ["pool", "region", "endpoint"];

impl ProxyMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            connections: IntGauge::new(
                "meridian_proxy_connections",
                "Connections of clients that are open.",
            )?,
            resting: resting()?,
            held: held()?,
            handed: handed()?,
            opened: counters(
                "meridian_proxy_connections_opened_total",
                "Connections of clients that began to speak HTTP, by protocol.",
                &["protocol"],
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
                &REQUEST_SECONDS,
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
            access_log: counters(
                "meridian_proxy_access_log_entries_total",
                "Requests by what became of their entry in the access log.",
                &["result"],
            )?,
            spans: counters(
                "meridian_proxy_spans_total",
                "Spans of requests and tries by what became of them.",
                &["result"],
            )?,
            compressed: counters(
                "meridian_proxy_compressed_total",
                "Replies whose body was compressed.",
                &["route", "encoding"],
            )?,
            upstream: UpstreamMetrics::new()?,
            http3: Http3Metrics::new()?,
            cache: CacheMetrics::new()?,
            relays: RelayMetrics::new()?,
            tunnels: TunnelMetrics::new()?,
            protection: ProtectionMetrics::new()?,
        };
        metrics.count_from_zero();
        Ok(metrics)
    }

    /// Makes the samples whose labels are known from the start.
    fn count_from_zero(&self) {
        for reason in CLOSED {
            self.closed.with_label_values(&[reason]);
        }
        for protocol in ["http1", "http2", "http3"] {
            self.opened.with_label_values(&[protocol]);
        }
        for result in ["sent", "dropped"] {
            self.spans.with_label_values(&[result]);
        }
        for result in ["written", "dropped"] {
            self.access_log.with_label_values(&[result]);
        }
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.connections.clone()))?;
        registry.register(Box::new(self.resting.clone()))?;
        registry.register(Box::new(self.held.clone()))?;
        registry.register(Box::new(self.handed.clone()))?;
        registry.register(Box::new(self.opened.clone()))?;
        registry.register(Box::new(self.closed.clone()))?;
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.failures.clone()))?;
        registry.register(Box::new(self.retries.clone()))?;
        registry.register(Box::new(self.octets.clone()))?;
        registry.register(Box::new(self.access_log.clone()))?;
        registry.register(Box::new(self.spans.clone()))?;
        registry.register(Box::new(self.compressed.clone()))?;
        self.upstream.register(registry)?;
        self.http3.register(registry)?;
        self.cache.register(registry)?;
        self.relays.register(registry)?;
        self.tunnels.register(registry)?;
        self.protection.register(registry)
    }
}

fn resting() -> Result<IntGauge, prometheus::Error> {
    IntGauge::new(
        "meridian_proxy_connections_resting",
        "Connections of clients that wait for a request and keep no buffers.",
    )
}

fn handed() -> Result<IntCounter, prometheus::Error> {
    IntCounter::new(
        "meridian_proxy_connections_handed_total",
        "Connections of clients that a thread with many handed to one with few.",
    )
}

/// Connections of clients by thread.
fn held() -> Result<IntGaugeVec, prometheus::Error> {
    let name = "meridian_proxy_thread_connections";
    gauges(name, "Connections of clients by thread.", &["thread"])
}

/// What caches of routes do.
#[derive(Debug)]
pub struct CacheMetrics {
    /// Requests of routes that keep replies, by route and the way their reply came.
    pub requests: IntCounterVec,
    /// What is kept, by route.
    pub entries: IntGaugeVec,
    /// Octets of it.
    pub octets: IntGaugeVec,
}

impl CacheMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: counters(
                "meridian_proxy_cache_requests_total",
                "Requests of routes with a cache, by the way their reply came.",
                &["route", "result"],
            )?,
            entries: gauges(
                "meridian_proxy_cache_entries",
                "Targets that replies are kept of.",
                &["route"],
            )?,
            octets: gauges(
                "meridian_proxy_cache_bytes",
                "Octets that kept replies take.",
                &["route"],
            )?,
        })
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.entries.clone()))?;
        registry.register(Box::new(self.octets.clone()))
    }
}

/// What relays pass on.
#[derive(Debug)]
pub struct RelayMetrics {
    /// Connections that were passed through, by relay and how they ended.
    pub connections: IntCounterVec,
    /// Clients of relays of UDP.
    pub flows: IntGaugeVec,
    /// Datagrams, by relay and what became of them.
    pub datagrams: IntCounterVec,
}

impl RelayMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            connections: counters(
                "meridian_proxy_relayed_connections_total",
                "Connections that were passed through, by how they ended.",
                &["route", "end"],
            )?,
            flows: gauges(
                "meridian_proxy_flows",
                "Clients of UDP that are remembered.",
                &["route"],
            )?,
            datagrams: counters(
                "meridian_proxy_datagrams_total",
                "Datagrams of relays, by what became of them.",
                &["route", "result"],
            )?,
        })
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.connections.clone()))?;
        registry.register(Box::new(self.flows.clone()))?;
        registry.register(Box::new(self.datagrams.clone()))
    }
}

/// What upgraded connections do.
#[derive(Debug)]
pub struct TunnelMetrics {
    /// Tunnels that are open, by route.
    pub open: IntGaugeVec,
    /// Tunnels that ended, by route and cause.
    pub ended: IntCounterVec,
    /// Octets through tunnels, by route and direction.
    pub octets: IntCounterVec,
}

impl TunnelMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            open: gauges(
                "meridian_proxy_tunnels",
                "WebSockets and other upgrades that are open.",
                &["route"],
            )?,
            ended: counters(
                "meridian_proxy_tunnels_ended_total",
                "WebSockets and other upgrades that ended, by cause.",
                &["route", "cause"],
            )?,
            octets: counters(
                "meridian_proxy_tunnel_bytes_total",
                "Octets through WebSockets and other upgrades.",
                &["route", "direction"],
            )?,
        })
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.open.clone()))?;
        registry.register(Box::new(self.ended.clone()))?;
        registry.register(Box::new(self.octets.clone()))
    }
}

/// What endpoints do.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// Requests that an endpoint has not answered yet.
    pub in_flight: IntGaugeVec,
    /// Time from sending a request to its reply's head, by endpoint.
    pub duration: HistogramVec,
    /// Connections to endpoints, by what came of them.
    pub connections: IntCounterVec,
}

impl UpstreamMetrics {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            in_flight: gauges(
                "meridian_proxy_requests_in_flight",
                "Requests that an endpoint has not answered to the end yet.",
                &ENDPOINT,
            )?,
            duration: times(
                "meridian_proxy_upstream_duration_seconds",
                "Time from sending a request to the head of its reply.",
                &ENDPOINT,
                &REQUEST_SECONDS,
            )?,
            connections: counters(
                "meridian_proxy_upstream_connections_total",
                "Connections to endpoints, by what came of them.",
                &["pool", "region", "endpoint", "result"],
            )?,
        })
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.in_flight.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.connections.clone()))
    }
}
