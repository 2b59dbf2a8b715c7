//! What endpoints are doing for all threads of this node together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::balance::PeakEwma;
use super::queue::Queue;
use crate::clock::Tick;
use crate::health::{CauseKind, EndpointIdentity, Subject};
use crate::load::Totals;
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
    /// Requests that came while it was drained.
    pub(super) drained: IntCounter,
    /// Requests that wait for it or another endpoint of its pool and region.
    pub(super) queue: Arc<Queue>,
    /// Locked for a few instructions, and only by routes that choose by it.
    latency: Mutex<PeakEwma>,
    faults: Faults,
    /// What votes on its requests are about.
    subject: Subject,
    address: String,
}

/// What an endpoint has done wrong since the start.
#[derive(Debug, Default)]
struct Faults {
    /// Requests without a reply.
    unanswered: AtomicU64,
    /// Replies that count as errors.
    bad: AtomicU64,
    /// The place of the last one's sort among all sorts.
    last: AtomicU8,
}

/// What an endpoint has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Requests that it replied to, or should have.
    pub(super) requests: u64,
    /// Those that failed.
    pub(super) failed: u64,
    /// The sort of the last failure.
    pub(super) last: Option<CauseKind>,
}

impl EndpointLoad {
    fn new(metrics: &ProxyMetrics, identity: &EndpointIdentity, queue: Arc<Queue>) -> Self {
        let address = identity.address.to_string();
        let labels = [identity.pool.as_str(), &identity.region, &address];
        for outcome in ["ok", "failed", "unknown"] {
            metrics.protection.observations.with_label_values(&[labels[0], outcome]);
        }
        let connections = |result| {
            let [pool, region, endpoint] = labels;
            metrics.upstream.connections.with_label_values(&[pool, region, endpoint, result])
        };
        Self {
            in_flight: metrics.upstream.in_flight.with_label_values(&labels),
            took: metrics.upstream.duration.with_label_values(&labels),
            connected: connections("made"),
            unconnected: connections("failed"),
            drained: metrics.protection.drained.with_label_values(&labels),
            queue,
            latency: Mutex::default(),
            faults: Faults::default(),
            subject: Subject::of_traffic(identity),
            address,
        }
    }

    /// Its address, for people.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// What votes on its requests are about.
    pub(super) fn subject(&self) -> Subject {
        self.subject
    }

    /// A request got a reply that counts as an error, or none.
    pub(super) fn failed(&self, kind: CauseKind, answered: bool) {
        let Faults { unanswered, bad, last } = &self.faults;
        let count = if answered { bad } else { unanswered };
        count.fetch_add(1, Ordering::Relaxed);
        let place = CauseKind::ALL.iter().position(|other| *other == kind);
        last.store(place.unwrap_or_default() as u8, Ordering::Relaxed);
    }

    /// What it has done so far.
    pub(super) fn tally(&self) -> Tally {
        let Faults { unanswered, bad, last } = &self.faults;
        let unanswered = unanswered.load(Ordering::Relaxed);
        let failed = unanswered + bad.load(Ordering::Relaxed);
        let last = CauseKind::ALL.get(usize::from(last.load(Ordering::Relaxed))).copied();
        // Replies are counted anyway, so that good ones cost nothing here.
        let requests = self.took.get_sample_count() + unanswered;
        Tally { requests, failed, last: last.filter(|_| failed > 0) }
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
        self.0.queue.freed();
    }
}

/// The endpoints by what names them over reloads. As many as were ever configured since the start
/// or are in use: those that nobody holds any more go when others come.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// Locked when a thread follows a new snapshot, never for a request.
    all: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    loads: HashMap<EndpointIdentity, Arc<EndpointLoad>>,
    /// By pool and region.
    queues: HashMap<[String; 2], Arc<Queue>>,
}

impl Loads {
    /// The load of an endpoint.
    pub(super) fn of(
        &self,
        identity: EndpointIdentity,
        metrics: &ProxyMetrics,
    ) -> Arc<EndpointLoad> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = all.loads.get(&identity) {
            return load.clone();
        }
        let labels = [identity.pool.as_str(), &identity.region];
        let waiting = || metrics.protection.waiting.with_label_values(&labels);
        let queue = all.queues.entry(labels.map(str::to_owned));
        let queue = queue.or_insert_with(|| Arc::new(Queue::new(waiting()))).clone();
        let load = Arc::new(EndpointLoad::new(metrics, &identity, queue));
        all.loads.insert(identity, load.clone());
        load
    }

    /// All of them with the names of their pools.
    pub(super) fn all(&self) -> Vec<(String, Arc<EndpointLoad>)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let loads = all.loads.iter();
        loads.map(|(identity, load)| (identity.pool.clone(), load.clone())).collect()
    }

    /// What each pool has done in a region, and does: its totals, requests in flight and waiting.
    pub(super) fn of_region(&self, region: &str) -> HashMap<String, (Totals, u64, u64)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pools: HashMap<String, (Totals, u64, u64)> = HashMap::new();
        for (identity, load) in all.loads.iter().filter(|(other, _)| other.region == region) {
            let (totals, in_flight, _) = pools.entry(identity.pool.clone()).or_default();
            let tally = load.tally();
            totals.requests += tally.requests;
            totals.errors += tally.failed;
            *in_flight += load.in_flight.get().unsigned_abs();
        }
        for ([pool, _], queue) in all.queues.iter().filter(|([_, other], _)| other == region) {
            if let Some((_, _, waiting)) = pools.get_mut(pool) {
                *waiting = u64::from(queue.length());
            }
        }
        pools
    }

    /// Forgets the endpoints that no thread holds, and their metrics.
    pub(super) fn sweep(&self, metrics: &ProxyMetrics) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.loads.retain(|identity, load| {
            let held = Arc::strong_count(load) > 1;
            if !held {
                let address = identity.address.to_string();
                let labels = [identity.pool.as_str(), &identity.region, &address];
                // The error is that it is gone already.
                let _ = metrics.upstream.in_flight.remove_label_values(&labels);
                let _ = metrics.upstream.duration.remove_label_values(&labels);
                let _ = metrics.protection.drained.remove_label_values(&labels);
                let [pool, region, endpoint] = labels;
                for result in ["made", "failed"] {
                    let labels = [pool, region, endpoint, result];
                    let _ = metrics.upstream.connections.remove_label_values(&labels);
                }
            }
            held
        });
        all.queues.retain(|labels, queue| {
            let held = Arc::strong_count(queue) > 1;
            if !held {
                let _ = metrics.protection.waiting.remove_label_values(labels);
            }
            held
        });
    }
}
