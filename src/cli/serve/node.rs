//! One running node: its tasks, and how they start and end together.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::judge::Reload;
use super::listeners::{Front, Listeners, Servers, not_bound, query_log};
use super::plans::Plans;
use super::serials::Serials;
use super::state::Saver;
use super::tasks::{Kept, Tasks};
use crate::admin::{self, Admin, Keeper, Phase, Socket};
use crate::cli::watch::Watch;
use crate::clock;
use crate::config;
use crate::diagnostic::{Diagnostics, Severity};
use crate::dns::Counters;
use crate::dns::transfer::Notifier;
use crate::metrics::Metrics;
use crate::model::{AdminListen, Node};
use crate::probe::Feeds;
use crate::proxy::ProxyServer;
use crate::snapshot::{Event, Loaded, Publisher, load};

/// The first answer waits for the first probe round, but no longer than this.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(5);
/// It waits no longer than this when all was known before the restart.
const KNOWN_ROUND_MAX: Duration = Duration::from_millis(500);
/// Scrapes under way get this long to end.
const ADMIN_DRAIN: Duration = Duration::from_secs(2);

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
    let (watch, unwatched) = Watch::new(hangup, &watched(dir, &loaded));
    if let Some(error) = unwatched {
        warn!(%error, "the kernel does not tell of changes; files are looked at now and then");
    }
    log_findings(&loaded.diagnostics);

    // All listeners are opened before anything starts, so that a port in use is told at once.
    let listeners = model.node.dns.as_ref().map(Listeners::open).transpose()?;
    let front = Front::open(&model.node)?;
    let admin_socket = open_admin(&model.node).await?;
    let plans = Plans::open(&model.node.state, &loaded, metrics.clone()).await;
    let saver = Saver::new(&model.node.state, metrics.clone());
    let health = saver.restore(&model, clock::now());
    let mut publisher = Publisher::new(loaded, health);
    let (overrides, desk) = Keeper::open(&model.node.state, metrics.clone());
    publisher.apply(Event::Overrides(overrides.overrides()), clock::now());
    publisher.publish();
    let mut serials = Serials::load(&model.node.state, metrics.clone());
    if let Some(advanced) = publisher.advance(&serials.saved) {
        serials.save(advanced).await;
        publisher.publish();
    }
    let snapshot = publisher.shared();
    let (services, regions) = publisher.labels();
    let (log, log_writer) = query_log(&model.node, &services, &regions)?.unzip();
    let counters = Arc::new(Counters::new(services, regions).with_log(log));
    let feeds = Arc::<Feeds>::default();
    let (phase, told) = watch::channel(Phase::Starting);
    let stop = CancellationToken::new();
    let dns_counters = listeners.as_ref().map(|_| counters.clone());
    let admin = admin_socket.zip(model.node.admin.clone()).map(|(socket, settings)| {
        let (snapshot, metrics) = (snapshot.clone(), metrics.clone());
        let admin =
            Admin::new(snapshot, dns_counters, metrics, told, desk, feeds.clone(), settings);
        tokio::spawn(admin::serve(socket, admin, stop.child_token()))
    });

    let (reloads, reload_inbox) = mpsc::channel(1);
    let current = publisher.loaded().clone();
    let known = publisher.health().is_known();
    let patience = if known { KNOWN_ROUND_MAX } else { FIRST_ROUND_MAX };
    let kept = Kept { saver, serials, overrides, feeds };
    let mut tasks = Tasks::start(publisher, kept, &metrics, reload_inbox, &model, &stop)?;
    let stopped =
        model.node.probe.is_some() && !first_round(&mut tasks, &mut signals, patience).await;
    let servers = listeners.map(|l| l.serve(&snapshot, &counters, log_writer)).transpose()?;
    let proxy = front.map(|front| front.serve(&snapshot, &metrics)).transpose()?;
    if let Some(servers) = &servers {
        let listen = servers.addresses().to_vec();
        tasks.keep_fresh(&snapshot, &metrics, listen.clone(), &stop);
        tasks.notify(Notifier::new(snapshot.clone(), counters.clone(), listen), &stop);
    }
    if !stopped {
        phase.send_replace(Phase::Serving);
        tell_systemd(sd_notify::NotifyState::Ready);
        info!(
            node = model.node.name,
            region = model.fleet.region(model.node.region).name,
            zones = model.zones.len(),
            dns = ?servers.as_ref().map(Servers::described).unwrap_or_default(),
            proxy = ?proxy.as_ref().map(ProxyServer::addresses).unwrap_or_default(),
            "serving"
        );
        let mut reloader =
            Reloader { dir, started: &model.node, reloads, plans, metrics: &metrics };
        reloader.run(current, watch, &mut signals, &mut tasks, &phase).await;
    }

    info!("stopping: answering what has arrived");
    tell_systemd(sd_notify::NotifyState::Stopping);
    phase.send_replace(Phase::Stopping);
    // Names are answered for as long as the proxy drains.
    if let Some(proxy) = proxy {
        proxy.shutdown().await;
    }
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

async fn open_admin(node: &Node) -> Result<Option<Socket>, String> {
    let Some(admin) = &node.admin else { return Ok(None) };
    let opened = match &admin.listen {
        AdminListen::Tcp(address) => TcpListener::bind(address)
            .await
            .map(Socket::Tcp)
            .map_err(|error| (format!("listen on `{address}` (admin)"), error)),
        AdminListen::Unix(path) => socket_file(path)
            .map(Socket::Unix)
            .map_err(|error| (format!("listen on `{}` (admin)", path.display()), error)),
    };
    opened.map(Some).map_err(|(what, error)| not_bound(error.kind(), cannot(&what, &error)))
}

