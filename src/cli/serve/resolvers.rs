//! The task that probes resolvers in the place of their clients, where that is configured.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::latency::Measurement;
use crate::clock;
use crate::health::{CauseKind, Outcome};
use crate::metrics::Metrics;
use crate::model::{Guard, Resolvers};
use crate::probe::{Rounds, sound};
use crate::proxy::RoundTrip;
use crate::snapshot::Snapshot;

/// Probes under way at a time; a turn beyond that is left out.
const IN_FLIGHT_MAX: usize = 1_024;
/// Longest rest, after which it is looked whether others are configured.
const REST_MAX: Duration = Duration::from_secs(1);
/// What may come of a probe, for metrics.
const RESULTS: [&str; 5] = ["answered", "late", "denied", "failed", "skipped"];

/// Probes what the configuration of the moment lists, until `stop`.
pub(super) async fn sound_resolvers(
    snapshot: Arc<ArcSwap<Snapshot>>,
    measured: mpsc::Sender<Measurement>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    for result in RESULTS {
        metrics.latency.resolver_probes.with_label_values(&[result]);
    }
    let mut rounds = Rounds::new(fastrand::u64(..));
    let mut under_way = JoinSet::new();
    loop {
        while let Some(ended) = under_way.try_join_next() {
            debug_assert!(ended.is_ok(), "a probe fails without panic");
        }
        let rules = rules(&snapshot);
        let turn = rules.as_ref().and_then(|(resolvers, _)| rounds.turn(resolvers, clock::now()));
        if let (Some((resolvers, guard)), Some(at)) = (rules, turn) {
            if under_way.len() < IN_FLIGHT_MAX {
                let (measured, metrics) = (measured.clone(), metrics.clone());
                under_way.spawn(probe(resolvers, at, guard, measured, metrics));
            } else {
                metrics.latency.resolver_probes.with_label_values(&["skipped"]).inc();
            }
            continue;
        }
        let rest = rounds.rest(clock::now()).map_or(REST_MAX, |rest| rest.min(REST_MAX));
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(rest) => {}
        }
    }
}

/// What is probed at the moment, and where probes may go; `None`: nothing, or nobody would learn.
fn rules(snapshot: &ArcSwap<Snapshot>) -> Option<(Arc<Resolvers>, Guard)> {
    let state = snapshot.load().state.clone()?;
    let model = &state.loaded.model;
    let latency = &model.fleet.latency;
    let resolvers = latency.resolvers.clone().filter(|_| latency.learn)?;
    Some((resolvers, Guard::new(model.node.probe.as_ref()?)))
}

/// Probes one resolver, for all of its clients.
async fn probe(
    resolvers: Arc<Resolvers>,
    at: usize,
    guard: Guard,
    measured: mpsc::Sender<Measurement>,
    metrics: Arc<Metrics>,
) {
    let Some(resolver) = resolvers.list.get(at) else { return };
    let found = sound(&resolvers, resolver.address, &guard, fastrand::u16(..)).await;
    let result = match &found {
        Ok(_) => "answered",
        Err(Outcome::Failure { kind: CauseKind::Denied, .. }) => "denied",
        Err(Outcome::Failure { kind: CauseKind::Timeout, .. }) => "late",
        Err(_) => "failed",
    };
    metrics.latency.resolver_probes.with_label_values(&[result]).inc();
    match found {
        Ok(time) => {
            let trip = |client: &_| RoundTrip { client: *client, trip: time.into() };
            let trips = resolver.clients.iter().map(trip).collect();
            // Who keeps the map may be busy; the resolver has its turn again.
            let _ = measured.try_send(Measurement::Clients(trips));
        }
        Err(why) => debug!(resolver = %resolver.address, ?why, "a resolver is not measured"),
    }
}
