//! The tasks behind the answers: the judge of health and what feeds it.

use std::collections::BTreeSet;
use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::cluster::share;
use super::judge::{Inbox, Judge, Outbox, Reload};
use super::latency::{Around, MEASUREMENTS_MAX, Mapper};
use super::probes::Probes;
use super::resolvers::sound_resolvers;
use super::serials::Serials;
use super::state::Saver;
use crate::acme;
use crate::admin::{Events, Happening, Keeper, tell_webhook, watch_ages};
use crate::cluster::Attendant;
use crate::dns::transfer::{Assignment, Notifier, Surroundings, keep_fresh};
use crate::metrics::Metrics;
use crate::model::{Cluster, Model, Node, Webhook};
use crate::probe::Feeds;
use crate::proxy::Witness;
use crate::snapshot::{FetchedZone, Publisher, Snapshot};

/// Probe results waiting for the judge. A full queue slows the probes down; nothing piles up.
const RESULTS_MAX: usize = 1024;
/// Fetched zones waiting for the judge; more wait with their keepers.
const FETCHED_MAX: usize = 4;

/// What outlasts a reload, and mostly a restart: all but reports is in the state folder.
pub(super) struct Kept {
    /// Health.
    pub(super) saver: Saver,
    /// Serials of transferred zones.
    pub(super) serials: Serials,
    /// What operators have decided.
    pub(super) overrides: Keeper,
    /// What others report; kept in memory alone.
    pub(super) feeds: Arc<Feeds>,
    /// What the proxy sees.
    pub(super) witness: Arc<Witness>,
    /// What happens, and where to tell who else is there; kept in memory alone.
    pub(super) told: (Arc<Events>, watch::Sender<Vec<Attendant>>),
    /// Round trips.
    pub(super) mapper: Mapper,
}

/// Peers' events waiting for the judge; more wait with the sharing of verdicts.
const PEER_EVENTS_MAX: usize = 1024;

/// What peers get to hear of a challenge before its authority looks: they are told every second.
const SPREAD: Duration = Duration::from_secs(3);

