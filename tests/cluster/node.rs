//! A node on an engine, as the tests drive it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meridian::clock;
use meridian::cluster::{
    Attendance, Bus, ChallengeSharing, Control, Create, Engine, Hub, Identity, Ledger, LoadSharing,
    Mesh, NatsControl, Outgoing, Pace, Report, Roles, Share, Signal, Subjects,
};
use meridian::health::{LocalVotes, PeerEvent, Prober, Standing, Subject, Verdict, Vote};
use meridian::load::Loads;
use meridian::metrics::Metrics;
use meridian::model::Nats;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::nats::NatsServer;

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An engine that several nodes can be put on.
pub(crate) enum Ground {
    Embedded(Hub, TempDir),
    Nats(NatsServer),
}

impl Ground {
    pub(crate) fn all() -> [Self; 2] {
        let server = NatsServer::open();
        [Self::Embedded(Hub::default(), TempDir::new().unwrap()), Self::Nats(server)]
    }

    /// Makes the streams.
    pub(crate) async fn prepare(&self) {
        if let Self::Nats(server) = self {
            let me = prober("eu", "operator");
            let found =
                meridian::cluster::examine(&server.nats(), &me, false, Create::Streams).await;
            let found = found.unwrap();
            assert!(found.iter().any(|f| f.what == "control"), "{found:?}");
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Embedded(..) => "embedded",
            Self::Nats(_) => "nats",
        }
    }

    pub(crate) fn node(&self, region: &str, name: &str) -> Node {
        match self {
            Self::Embedded(hub, _) => {
                let me = prober(region, name);
                let engine = Engine::Embedded(hub.attach(listened(&me)));
                Node { me, engine, metrics: metrics(), _stop: stopper().1 }
            }
            Self::Nats(server) => Node::on(server.nats(), region, name),
        }
    }

    /// The table of operators as a node with this state folder sees it.
    pub(crate) fn control(&self, state: &Path) -> (Control, DropGuard) {
        let (stop, guard) = stopper();
        let control = match self {
            Self::Embedded(_, folder) => {
                // One node alone: the folder is the table.
                let ledger = Ledger::load(folder.path(), metrics(), true);
                Control::Embedded(Arc::new(ledger))
            }
            Self::Nats(server) => control(server.nats(), "n", state, &stop),
        };
        (control, guard)
    }
}

/// The table of operators as the node `name` of a bus sees it.
pub(crate) fn control(nats: Nats, name: &str, state: &Path, stop: &CancellationToken) -> Control {
    let (bus, _) = Bus::start(Arc::new(nats), name.into(), Vec::new(), metrics(), stop.clone());
    let (control, _) = NatsControl::start(&bus, "meridian", state, metrics(), stop.clone());
    // The signals of this connection are nobody's.
    tokio::spawn(async move {
        let mut engine = Engine::Nats(bus);
        while engine.signal(true).await.is_some() {}
    });
    Control::Nats(control)
}

/// The subjects that a node listens to.
fn listened(me: &Prober) -> Vec<String> {
    let load = LoadSharing::new(me.clone(), None, "meridian").listened();
    Subjects::new("meridian").listened(me).into_iter().chain([load]).collect()
}

pub(crate) fn prober(region: &str, node: &str) -> Prober {
    Prober { region: region.into(), node: node.into() }
}

pub(crate) fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new().unwrap())
}

pub(crate) fn stopper() -> (CancellationToken, DropGuard) {
    let stop = CancellationToken::new();
    (stop.clone(), stop.drop_guard())
}

/// A node on an engine.
pub(crate) struct Node {
    pub(crate) me: Prober,
    pub(crate) engine: Engine,
    pub(crate) metrics: Arc<Metrics>,
    _stop: DropGuard,
}

impl Node {
    /// A node on a bus.
    pub(crate) fn on(nats: Nats, region: &str, name: &str) -> Self {
        let (me, metrics, (stop, guard)) = (prober(region, name), metrics(), stopper());
        let filters = listened(&me);
        let (bus, _) = Bus::start(Arc::new(nats), name.into(), filters, metrics.clone(), stop);
        Self { me, engine: Engine::Nats(bus), metrics, _stop: guard }
    }

