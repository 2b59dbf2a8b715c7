//! The task between engine, mesh and judge of health.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::engine::{Engine, Signal};
use super::mesh::Mesh;
use crate::clock::{self, Tick};
use crate::health::{LocalVotes, PeerEvent, Standing};
use crate::metrics::Metrics;

/// Signals taken in before what is due goes out.
const BATCH_MAX: usize = 256;
/// Gauges follow at this pace.
const GAUGES_EVERY: Duration = Duration::from_secs(1);
/// Longest rest, so that gauges stay true.
const REST_MAX: Duration = Duration::from_secs(1);
/// The standings, for metrics that show zeros.
const STANDINGS: [(Standing, &str); 4] = [
    (Standing::Live, "live"),
    (Standing::Late, "late"),
    (Standing::Dead, "dead"),
    (Standing::Impaired, "impaired"),
];

/// What a node shares with others, and what it hears of them.
pub struct Share {
    /// What it decides by.
    pub mesh: Mesh,
    /// What carries it.
    pub engine: Engine,
    /// What this node says.
    pub votes: watch::Receiver<Arc<LocalVotes>>,
    /// Where the judge of health hears of others.
    pub peers: mpsc::Sender<PeerEvent>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Share {
    /// Works until `stop`, or until nobody hears it.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut gauged = clock::now();
        let mut votes_end = false;
        self.take_votes();
        loop {
            let now = clock::now();
            if !self.work(now, &stop).await {
                return;
            }
            if now.since(gauged) >= GAUGES_EVERY {
                gauged = now;
                self.gauge(now);
            }
            let rest = self.mesh.next_due(now).since(now).min(REST_MAX);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(rest) => {}
                changed = self.votes.changed(), if !votes_end => match changed {
                    Ok(()) => self.take_votes(),
                    Err(_) => votes_end = true,
                },
                signal = self.engine.signal() => {
                    let Some(signal) = signal else { return };
                    let mut events = self.take_in(signal);
                    for _ in 1..BATCH_MAX {
                        let Some(signal) = self.engine.ready_signal() else { break };
                        events.extend(self.take_in(signal));
                    }
                    if !self.tell(events, &stop).await {
                        return;
                    }
                }
            }
        }
    }

    fn take_votes(&mut self) {
        let votes = self.votes.borrow_and_update().clone();
        self.mesh.local(&votes, clock::now());
    }

    fn take_in(&mut self, signal: Signal) -> Vec<PeerEvent> {
        let now = clock::now();
        match signal {
            Signal::Up => self.mesh.link(true, now),
            Signal::Down => self.mesh.link(false, now),
            Signal::Lost => {
                self.metrics.cluster.dropped.with_label_values(&["overrun"]).inc();
                self.mesh.resync(now);
            }
            Signal::Message { subject, payload } => {
                return self.mesh.receive(&subject, &payload, now);
            }
            Signal::Recalled { subject, payload } => {
                return self.mesh.recall(&subject, &payload, now);
            }
        }
        let up = self.mesh.is_linked();
        self.metrics.cluster.link.set(i64::from(up));
        Vec::new()
    }

    /// Sends and tells what is due; `false`: it is over.
    async fn work(&mut self, now: Tick, stop: &CancellationToken) -> bool {
        let cloned = self.mesh.cloned();
        let step = self.mesh.tick(now);
        for message in step.outgoing {
            let (kind, octets) = (message.kind, message.payload.len() as u64);
            if self.engine.publish(message) {
                self.metrics.cluster.messages.with_label_values(&[kind, "sent"]).inc();
                self.metrics.cluster.sent_bytes.inc_by(octets);
            } else {
                self.metrics.cluster.dropped.with_label_values(&["unsent"]).inc();
            }
        }
        let counts = self.mesh.take_counts();
        for (kind, count) in counts.received {
            self.metrics.cluster.messages.with_label_values(&[kind, "received"]).inc_by(count);
        }
        for (why, count) in counts.dropped {
            self.metrics.cluster.dropped.with_label_values(&[why.as_str()]).inc_by(count);
        }
        self.metrics.cluster.dropped.with_label_values(&["overflow"]).inc_by(counts.overflow);
        if let Some(epoch) = cloned
            && self.metrics.cluster.cloned.get() == 0
        {
            self.metrics.cluster.cloned.set(1);
            error!(
                epoch,
                "another node goes by the name of this one and started later: this one says \
                 nothing any more; give each node a name of its own, then restart"
            );
        }
        self.tell(step.events, stop).await
    }

    async fn tell(&self, events: Vec<PeerEvent>, stop: &CancellationToken) -> bool {
        for event in events {
            if let PeerEvent::Standing { prober, standing } = &event {
                let (region, node) = (&prober.region, &prober.node);
                info!(region, node, standing = word(*standing), "a prober's standing");
            }
            // A full queue slows this task down; what then overruns is lost, and asked for anew.
            tokio::select! {
                () = stop.cancelled() => return false,
                sent = self.peers.send(event) => if sent.is_err() {
                    return false;
                },
            }
        }
        true
    }

    fn gauge(&self, now: Tick) {
        for (standing, name) in STANDINGS {
            let count = self.mesh.standings(now).filter(|(_, found)| *found == standing).count();
            self.metrics
                .cluster
                .probers
                .with_label_values(&[name])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

fn word(standing: Standing) -> &'static str {
    STANDINGS.into_iter().find(|(known, _)| *known == standing).map_or("", |(_, word)| word)
}