/// A task's name and how it ended.
type Ended = (&'static str, Result<(), JoinError>);

/// The running tasks.
pub(super) struct Tasks {
    all: JoinSet<Ended>,
    judged: watch::Receiver<bool>,
    advanced: Arc<Notify>,
    /// What the keepers of fetched zones need, until they begin.
    fetching: Option<(mpsc::Sender<FetchedZone>, watch::Receiver<Vec<Assignment>>)>,
}

impl Tasks {
    /// Starts them; they end with `stop`.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub(super) fn start(
        publisher: Publisher,
        kept: Kept,
        metrics: &Arc<Metrics>,
        reloads: mpsc::Receiver<Reload>,
        model: &Model,
        stop: &CancellationToken,
    ) -> Result<Self, String> {
        let Kept { saver, serials, overrides: keeper, feeds, witness, told, mapper } = kept;
        let (events, attendants) = told;
        let snapshot = publisher.shared();
        let shared = (publisher.loads().clone(), publisher.issuance().clone());
        let (overriding, overrides) = mpsc::channel(1);
        let (results_in, results) = mpsc::channel(RESULTS_MAX);
        let (targets, targets_out) = watch::channel(Arc::default());
        let (names, names_out) = watch::channel(BTreeSet::new());
        let (judged, judged_out) = watch::channel(false);
        let advanced = Arc::new(Notify::new());
        let (assignments, assigned) = watch::channel(Vec::new());
        let (fetched_in, fetched) = mpsc::channel(FETCHED_MAX);
        let (peers_in, peers) = mpsc::channel(PEER_EVENTS_MAX);
        let (votes, votes_out) = watch::channel(Arc::default());
        let (measured, measurements) = mpsc::channel(MEASUREMENTS_MAX);
        let (replacing, replacements) = mpsc::channel(1);
        let sounded = measured.clone();
        let told = events.clone();
        let outbox = Outbox {
            targets,
            names,
            assignments,
            votes,
            measured,
            advanced: advanced.clone(),
            judged,
            events,
        };
        let judge = Judge::new(publisher, saver, serials, metrics.clone(), outbox);
        let (hosts, mut probes) = Probes::resolve(names_out, &model.node.resolvers, stop);
        if model.node.probe.is_some() {
            probes.probe(targets_out, results_in, (hosts.clone(), feeds), stop)?;
        }
        let proxied = model.node.proxy.is_some().then_some(witness);
        let inbox =
            Inbox { results, proxied, peers, hosts, fetched, reloads, overrides, replacements };
        let judge = tokio::spawn(judge.run(inbox, stop.child_token()));
        let seen = snapshot.clone();
        let (board, telling, sharing) =
            share(model, votes_out, shared, (peers_in, attendants), seen, (&told, metrics), stop);
        let around = Around { measurements, telling, snapshot: snapshot.clone(), replacing };
        let mapper = tokio::spawn(mapper.run(around, stop.child_token()));
        let resolvers =
            sound_resolvers(snapshot.clone(), sounded, metrics.clone(), stop.child_token());
        let resolvers = tokio::spawn(resolvers);
        let keeper = keeper.sharing(board).run(snapshot, overriding, stop.child_token());
        let keeper = tokio::spawn(keeper);
        let own = [
            ("judge of health", judge),
            ("keeper of overrides", keeper),
            ("keeper of round trips", mapper),
            ("probes of resolvers", resolvers),
        ];
        let mut all = JoinSet::new();
        for (name, task) in own.into_iter().chain(probes.into_tasks()).chain(sharing) {
            all.spawn(async move { (name, task.await) });
        }
        let fetching = Some((fetched_in, assigned));
        Ok(Self { all, judged: judged_out, advanced, fetching })
    }

    /// Begins to keep the zones fresh that have a primary.
    pub(super) fn keep_fresh(
        &mut self,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        metrics: &Arc<Metrics>,
        listen: Vec<SocketAddr>,
        stop: &CancellationToken,
    ) {
        let Some((fetched, assigned)) = self.fetching.take() else { return };
        let (snapshot, metrics) = (snapshot.clone(), metrics.clone());
        let surroundings = Surroundings { snapshot, metrics, fetched, listen };
        let task = tokio::spawn(keep_fresh(surroundings, assigned, stop.child_token()));
        self.all.spawn(async move { ("keeper of fetched zones", task.await) });
    }

    /// Begins to tell webhooks of what happens, and of what grows old.
    pub(super) fn tell(
        &mut self,
        webhooks: &[Webhook],
        snapshot: &Arc<ArcSwap<Snapshot>>,
        (events, metrics): (&Arc<Events>, &Arc<Metrics>),
        stop: &CancellationToken,
    ) {
        let ages = watch_ages(snapshot.clone(), events.clone(), stop.child_token());
        let ages = tokio::spawn(ages);
        self.all.spawn(async move { ("watch over ages", ages.await) });
        for webhook in webhooks {
            let (events, metrics) = (events.clone(), metrics.clone());
            let task = tell_webhook(webhook.clone(), events, metrics, stop.child_token());
            let task = tokio::spawn(task);
            self.all.spawn(async move { ("teller of a webhook", task.await) });
        }
    }

    /// Begins to order certificates where the files say so, once challenges will be answered.
    pub(super) fn order_certificates(
        &mut self,
        node: &Node,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        (metrics, events): (&Arc<Metrics>, &Arc<Events>),
        stop: &CancellationToken,
    ) {
        if node.proxy.is_none() {
            return;
        }
        let issuance = snapshot.load().issuance.clone();
        let read = snapshot.clone();
        let wanted = move || {
            let snapshot = read.load();
            let node = &snapshot.state.as_ref()?.loaded.model.node;
            node.proxy.as_ref()?.acme.clone()
        };
        let alone = node.cluster == Cluster::Embedded;
        let events = events.clone();
        let around = acme::Surroundings {
            wanted: Box::new(wanted),
            state: node.state.clone(),
            issuance,
            metrics: metrics.clone(),
            spread: if alone { Duration::ZERO } else { SPREAD },
            failed: Box::new(move |stage| events.tell(unissued(stage))),
        };
        let task = tokio::spawn(acme::keep(around, stop.child_token()));
        self.all.spawn(async move { ("keeper of certificates", task.await) });
    }

    /// Begins to tell secondaries of changes, once they will be answered.
    pub(super) fn notify(&mut self, notifier: Notifier, stop: &CancellationToken) {
        let run = notifier.run(self.advanced.clone(), stop.child_token());
        let task = tokio::spawn(run);
        self.all.spawn(async move { ("notifier of secondaries", task.await) });
    }

    /// Waits until every target has been probed once.
    pub(super) async fn judged(&mut self) {
        // The error is that the judge is gone, which `ended` tells.
        let _ = self.judged.wait_for(|judged| *judged).await;
    }

    /// Waits until a task ends, which none should before it is told to, and gives its name.
    pub(super) async fn ended(&mut self) -> &'static str {
        match self.all.join_next().await {
            Some(Ok((name, result))) => {
                let why = result.err().map_or_else(|| "it returned".to_owned(), |e| e.to_string());
                error!(task = name, %why, "a task has ended; what was published last is served");
                name
            }
            // Tasks that only wait for others do not fail.
            Some(Err(_)) | None => future::pending().await,
        }
    }

    /// Waits for all of them to end.
    pub(super) async fn join(mut self) {
        while let Some(ended) = self.all.join_next().await {
            if let Ok((task, Err(error))) = ended {
                error!(task, %error, "a task ended badly");
            }
        }
    }
}

/// What is told of an order that has failed.
fn unissued(stage: &acme::Stage) -> Happening {
    Happening::CertificateFailed {
        names: stage.names.clone(),
        outcome: stage.last.map_or_else(String::new, |outcome| outcome.as_str().to_owned()),
        error: stage.error.clone(),
        failures: stage.failures,
        ends: stage.ends,
        next: stage.next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_is_named_once() {
        let mut all: JoinSet<Ended> = JoinSet::new();
        let faulty = tokio::spawn(async { panic!("a fault") });
        all.spawn(async move { ("faulty", faulty.await) });
        all.spawn(async { ("lasting", future::pending().await) });
        let (judged, advanced, fetching) = (watch::channel(false).1, Arc::default(), None);
        let mut tasks = Tasks { all, judged, advanced, fetching };
        assert_eq!(tasks.ended().await, "faulty");
        let patience = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, tasks.ended()).await.is_err());
        // The sender is gone, and nobody waits for it.
        tasks.judged().await;
    }
}
