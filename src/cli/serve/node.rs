//! One running node: its tasks, and how they start and end together.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::handover::Predecessor;
use super::latency::Mapper;
use super::listeners::{Opened, Servers, counting};
use super::plans::Plans;
use super::reloader::{Reloader, log_findings, watched};
use super::running::Running;
use super::serials::Serials;
use super::state::Saver;
use super::tasks::{Kept, Tasks};
use crate::admin::{self, Admin, Events, Keeper, Phase};
use crate::cli::watch::Watch;
use crate::clock;
use crate::dns::transfer::Notifier;
use crate::metrics::Metrics;
use crate::model::{Model, Node};
use crate::probe::Feeds;
use crate::proxy::{ProxyServer, Witness};
use crate::snapshot::{Event, Loaded, Publisher};

/// The first answer waits for the first probe round, but no longer than this.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(5);
/// It waits no longer than this when all was known before the restart.
const KNOWN_ROUND_MAX: Duration = Duration::from_millis(500);

/// Serves until SIGTERM or SIGINT, and reads the files again on SIGHUP, which is `hangup`.
///
/// # Errors
/// When a listener cannot be opened or TLS cannot be set up: what, and why.
pub(super) async fn serve(
    dir: &Path,
    loaded: Loaded,
    metrics: Arc<Metrics>,
    hangup: Signal,
) -> Result<(), String> {
    let model = loaded.model.clone();
    let mut signals = Signals::new()?;
    let watch = watching(dir, &loaded, hangup);
    log_findings(&loaded.diagnostics);

    let (mut before, handed) = Predecessor::of_this_process()?.unzip();
    let opened = Opened::open(&model, &mut handed.unwrap_or_default(), &metrics)?;
    let Opened { dns: listeners, front, admin: admin_socket, sockets } = opened;
    // What is in the state folder may change up to this moment.
    before.as_mut().map_or(Ok(()), Predecessor::prepared)?;
    let plans = Plans::open(&model.node.state, &loaded, metrics.clone()).await;
    let saver = Saver::new(&model.node.state, metrics.clone());
    let health = saver.restore(&model, clock::now());
    let mapper = Mapper::open(&model, metrics.clone());
    let mut publisher = Publisher::new(mapper.apply(loaded), health);
    let events = Arc::new(Events::new(&model.node.name, metrics.clone()));
    let (overrides, desk) = Keeper::open(&model.node.state, metrics.clone(), events.clone());
    let mut serials = Serials::load(&model.node.state, metrics.clone());
    publish_first(&mut publisher, &overrides, &mut serials).await;
    let snapshot = publisher.shared();
    let (counters, log_writer) = counting(&model.node, publisher.labels())?;
    let feeds = Arc::<Feeds>::default();
    let (phase, told) = watch::channel(Phase::Starting);
    let (attendants, peers) = watch::channel(Vec::new());
    let stop = CancellationToken::new();
    let dns_counters = listeners.as_ref().map(|_| counters.clone());
    let admin = admin_socket.zip(model.node.admin.clone()).map(|(socket, settings)| {
        let (snapshot, metrics) = (snapshot.clone(), metrics.clone());
        let shelves = front.as_ref().map(|front| front.shelves.clone()).unwrap_or_default();
        let shared = (feeds.clone(), shelves, events.clone(), peers);
        let admin = Admin::new(snapshot, dns_counters, metrics, told, desk, shared, settings);
        tokio::spawn(admin::serve(socket, admin, stop.child_token()))
    });

    let (reloads, reload_inbox) = mpsc::channel(1);
    let (current, is_known) = (publisher.loaded().clone(), publisher.health().is_known());
    let (witness, told) = (Arc::<Witness>::default(), (events.clone(), attendants));
    let kept = Kept { saver, serials, overrides, feeds, witness: witness.clone(), told, mapper };
    let mut tasks = Tasks::start(publisher, kept, &metrics, reload_inbox, &model, &stop)?;
    tasks.tell(&model.node.webhooks, &snapshot, (&events, &metrics), &stop);
    let goes_on = probed(&model.node, &mut tasks, &mut signals, is_known).await;
    let servers = listeners.map(|l| l.serve(&snapshot, &counters, log_writer)).transpose()?;
    let proxy = front.map(|front| front.serve(&snapshot, &metrics, &witness)).transpose()?;
    if let Some(servers) = &servers {
        let listen = servers.addresses().to_vec();
        tasks.keep_fresh(&snapshot, &metrics, listen.clone(), &stop);
        tasks.notify(Notifier::new(snapshot.clone(), counters.clone(), listen), &stop);
    }
    tasks.order_certificates(&model.node, &snapshot, (&metrics, &events), &stop);
    let running = Running { servers, proxy, tasks, admin, stop, phase, sockets };
    if !goes_on {
        running.end().await;
        return Ok(());
    }
    tell_of_serving(&running, &model);
    if let Some(Err(error)) = before.map(Predecessor::ready) {
        warn!(error, "nobody is there to take over from");
    }
    let (started, metrics, events) = (&model.node, &*metrics, &*events);
    let reloader = Reloader { dir, started, reloads, plans, snapshot, metrics, events };
    running.run(reloader, current, watch, signals).await;
    Ok(())
}

