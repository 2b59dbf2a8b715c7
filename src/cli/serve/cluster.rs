//! Wires the sharing of verdicts between this node and its peers.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::Board;
use crate::clock;
use crate::cluster::{Identity, Mesh, Opened, Pace, Share, next_epoch, open};
use crate::health::{LocalVotes, PeerEvent, Prober};
use crate::metrics::Metrics;
use crate::model::{Cluster, Model};

/// Subjects begin with this where no bus has a prefix of its own.
const PREFIX: &str = "meridian";

/// The tasks of a role by name.
type Named = Vec<(&'static str, JoinHandle<()>)>;

/// Starts to share `votes`, and to tell `peers` of those of others; gives where overrides are
/// shared, where they are, and the tasks.
pub(super) fn share(
    model: &Model,
    votes: watch::Receiver<Arc<LocalVotes>>,
    peers: mpsc::Sender<PeerEvent>,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> (Option<Board>, Named) {
    let node = &model.node;
    let region = model.fleet.region(node.region).name.clone();
    let me = Prober { region, node: node.name.clone() };
    // Only who probes has anything to say.
    let started = clock::unix_time().as_millis() as u64;
    let epoch = node.probe.as_ref().map(|_| next_epoch(&node.state, started));
    let prefix = match &node.cluster {
        Cluster::Embedded => PREFIX.to_owned(),
        Cluster::Nats(nats) => nats.prefix.clone(),
    };
    let identity = Identity { me, epoch, prefix };
    let mesh = Mesh::new(identity, Pace::default(), clock::now(), fastrand::Rng::new());
    let filters = mesh.listened().to_vec();
    let Opened { engine, control, mut tasks } =
        open(&node.cluster, &node.name, filters, &node.state, metrics, stop);
    let share = Share { mesh, engine, votes, peers, metrics: metrics.clone() };
    tasks.push(("sharing of verdicts", tokio::spawn(share.run(stop.child_token()))));
    // Alone there is nobody to share overrides with, and they have a file of their own.
    let board = (node.cluster != Cluster::Embedded).then(|| Board::new(control));
    (board, tasks)
}
