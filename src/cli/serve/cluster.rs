//! Wires the sharing of verdicts between this node and its peers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::acme::Issuance;
use crate::admin::{Board, Events, watch_drift};
use crate::clock;
use crate::cluster::{
    Attendance, Attendant, ChallengeSharing, Identity, LoadSharing, Mesh, Opened, Pace, Report,
    ReportWriter, Roles, Share, next_epoch, open,
};
use crate::health::{LocalVotes, PeerEvent, Prober};
use crate::load::Loads;
use crate::metrics::Metrics;
use crate::model::{Cluster, Model};
use crate::snapshot::Snapshot;

/// Subjects begin with this where no bus has a prefix of its own.
const PREFIX: &str = "meridian";

/// Pages of round trips that wait, in either direction.
const REPORTS_MAX: usize = 256;

/// What the keeper of round trips needs to tell others, and to hear them.
pub(super) struct Telling {
    /// `None`: this node measures nothing, or has nobody to tell.
    pub(super) writer: Option<ReportWriter>,
    /// What this node says.
    pub(super) saying: mpsc::Sender<(u32, Report)>,
    /// What others say.
    pub(super) reported: mpsc::Receiver<Report>,
}

/// The tasks of a role by name.
type Named = Vec<(&'static str, JoinHandle<()>)>;

/// Starts to share `votes` and round trips, and to tell of those of others and of who else is
/// there; gives where overrides are shared, where they are, the other ends of the round trips, and
/// the tasks.
pub(super) fn share(
    model: &Model,
    votes: watch::Receiver<Arc<LocalVotes>>,
    (loads, issuance): (Arc<Loads>, Arc<Issuance>),
    (peers, attendants): (mpsc::Sender<PeerEvent>, watch::Sender<Vec<Attendant>>),
    snapshot: Arc<ArcSwap<Snapshot>>,
    (events, metrics): (&Arc<Events>, &Arc<Metrics>),
    stop: &CancellationToken,
) -> (Option<Board>, Telling, Named) {
    let node = &model.node;
    let region = model.fleet.region(node.region).name.clone();
    let me = Prober { region, node: node.name.clone() };
    // Only who probes has a vote, and only who probes or proxies measures anything.
    let started = clock::unix_ms();
    let measures = node.probe.is_some() || node.proxy.is_some();
    let start = measures.then(|| next_epoch(&node.state, started));
    let epoch = start.filter(|_| node.probe.is_some());
    let shared = node.cluster != Cluster::Embedded;
    let writer = start.filter(|_| shared).map(|epoch| ReportWriter::new(me.clone(), epoch));
    let prefix = match &node.cluster {
        Cluster::Embedded => PREFIX.to_owned(),
        Cluster::Nats(nats) => nats.prefix.clone(),
    };
    let proxies = node.proxy.is_some().then_some(started);
    let load = LoadSharing::new(me.clone(), proxies, &prefix);
    let challenge = ChallengeSharing::new(me.clone(), &prefix);
    let identity = Identity { me: me.clone(), epoch, prefix: prefix.clone() };
    let mesh = Mesh::new(identity, Pace::default(), clock::now(), fastrand::Rng::new());
    let roles =
        Roles { dns: node.dns.is_some(), probe: node.probe.is_some(), proxy: node.proxy.is_some() };
    let attendance = Attendance::new(me.clone(), roles, &prefix);
    let mut filters = mesh.listened().to_vec();
    filters.extend([load.listened(), challenge.listened(), attendance.listened()]);
    let Opened { engine, control, mut tasks } =
        open(&node.cluster, &node.name, filters, &node.state, metrics, stop);
    let (telling, saying) = mpsc::channel(REPORTS_MAX);
    let (reports, reported) = mpsc::channel(REPORTS_MAX);
    let watch = watch_drift(attendants.subscribe(), events.clone(), stop.child_token());
    tasks.push(("watch over drift", tokio::spawn(watch)));
    let metrics = metrics.clone();
    let share = Share {
        me,
        mesh,
        load,
        loads,
        challenge,
        issuance,
        engine,
        votes,
        peers,
        saying,
        reports,
        attendance,
        attendants,
        snapshot,
        metrics,
    };
    let telling = Telling { writer, saying: telling, reported };
    tasks.push(("sharing of verdicts", tokio::spawn(share.run(stop.child_token()))));
    // Alone there is nobody to share overrides with, and they have a file of their own.
    let board = shared.then(|| Board::new(control));
    (board, telling, tasks)
}