    /// Waits for a signal that `wanted` takes, and passes over others.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Signal) -> Option<T>,
    ) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let signal = self.engine.signal(true).await.expect("an engine that lives");
                if let Some(found) = wanted(&signal) {
                    return found;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    pub(crate) async fn up(&mut self) {
        self.until("the engine", |signal| (*signal == Signal::Up).then_some(())).await;
    }

    pub(crate) async fn down(&mut self) {
        self.until("its end", |signal| (*signal == Signal::Down).then_some(())).await;
    }

    /// Waits for a message, and gives its subject and text.
    pub(crate) async fn message(&mut self) -> (String, String) {
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        self.until("a message", |signal| match signal {
            Signal::Message { subject, payload } => Some((subject.clone(), text(payload))),
            _ => None,
        })
        .await
    }

    pub(crate) fn say(&self, kind: &'static str, subject: &str, text: &str) {
        let (subject, payload) = (subject.to_owned(), text.into());
        assert!(self.engine.publish(Outgoing { kind, subject, payload }));
    }

    /// Lets the node share votes and what else it knows, and gives what it hears.
    pub(crate) fn share(self, epoch: Option<u64>) -> Sharing {
        let Self { me, engine, metrics, _stop: guard } = self;
        let identity = Identity { me: me.clone(), epoch, prefix: "meridian".into() };
        let mesh = Mesh::new(identity, Pace::default(), clock::now(), fastrand::Rng::new());
        let (says, votes) = watch::channel(Arc::default());
        let (peers, heard) = mpsc::channel(1_024);
        let (stop, stopper) = stopper();
        let (tells, saying) = mpsc::channel(1_024);
        // So small that what was kept has to wait for its reader.
        let (reports, reported) = mpsc::channel(4);
        let loads = Arc::<Loads>::default();
        let share = Share {
            load: LoadSharing::new(me.clone(), epoch, "meridian"),
            loads: loads.clone(),
            challenge: ChallengeSharing::new(me.clone(), "meridian"),
            issuance: Arc::default(),
            me: me.clone(),
            mesh,
            engine,
            votes,
            peers,
            saying,
            reports,
            attendance: Attendance::new(me.clone(), Roles::default(), "meridian"),
            attendants: watch::channel(Vec::new()).0,
            snapshot: Arc::default(),
            metrics: metrics.clone(),
        };
        tokio::spawn(share.run(stop));
        let (lives, ends) = (false, [guard, stopper]);
        Sharing { me, says, tells, reported, loads, heard, metrics, lives, _stop: ends }
    }
}

/// A node that shares its votes.
pub(crate) struct Sharing {
    pub(crate) me: Prober,
    says: watch::Sender<Arc<LocalVotes>>,
    /// Pages of round trips to tell, and those that are heard.
    pub(crate) tells: mpsc::Sender<(u32, Report)>,
    pub(crate) reported: mpsc::Receiver<Report>,
    pub(crate) loads: Arc<Loads>,
    heard: mpsc::Receiver<PeerEvent>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether any prober was told to live.
    pub(crate) lives: bool,
    _stop: [DropGuard; 2],
}

impl Sharing {
    pub(crate) fn say(&self, verdict: Verdict) {
        let vote = |n| Vote { subject: Subject(n), verdict, kind: None, held: Duration::ZERO };
        let votes = (0..100).map(|n| (Arc::from("us"), vote(n))).collect();
        self.says.send_replace(Arc::new(LocalVotes { impaired: false, votes }));
    }

    /// Waits until an event that `wanted` takes.
    pub(crate) async fn hear(&mut self, what: &str, mut wanted: impl FnMut(&PeerEvent) -> bool) {
        let found = timeout(PATIENCE, async {
            loop {
                let event = self.heard.recv().await.expect("a task that lives");
                self.lives |= matches!(event, PeerEvent::Standing { standing: Standing::Live, .. });
                if wanted(&event) {
                    return;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
    }

    /// Waits until all votes of a peer are these.
    pub(crate) async fn hear_votes(&mut self, of: &Prober, verdict: Verdict) {
        let mut all = votes(of, verdict);
        self.hear("votes", |event| all(event)).await;
    }

    /// Waits until all votes of a peer are these and the link is back, whichever comes first.
    pub(crate) async fn hear_votes_and_link(&mut self, of: &Prober, verdict: Verdict) {
        let (mut all, mut linked) = (votes(of, verdict), false);
        self.hear("votes and the link", |event| {
            linked |= *event == PeerEvent::Link { up: true };
            all(event) && linked
        })
        .await;
    }
}

/// Whether all votes of a peer that were heard up to an event are these.
fn votes(of: &Prober, verdict: Verdict) -> impl FnMut(&PeerEvent) -> bool {
    let mut said = std::collections::BTreeSet::new();
    move |event| {
        if let PeerEvent::Votes { prober, votes } = event
            && prober == of
        {
            let same = votes.iter().filter(|vote| vote.verdict == verdict);
            said.extend(same.map(|vote| vote.subject));
        }
        said.len() == 100
    }
}