/// Opens a socket file that its owner alone may use. One that a crash has left is replaced; one
/// that somebody answers is not.
fn socket_file(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    if fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    // It gets its name only after its rights, so that nobody else can connect in between.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let listener = UnixListener::bind(&aside)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o600))?;
    fs::rename(&aside, path)?;
    Ok(listener)
}

/// Waits for the first probe round, though not for ever; `false`: a signal came before.
async fn first_round(tasks: &mut Tasks, signals: &mut Signals, patience: Duration) -> bool {
    tokio::select! {
        () = signals.received() => false,
        _ = tokio::time::timeout(patience, tasks.judged()) => true,
    }
}

/// Reads the files anew.
struct Reloader<'a> {
    dir: &'a Path,
    /// What the process was started with, which holds for listeners until it ends.
    started: &'a Node,
    reloads: mpsc::Sender<Reload>,
    plans: Plans,
    metrics: &'a Metrics,
}

impl Reloader<'_> {
    /// Reads the files again whenever there is reason to, until a signal ends the process.
    async fn run(
        &mut self,
        mut current: Arc<Loaded>,
        mut watch: Watch,
        signals: &mut Signals,
        tasks: &mut Tasks,
        phase: &watch::Sender<Phase>,
    ) {
        loop {
            tokio::select! {
                () = signals.received() => return,
                task = tasks.ended() => {
                    phase.send_replace(Phase::Crippled(task));
                    continue;
                }
                () = watch.changed() => {}
            }
            let (word, mut paths) = match self.reload(current.clone()).await {
                Ok(loaded) => {
                    current = loaded;
                    (if current.diagnostics.has_errors() { "partial" } else { "ok" }, Vec::new())
                }
                Err(read) => ("refused", read),
            };
            paths.extend(watched(self.dir, &current));
            if let Err(error) = watch.follow(&paths) {
                warn!(%error, "the kernel does not tell of changes in a folder");
            }
            self.metrics.reloads.with_label_values(&[word]).inc();
        }
    }

    /// Reads the files and, if they are right, waits until they are served. Else what was served
    /// before serves on, and the error is the files that were read: what is wrong may be mended in
    /// one that was not read before.
    async fn reload(&mut self, current: Arc<Loaded>) -> Result<Arc<Loaded>, Vec<PathBuf>> {
        let begun = clock::stopwatch();
        let (dir, served_now) = (self.dir.to_owned(), current.clone());
        let read = tokio::task::spawn_blocking(move || {
            load(&dir, Some(&current)).map_err(|diagnostics| {
                let config::Loaded { files, folders, .. } = config::load(&dir);
                (diagnostics, [files, folders].concat())
            })
        });
        let loaded = match read.await {
            Ok(Ok(loaded)) => Arc::new(loaded),
            Ok(Err((diagnostics, files))) => {
                log_findings(&diagnostics);
                error!("reload refused; what was served before serves on");
                return Err(files);
            }
            Err(error) => {
                error!(%error, "reload failed; what was served before serves on");
                return Err(Vec::new());
            }
        };
        log_findings(&loaded.diagnostics);
        if !self.plans.admits(&served_now, &loaded) {
            error!("reload refused; what was served before serves on");
            return Err([loaded.files.clone(), loaded.folders.clone()].concat());
        }
        warn_of_restart(self.started, &loaded.model.node);
        let (done, served) = oneshot::channel();
        let sent = self.reloads.send((loaded.clone(), done)).await;
        if sent.is_err() || served.await.is_err() {
            error!("reload failed: the judge of health did not take it");
            return Err(Vec::new());
        }
        self.plans.accept(&loaded).await;
        info!(zones = loaded.zones.len(), took = ?begun.elapsed(), "reloaded");
        Ok(loaded)
    }
}

/// The files and folders whose changes are reason to reload.
fn watched(dir: &Path, loaded: &Loaded) -> Vec<PathBuf> {
    let folders = loaded.folders.iter().chain(&loaded.files).cloned();
    folders.chain([dir.to_owned()]).collect()
}

/// Says which changed settings need a restart; until then the old ones hold.
fn warn_of_restart(old: &Node, new: &Node) {
    let listen = |node: &Node| {
        node.dns
            .as_ref()
            .map(|dns| (dns.listen.clone(), dns.transports.listen(), dns.workers, dns.tcp_clients))
    };
    let query_log = |node: &Node| node.dns.as_ref().and_then(|dns| dns.query_log.clone());
    let io = |node: &Node| node.dns.as_ref().map(|dns| dns.io.clone());
    let proxy = |node: &Node| {
        node.proxy.as_ref().map(|proxy| (proxy.http.clone(), proxy.https.clone(), proxy.workers))
    };
    let admin = |node: &Node| {
        let tls = |admin: &crate::model::Admin| (admin.tls.is_some(), admin.client_ca().is_some());
        node.admin.as_ref().map(|admin| (admin.listen.clone(), admin.hosts.clone(), tls(admin)))
    };
    let log = |node: &Node| (node.log.format, node.log.level.clone());
    for (changed, what) in [
        (listen(old) != listen(new), "listeners, workers or tcp_clients of [dns]"),
        (io(old) != io(new), "io of [dns]"),
        (query_log(old) != query_log(new), "dns.query_log"),
        (proxy(old) != proxy(new), "listeners or workers of [proxy]"),
        (admin(old) != admin(new), "[admin]"),
        (log(old) != log(new), "[log]"),
        (old.cluster != new.cluster, "[cluster]"),
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