/// Looks for changes of the files from now on.
fn watching(dir: &Path, loaded: &Loaded, hangup: Signal) -> Watch {
    let (watch, unwatched) = Watch::new(hangup, &watched(dir, loaded));
    if let Some(error) = unwatched {
        warn!(%error, "the kernel does not tell of changes; files are looked at now and then");
    }
    watch
}

/// Publishes what is known before anything was probed, under serials that no secondary has seen.
async fn publish_first(publisher: &mut Publisher, overrides: &Keeper, serials: &mut Serials) {
    publisher.apply(Event::Overrides(overrides.overrides()), clock::now());
    publisher.publish();
    if let Some(advanced) = publisher.advance(&serials.saved) {
        serials.save(advanced).await;
        publisher.publish();
    }
}

/// Says that queries and requests are answered from now on.
fn tell_of_serving(running: &Running, model: &Model) {
    running.phase.send_replace(Phase::Serving);
    tell_systemd(sd_notify::NotifyState::Ready);
    info!(
        node = model.node.name,
        region = model.fleet.region(model.node.region).name,
        zones = model.zones.len(),
        dns = ?running.servers.as_ref().map(Servers::described).unwrap_or_default(),
        proxy = ?running.proxy.as_ref().map(ProxyServer::addresses).unwrap_or_default(),
        "serving"
    );
}

/// Probes for the first time, where the node probes; `false`: it is to end.
async fn probed(node: &Node, tasks: &mut Tasks, signals: &mut Signals, is_known: bool) -> bool {
    let patience = if is_known { KNOWN_ROUND_MAX } else { FIRST_ROUND_MAX };
    node.probe.is_none() || first_round(tasks, signals, patience).await
}

/// What a signal asks of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// To end.
    End,
    /// To start another in its place.
    HandOver,
}

/// The signals that end the process, and the one by which another takes over.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    succession: Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let catch = |kind, name| signal(kind).map_err(|error| cannot(name, &error));
        Ok(Self {
            terminate: catch(SignalKind::terminate(), "catch SIGTERM")?,
            interrupt: catch(SignalKind::interrupt(), "catch SIGINT")?,
            succession: catch(SignalKind::user_defined2(), "catch SIGUSR2")?,
        })
    }

    /// Waits for the next thing that is asked of the process.
    pub(super) async fn next(&mut self) -> Request {
        let Self { terminate, interrupt, succession } = self;
        tokio::select! {
            _ = terminate.recv() => Request::End,
            _ = interrupt.recv() => Request::End,
            _ = succession.recv() => Request::HandOver,
        }
    }

    /// Waits until the process is to end.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for the first probe round, though not for ever; `false`: a signal came before.
async fn first_round(tasks: &mut Tasks, signals: &mut Signals, patience: Duration) -> bool {
    tokio::select! {
        () = signals.received() => false,
        _ = tokio::time::timeout(patience, tasks.judged()) => true,
    }
}

/// Tells systemd, where it asked to be told.
pub(super) fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "cannot tell systemd");
    }
}

pub(super) fn cannot(what: &str, error: &impl Display) -> String {
    format!("cannot {what}: {error}")
}
