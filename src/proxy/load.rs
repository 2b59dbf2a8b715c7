//! What endpoints are doing for all threads of this node together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::balance::PeakEwma;
use crate::clock::Tick;
use crate::health::EndpointIdentity;
use crate::metrics::ProxyMetrics;

/// One endpoint's requests, over all routes and threads.
#[derive(Debug)]
pub(super) struct EndpointLoad {
    /// Requests that are not answered to the end.
    pub(super) in_flight: IntGauge,
    /// Time to the head of a reply.
    pub(super) took: Histogram,
    /// Connections that were made.
    pub(super) connected: IntCounter,
    /// Connections that could not be made.
    pub(super) unconnected: IntCounter,
    /// Locked for a few instructions, and only by routes that choose by it.
    latency: Mutex<PeakEwma>,
}

impl EndpointLoad {
    fn new(metrics: &ProxyMetrics, identity: &EndpointIdentity) -> Self {
        let address = identity.address.to_string();
        let labels = [identity.pool.as_str(), &identity.region, &address];
        let connections = |result| {
            let [pool, region, endpoint] = labels;
            metrics.upstream_connections.with_label_values(&[pool, region, endpoint, result])
        };
        Self {
            in_flight: metrics.in_flight.with_label_values(&labels),
            took: metrics.upstream.with_label_values(&labels),
            connected: connections("made"),
            unconnected: connections("failed"),
            latency: Mutex::default(),
        }
    }

    /// Takes in how long it took to the head of a reply.
    pub(super) fn observe(&self, latency: Duration, now: Tick) {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).observe(latency, now);
    }

    /// The response time in milliseconds; 0: not known.
    pub(super) fn latency_ms(&self, now: Tick) -> f32 {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).read(now)
    }
}

/// A request that an endpoint has not answered to the end; over when it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<EndpointLoad>);

impl InFlight {
    pub(super) fn new(load: Arc<EndpointLoad>) -> Self {
        load.in_flight.inc();
        Self(load)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// The endpoints by what names them over reloads. As many as were ever configured since the start
/// or are in use: those that nobody holds any more go when others come.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// Locked when a thread follows a new snapshot, never for a request.
    all: Mutex<HashMap<EndpointIdentity, Arc<EndpointLoad>>>,
}

impl Loads {
    /// The load of an endpoint.
    pub(super) fn of(
        &self,
        identity: EndpointIdentity,
        metrics: &ProxyMetrics,
    ) -> Arc<EndpointLoad> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = all.get(&identity) {
            return load.clone();
        }
        let load = Arc::new(EndpointLoad::new(metrics, &identity));
        all.insert(identity, load.clone());
        load
    }

    /// Forgets the endpoints that no thread holds, and their metrics.
    pub(super) fn sweep(&self, metrics: &ProxyMetrics) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|identity, load| {
            let held = Arc::strong_count(load) > 1;
            if !held {
                let address = identity.address.to_string();
                let labels = [identity.pool.as_str(), &identity.region, &address];
                // The error is that it is gone already.
                let _ = metrics.in_flight.remove_label_values(&labels);
                let _ = metrics.upstream.remove_label_values(&labels);
                let [pool, region, endpoint] = labels;
                for result in ["made", "failed"] {
                    let labels = [pool, region, endpoint, result];
                    let _ = metrics.upstream_connections.remove_label_values(&labels);
                }
            }
            held
        });
    }
}
