//! One running node: its tasks, and how they start and end together.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::judge::{Inbox, Judge, Outbox, Reload};
use super::listeners::{Listeners, Servers};
use super::probes::Probes;
use super::state::Saver;
use crate::admin::{self, Admin};
use crate::cli::watch::Watch;
use crate::clock;
use crate::diagnostic::{Diagnostics, Severity};
use crate::dns::Counters;
use crate::metrics::Metrics;
use crate::model::{Model, Node};
use crate::snapshot::{Loaded, Publisher, load};

/// Probe results waiting for the judge. A full queue slows the probes down; nothing piles up.
const RESULTS_MAX: usize = 1024;
/// The first answer waits for the first probe round, but no longer than this.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(5);
/// Scrapes under way get this long to end.
const ADMIN_DRAIN: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When a listener cannot be opened or TLS cannot be set up: what, and why.
pub(super) async fn serve(dir: &Path, loaded: Loaded, metrics: Arc<Metrics>) -> Result<(), String> {
    let model = loaded.model.clone();
    let mut signals = Signals::new()?;
    let (watch, unwatched) =
        Watch::new(&watched(dir, &loaded)).map_err(|e| cannot("catch SIGHUP", &e))?;
    if let Some(error) = unwatched {
        warn!(%error, "files are not watched; send SIGHUP to reload");
    }
    log_findings(&loaded.diagnostics);

    // All listeners are opened before anything starts, so that a port in use is told at once.
    let listeners = model.node.dns.as_ref().map(Listeners::open).transpose()?;
    let admin_listener = open_admin(&model.node).await?;
    let saver = Saver::new(&model.node.state, metrics.clone());
    let health = saver.restore(&model.fleet, clock::now());
    let publisher = Publisher::new(loaded, health);
    let snapshot = publisher.shared();
    let (services, regions) = publisher.labels();
    let counters = Arc::new(Counters::new(services, regions));
    let ready = Arc::new(AtomicBool::new(false));
    let stop = CancellationToken::new();
    let admin = Admin {
        snapshot: snapshot.clone(),
        counters: listeners.as_ref().map(|_| counters.clone()),
        metrics: metrics.clone(),
        ready: ready.clone(),
    };
    let admin = admin_listener
        .map(|listener| tokio::spawn(admin::serve(listener, admin, stop.child_token())));

    let (reloads, reload_inbox) = mpsc::channel(1);
    let current = publisher.loaded().clone();
    let mut tasks = Tasks::start(publisher, saver, &metrics, reload_inbox, &model, &stop)?;
    if model.node.probe.is_some() {
        // The error is that the judge is gone, which is told where it is joined.
        let judged = tasks.judged.wait_for(|judged| *judged);
        let _ = tokio::time::timeout(FIRST_ROUND_MAX, judged).await;
    }
    let servers = listeners.map(|l| l.serve(&snapshot, &counters)).transpose()?;
    ready.store(true, Ordering::Relaxed);
    tell_systemd(sd_notify::NotifyState::Ready);
    info!(
        node = model.node.name,
        region = model.fleet.region(model.node.region).name,
        zones = model.zones.len(),
        dns = ?servers.as_ref().map(Servers::addresses).unwrap_or_default(),
        "serving"
    );
    reload_until_stopped(dir, current, watch, &mut signals, &reloads, &metrics).await;

    info!("stopping: answering what has arrived");
    tell_systemd(sd_notify::NotifyState::Stopping);
    ready.store(false, Ordering::Relaxed);
    if let Some(servers) = servers {
        servers.shutdown().await;
    }
    stop.cancel();
    tasks.join().await;
    if let Some(admin) = admin {
        let _ = tokio::time::timeout(ADMIN_DRAIN, admin).await;
    }
    info!("stopped");
    Ok(())
}

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let catch = |kind, name| signal(kind).map_err(|error| cannot(name, &error));
        Ok(Self {
            terminate: catch(SignalKind::terminate(), "catch SIGTERM")?,
            interrupt: catch(SignalKind::interrupt(), "catch SIGINT")?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The judge and what feeds it.
struct Tasks {
    judge: tokio::task::JoinHandle<()>,
    probes: Probes,
    judged: watch::Receiver<bool>,
}

impl Tasks {
    fn start(
        publisher: Publisher,
        saver: Saver,
        metrics: &Arc<Metrics>,
        reloads: mpsc::Receiver<Reload>,
        model: &Model,
        stop: &CancellationToken,
    ) -> Result<Self, String> {
        let (results_in, results) = mpsc::channel(RESULTS_MAX);
        let (targets, targets_out) = watch::channel(Arc::default());
        let (names, names_out) = watch::channel(BTreeSet::new());
        let (judged, judged_out) = watch::channel(false);
        let outbox = Outbox { targets, names, judged };
        let judge = Judge::new(publisher, saver, metrics.clone(), outbox);
        let (hosts, mut probes) = Probes::resolve(names_out, stop);
        if model.node.probe.is_some() {
            probes.probe(targets_out, results_in, hosts.clone(), stop)?;
        }
        let judge = tokio::spawn(judge.run(Inbox { results, hosts, reloads }, stop.child_token()));
        Ok(Self { judge, probes, judged: judged_out })
    }

    async fn join(self) {
        self.probes.join().await;
        if let Err(error) = self.judge.await {
            error!(%error, "the judge of health ended badly");
        }
    }
}

async fn open_admin(node: &Node) -> Result<Option<TcpListener>, String> {
    let Some(admin) = &node.admin else { return Ok(None) };
    let listener = TcpListener::bind(admin.listen).await;
    let what = format!("listen on {} for the admin listener", admin.listen);
    listener.map(Some).map_err(|error| cannot(&what, &error))
}

/// Reads the files again whenever there is reason to, until a signal ends the process.
async fn reload_until_stopped(
    dir: &Path,
    mut current: Arc<Loaded>,
    mut watch: Watch,
    signals: &mut Signals,
    reloads: &mpsc::Sender<Reload>,
    metrics: &Metrics,
) {
    let started = current.model.clone();
    loop {
        tokio::select! {
            () = signals.received() => return,
            () = watch.changed() => {}
        }
        let word = match reload(dir, &started, current.clone(), reloads).await {
            Some(loaded) => {
                if let Err(error) = watch.follow(&watched(dir, &loaded)) {
                    warn!(%error, "a new folder is not watched; send SIGHUP to reload");
                }
                let broken = loaded.diagnostics.has_errors();
                current = loaded;
                if broken { "partial" } else { "ok" }
            }
            None => "refused",
        };
        metrics.reloads.with_label_values(&[word]).inc();
    }
}

/// Reads the files and, if they are right, waits until they are served. `None`: they are not, and
/// what was served before serves on.
async fn reload(
    dir: &Path,
    started: &Model,
    current: Arc<Loaded>,
    reloads: &mpsc::Sender<Reload>,
) -> Option<Arc<Loaded>> {
    let begun = clock::stopwatch();
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || load(&dir, Some(&current))).await;
    let loaded = match read {
        Ok(Ok(loaded)) => Arc::new(loaded),
        Ok(Err(diagnostics)) => {
            log_findings(&diagnostics);
            error!("reload refused; what was served before serves on");
            return None;
        }
        Err(error) => {
            error!(%error, "reload failed; what was served before serves on");
            return None;
        }
    };
    log_findings(&loaded.diagnostics);
    warn_of_restart(&started.node, &loaded.model.node);
    let (done, served) = oneshot::channel();
    reloads.send((loaded.clone(), done)).await.ok()?;
    served.await.ok()?;
    info!(zones = loaded.zones.len(), took = ?begun.elapsed(), "reloaded");
    Some(loaded)
}

/// The files and folders whose changes are reason to reload.
fn watched(dir: &Path, loaded: &Loaded) -> Vec<PathBuf> {
    let folders = loaded.folders.iter().chain(&loaded.files).cloned();
    folders.chain([dir.to_owned()]).collect()
}

/// Says which changed settings need a restart; until then the old ones hold.
fn warn_of_restart(old: &Node, new: &Node) {
    let listen = |node: &Node| {
        node.dns.as_ref().map(|dns| {
            (dns.listen.clone(), dns.transports.listen(), dns.workers, dns.tcp_clients)
        })
    };
    let admin = |node: &Node| node.admin.as_ref().map(|admin| admin.listen);
    let log = |node: &Node| (node.log.format, node.log.level.clone());
    for (changed, what) in [
        (listen(old) != listen(new), "listeners, workers or tcp_clients of [dns]"),
        (admin(old) != admin(new), "[admin]"),
        (log(old) != log(new), "[log]"),
        (old.state != new.state, "node.state"),
        (old.probe.is_some() != new.probe.is_some(), "the role [probe]"),
    ] {
        if changed {
            warn!("{what} changed: this takes a restart, until then the old value holds");
        }
    }
}

fn log_findings(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics.sorted() {
        match diagnostic.severity {
            Severity::Error => error!("{diagnostic}"),
            Severity::Warning => warn!("{diagnostic}"),
        }
    }
}

/// Tells systemd, where it asked to be told.
fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "cannot tell systemd");
    }
}

pub(super) fn cannot(what: &str, error: &impl Display) -> String {
    format!("cannot {what}: {error}")
}
