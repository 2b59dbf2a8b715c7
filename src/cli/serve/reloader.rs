//! Reading the files anew while the node serves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::judge::Reload;
use super::plans::Plans;
use crate::admin::{Events, Happening};
use crate::clock;
use crate::config;
use crate::diagnostic::{Diagnostics, Severity};
use crate::health::Level;
use crate::health::overrides::{losses_of_reload, resolve};
use crate::metrics::Metrics;
use crate::model::{EndpointId, Node};
use crate::snapshot::{Loaded, Snapshot, load};

/// Losses of a reload that are told; of more only the number is.
const LOSSES_MAX: usize = 5;

/// Reads the files anew.
pub(super) struct Reloader<'a> {
    /// The folder of the configuration.
    pub(super) dir: &'a Path,
    /// What the process was started with, which holds for listeners until it ends.
    pub(super) started: &'a Node,
    /// To the judge.
    pub(super) reloads: mpsc::Sender<Reload>,
    /// The numbers of plans.
    pub(super) plans: Plans,
    /// What is served, and how healthy it is.
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// What the process counts.
    pub(super) metrics: &'a Metrics,
    /// Where it is told.
    pub(super) events: &'a Events,
}

impl Reloader<'_> {
    /// Reads the files again; gives what is served from then on, and the files and folders to look
    /// at for changes.
    pub(super) async fn again(&mut self, current: Arc<Loaded>) -> (Arc<Loaded>, Vec<PathBuf>) {
        let (word, mut paths, current) = match self.reload(current.clone()).await {
            Ok(loaded) => {
                let partial = loaded.diagnostics.has_errors();
                (if partial { "partial" } else { "ok" }, Vec::new(), loaded)
            }
            Err(read) => ("refused", read, current),
        };
        paths.extend(watched(self.dir, &current));
        self.metrics.reloads.with_label_values(&[word]).inc();
        self.events.tell(Happening::Reload { outcome: word.to_owned() });
        (current, paths)
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
        if !self.plans.admits(&served_now, &loaded) || !self.keeps_enough(&loaded) {
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

    /// Whether every service keeps what `[safety]` of `next` asks for, by the health of the moment;
    /// what it would lose is logged.
    fn keeps_enough(&self, next: &Loaded) -> bool {
        let snapshot = self.snapshot.load();
        let Some(state) = &snapshot.state else { return true };
        let level = |id: EndpointId| {
            state.health.get(id.0 as usize).map_or(Level::Unknown, |health| health.level)
        };
        let forced = resolve(state.overrides.overrides(), &next.model.fleet);
        let losses = losses_of_reload(&state.loaded.model, level, &next.model, &forced);
        for loss in losses.iter().take(LOSSES_MAX) {
            let rule = loss.rule.key();
            let hint = "put back what is missing, or change the rule in the same reload";
            error!(rule, hint, "`{rule}` of [safety] forbids the reload: {loss}");
        }
        if let Some(more @ 1..) = losses.len().checked_sub(LOSSES_MAX) {
            error!("and {more} more of the kind");
        }
        losses.is_empty()
    }
}

/// The files and folders whose changes are reason to reload.
pub(super) fn watched(dir: &Path, loaded: &Loaded) -> Vec<PathBuf> {
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
        node.proxy.as_ref().map(|proxy| {
            let tcp: Vec<_> = proxy.tcp.iter().map(|relay| relay.listen).collect();
            let udp: Vec<_> = proxy.udp.iter().map(|relay| relay.listen).collect();
            let tls = (proxy.https.clone(), proxy.http3.clone());
            (proxy.http.clone(), tls, tcp, udp, proxy.workers)
        })
    };
    let access_log = |node: &Node| node.proxy.as_ref().and_then(|proxy| proxy.access_log.clone());
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
        (access_log(old) != access_log(new), "proxy.access_log"),
        (admin(old) != admin(new), "[admin]"),
        (log(old) != log(new), "[log]"),
        (old.cluster != new.cluster, "[cluster]"),
        (old.telemetry != new.telemetry, "[telemetry]"),
        (old.webhooks != new.webhooks, "[webhook]"),
        (old.state != new.state, "node.state"),
        (old.resolvers != new.resolvers, "node.resolvers"),
        (old.probe.is_some() != new.probe.is_some(), "the role [probe]"),
    ] {
        if changed {
            warn!("{what} changed: this takes a restart, until then the old value holds");
        }
    }
}

pub(super) fn log_findings(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics.sorted() {
        match diagnostic.severity {
            Severity::Error => error!("{diagnostic}"),
            Severity::Warning => warn!("{diagnostic}"),
        }
    }
}
