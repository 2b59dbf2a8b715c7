//! The task between engine, mesh and judge of health.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::attendance::{Attendance, Attendant};
use super::challenge::{ChallengeSharing, HELD};
use super::engine::{Engine, Signal};
use super::load::{LoadPage, LoadSharing};
use super::mesh::{Mesh, Outgoing};
use super::report::Report;
use super::wire::Dropped;
use crate::acme::{Challenge, Issuance};
use crate::clock::{self, Tick};
use crate::health::{LocalVotes, PeerEvent, Prober, Standing};
use crate::load::Loads;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;

/// Signals taken in before what is due goes out.
const BATCH_MAX: usize = 256;
/// Gauges follow at this pace.
const GAUGES_EVERY: Duration = Duration::from_secs(1);
/// Longest rest, so that gauges stay true.
const REST_MAX: Duration = Duration::from_secs(1);
/// The standings, for metrics that show zeros.
const STANDINGS: [Standing; 4] =
    [Standing::Live, Standing::Late, Standing::Dead, Standing::Impaired];

/// What a node shares with others, and what it hears of them.
pub struct Share {
    /// Who this node is.
    pub me: Prober,
    /// What it decides by.
    pub mesh: Mesh,
    /// What it says and hears of load.
    pub load: LoadSharing,
    /// Where loads are.
    pub loads: Arc<Loads>,
    /// What it says and hears of challenges.
    pub challenge: ChallengeSharing,
    /// Where challenges are.
    pub issuance: Arc<Issuance>,
    /// What carries it.
    pub engine: Engine,
    /// What this node says.
    pub votes: watch::Receiver<Arc<LocalVotes>>,
    /// Where the judge of health hears of others.
    pub peers: mpsc::Sender<PeerEvent>,
    /// Pages of round trips that this node says.
    pub saying: mpsc::Receiver<(u32, Report)>,
    /// Where the keeper of round trips hears those of others.
    pub reports: mpsc::Sender<Report>,
    /// Who else is there, and what they serve.
    pub attendance: Attendance,
    /// Where they are told of.
    pub attendants: watch::Sender<Vec<Attendant>>,
    /// What this node serves.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Share {
    /// Works until `stop`, or until nobody hears it.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut gauged = clock::now();
        let mut votes_end = false;
        self.take_votes();
        self.attend(gauged);
        loop {
            let now = clock::now();
            if !self.work(now, &stop).await {
                return;
            }
            if now.since(gauged) >= GAUGES_EVERY {
                gauged = now;
                self.attend(now);
                self.gauge(now);
                self.say_load(now);
                self.say_challenges(now);
            }
            let rest = self.mesh.next_due(now).since(now).min(REST_MAX);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(rest) => {}
                changed = self.votes.changed(), if !votes_end => match changed {
                    Ok(()) => self.take_votes(),
                    Err(_) => votes_end = true,
                },
                Some((page, report)) = self.saying.recv() => {
                    let message = self.mesh.report(page, &report);
                    // While the bus is away nobody hears it; the next refresh says it again.
                    if self.mesh.is_linked() {
                        self.send(message);
                    }
                }
                // The next turn sends as many as there is room for.
                true = has_room(&self.reports), if self.mesh.has_reports() => {}
                signal = self.engine.signal(self.mesh.has_room()) => {
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
                if let Some(taken) = self.load.take_in(&subject, &payload, now) {
                    self.hear_load(taken, now);
                    return Vec::new();
                }
                if let Some(taken) = self.challenge.take_in(&subject, &payload) {
                    self.hear_challenges(taken, now);
                    return Vec::new();
                }
                if let Some(taken) = self.attendance.take_in(&subject, &payload, now) {
                    self.count("presence", taken);
                    return Vec::new();
                }
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
            self.send(message);
        }
        // Whoever keeps the map may be busy; the rest waits in the mesh.
        for report in self.mesh.take_reports(self.reports.capacity()) {
            if self.reports.try_send(report).is_err() {
                self.metrics.cluster.dropped.with_label_values(&["overrun"]).inc();
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

    fn send(&self, message: Outgoing) {
        let (kind, octets) = (message.kind, message.payload.len() as u64);
        if self.engine.publish(message) {
            self.metrics.cluster.messages.with_label_values(&[kind, "sent"]).inc();
            self.metrics.cluster.sent_bytes.inc_by(octets);
        } else {
            self.metrics.cluster.dropped.with_label_values(&["unsent"]).inc();
        }
    }

    /// Says that this node is there and what it serves, and tells who else is.
    fn attend(&mut self, now: Tick) {
        let state = self.snapshot.load().state.clone();
        self.attendance.serve(state.map(|state| state.loaded.fingerprint.short()), now);
        if self.mesh.is_linked()
            && let Some(message) = self.attendance.due(now)
        {
            self.send(message);
        }
        let list = self.attendance.list(now);
        let drifted = list.iter().filter(|one| one.drifted).count();
        self.metrics.cluster.drifted.set(i64::try_from(drifted).unwrap_or(i64::MAX));
        self.attendants.send_if_modified(|known| {
            let news = *known != list;
            *known = list;
            news
        });
    }

    /// Counts a message of this kind that was taken in, and gives it; or why it was not.
    fn count<T>(&self, kind: &str, taken: Result<T, Dropped>) -> Option<T> {
        let cluster = &self.metrics.cluster;
        match &taken {
            Ok(_) => cluster.messages.with_label_values(&[kind, "received"]).inc(),
            Err(why) => cluster.dropped.with_label_values(&[why.as_str()]).inc(),
        }
        taken.ok()
    }

    /// Counts what was taken in and found no room.
    fn drop_full(&self, count: u64) {
        let full = self.metrics.cluster.dropped.with_label_values(&[Dropped::Full.as_str()]);
        full.inc_by(count);
    }

    /// Tells others of the load that the proxy of this node sees, when that is due.
    fn say_load(&mut self, now: Tick) {
        let own = self.loads.told_by(&self.me.region, &self.me.node, now);
        if let Some(message) = self.load.due(own, now).filter(|_| self.mesh.is_linked()) {
            self.send(message);
        }
        let overflow = std::mem::take(&mut self.load.overflow);
        self.metrics.cluster.dropped.with_label_values(&["overflow"]).inc_by(overflow);
    }

    /// Tells others what authorities ask this node for, and forgets what they have asked others.
    fn say_challenges(&self, now: Tick) {
        let challenges = &self.issuance.challenges;
        challenges.expire(now);
        let own = challenges.own();
        for message in self.challenge.said(&own) {
            if self.mesh.is_linked() {
                self.send(message);
            }
        }
    }

    /// Takes in what authorities ask another node for.
    fn hear_challenges(&self, taken: Result<(String, Vec<Challenge>), Dropped>, now: Tick) {
        let Some((peer, challenges)) = self.count("challenge", taken) else { return };
        if !self.issuance.challenges.hear(&peer, challenges, now + HELD) {
            self.drop_full(1);
        }
    }

    /// Takes in what another node says of its load.
    fn hear_load(&self, taken: Result<LoadPage, Dropped>, now: Tick) {
        let Some(page) = self.count("load", taken) else { return };
        let LoadPage { writer: Prober { region, node }, loads, .. } = page;
        let reported = loads
            .into_iter()
            .map(|(pool, sample)| self.loads.report(&pool, &region, &node, sample, now));
        self.drop_full(reported.filter(Result::is_err).count() as u64);
    }

    async fn tell(&self, events: Vec<PeerEvent>, stop: &CancellationToken) -> bool {
        for event in events {
            if let PeerEvent::Standing { prober, standing } = &event {
                let (region, node) = (&prober.region, &prober.node);
                info!(region, node, standing = standing.as_str(), "a prober's standing");
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
        for standing in STANDINGS {
            let count = self.mesh.standings(now).filter(|(_, found)| *found == standing).count();
            self.metrics
                .cluster
                .probers
                .with_label_values(&[standing.as_str()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// Waits until there is room for a page; `false`: nobody takes any.
async fn has_room(reports: &mpsc::Sender<Report>) -> bool {
    reports.reserve().await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Hub, Identity, Pace, Roles};
    use super::*;
    use crate::load::Sample;

    /// A node on a bus, and where its loads are.
    fn node(hub: &Hub, region: &str, proxies: bool) -> (Share, Arc<Loads>, Arc<Issuance>) {
        let me = Prober { region: region.into(), node: "a".into() };
        let identity = Identity { me: me.clone(), epoch: None, prefix: "gslb".into() };
        let mesh = Mesh::new(identity, Pace::default(), clock::now(), fastrand::Rng::new());
        let load = LoadSharing::new(me.clone(), proxies.then_some(5), "gslb");
        let challenge = ChallengeSharing::new(me.clone(), "gslb");
        let attendance = Attendance::new(me.clone(), Roles::default(), "gslb");
        let listened = [load.listened(), challenge.listened(), attendance.listened()];
        let filters = mesh.listened().into_iter().chain(listened);
        let engine = Engine::Embedded(hub.attach(filters));
        let loads = Arc::<Loads>::default();
        let (votes, peers) = (watch::channel(Arc::default()).1, mpsc::channel(9).0);
        let metrics = Arc::new(Metrics::new().unwrap());
        let (saying, reports) = (mpsc::channel(1).1, mpsc::channel(1).0);
        let (told, issuance) = (loads.clone(), Arc::<Issuance>::default());
        let attendants = watch::channel(Vec::new()).0;
        let snapshot = Arc::default();
        let share = Share {
            me,
            mesh,
            load,
            loads: told,
            challenge,
            issuance: issuance.clone(),
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
        (share, loads, issuance)
    }

    #[tokio::test]
    async fn load_challenges_and_presence_of_a_node_are_heard_by_the_others() {
        let hub = Hub::default();
        let (one, told, asked) = node(&hub, "eu", true);
        let (other, heard, answered) = node(&hub, "us", false);
        let file = Challenge::Http { token: "t".into(), content: "t.key".into() };
        asked.challenges.set_own(vec![file]);
        let sample = Sample { requests: 812.5, ..Sample::default() };
        for region in ["eu", "us"] {
            told.report("web", region, "a", sample, clock::now()).unwrap();
        }
        let (metrics, mut there) = (other.metrics.clone(), other.attendants.subscribe());
        let stop = CancellationToken::new();
        let tasks = [one, other].map(|share| tokio::spawn(share.run(stop.clone())));
        let wait = async {
            while heard.of("web", "eu", clock::now()).is_none()
                || answered.challenges.answers().is_none()
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
        let found = heard.of("web", "eu", clock::now()).unwrap();
        assert_eq!((found.sum, found.reporters), (sample, 1));
        assert_eq!(heard.of("web", "us", clock::now()), None, "nobody speaks for others' regions");
        let answers = answered.challenges.answers().unwrap();
        assert_eq!(answers.file("t"), Some("t.key"));
        let heard = there.wait_for(|list| !list.is_empty());
        let heard = tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap().unwrap();
        assert_eq!((heard.len(), &*heard[0].peer.region), (1, "eu"), "others alone are listed");
        drop(heard);
        let received = ["load", "received"];
        assert!(metrics.cluster.messages.with_label_values(&received).get() >= 1);
        stop.cancel();
        for task in tasks {
            task.await.unwrap();
        }
    }
}
