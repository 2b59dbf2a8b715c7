//! A node that serves: until it is told to stop, or a successor has taken its place.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::handover::Successor;
use super::listeners::Servers;
use super::node::{Request, Signals, tell_systemd};
use super::reloader::Reloader;
use super::tasks::Tasks;
use crate::admin::Phase;
use crate::cli::watch::Watch;
use crate::durable;
use crate::proxy::ProxyServer;
use crate::snapshot::Loaded;

/// Scrapes under way get this long to end.
const ADMIN_DRAIN: Duration = Duration::from_secs(2);

/// All that runs.
pub(super) struct Running {
    pub(super) servers: Option<Servers>,
    pub(super) proxy: Option<ProxyServer>,
    pub(super) tasks: Tasks,
    pub(super) admin: Option<JoinHandle<io::Result<()>>>,
    pub(super) stop: CancellationToken,
    pub(super) phase: watch::Sender<Phase>,
    /// Second handles on all listening sockets.
    pub(super) sockets: Sockets,
}

/// What a successor is given, or why there can be none.
pub(super) type Sockets = Result<Vec<OwnedFd>, &'static str>;

impl Running {
    /// Serves until a signal ends the process, or another has taken over.
    pub(super) async fn run(
        mut self,
        mut reloader: Reloader<'_>,
        mut current: Arc<Loaded>,
        mut watch: Watch,
        mut signals: Signals,
    ) {
        loop {
            tokio::select! {
                request = signals.next() => {
                    if request == Request::End {
                        return self.end().await;
                    }
                    let taken = tokio::select! {
                        taken = hand_over(&self.sockets) => taken,
                        () = signals.received() => return self.end().await,
                    };
                    match taken {
                        Ok(process) => return self.retire(process).await,
                        Err(why) => error!("not handed over, this process serves on: {why}"),
                    }
                }
                task = self.tasks.ended() => {
                    self.phase.send_replace(Phase::Crippled(task));
                }
                () = watch.changed() => {
                    let (loaded, paths) = reloader.again(current).await;
                    current = loaded;
                    if let Err(error) = watch.follow(&paths) {
                        warn!(%error, "the kernel does not tell of changes in a folder");
                    }
                }
            }
        }
    }

    /// Answers what has arrived, and stops.
    pub(super) async fn end(self) {
        info!("stopping: answering what has arrived");
        tell_systemd(sd_notify::NotifyState::Stopping);
        self.phase.send_replace(Phase::Stopping);
        drop(self.sockets);
        // Names are answered for as long as the proxy drains.
        if let Some(proxy) = self.proxy {
            proxy.shutdown().await;
        }
        if let Some(servers) = self.servers {
            servers.shutdown().await;
        }
        self.stop.cancel();
        self.tasks.join().await;
        if let Some(admin) = self.admin {
            let _ = tokio::time::timeout(ADMIN_DRAIN, admin).await;
        }
        info!("stopped");
    }

    /// Answers what this process has accepted, while its successor takes what comes.
    async fn retire(self, successor: u32) {
        info!(process = successor, "handed over: answering what has arrived");
        tell_systemd(sd_notify::NotifyState::MainPid(successor));
        self.phase.send_replace(Phase::Stopping);
        drop(self.sockets);
        // Nobody is to hear of two nodes of one name.
        self.stop.cancel();
        let dns = async {
            if let Some(servers) = self.servers {
                servers.retire().await;
            }
        };
        let proxy = async {
            if let Some(proxy) = self.proxy {
                proxy.retire().await;
            }
        };
        tokio::join!(dns, proxy, self.tasks.join());
        if let Some(admin) = self.admin {
            let _ = tokio::time::timeout(ADMIN_DRAIN, admin).await;
        }
        info!("stopped");
    }
}

/// Has a new process take over; gives its number.
async fn hand_over(sockets: &Sockets) -> Result<u32, String> {
    let sockets = sockets.as_ref().map_err(|why| (*why).to_owned())?;
    info!("starting a new process to hand over to");
    let copies = sockets.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>();
    let copies = copies.map_err(|error| format!("cannot copy the listeners: {error}"))?;
    let successor = Successor::start(copies).await?;
    let released = Released::new();
    let process = successor.take_over().await?;
    released.for_good();
    Ok(process)
}

/// The state folder is another process's for as long as this is there.
struct Released(bool);

impl Released {
    fn new() -> Self {
        durable::release(true);
        Self(false)
    }

    fn for_good(mut self) {
        self.0 = true;
    }
}

impl Drop for Released {
    fn drop(&mut self) {
        if !self.0 {
            durable::release(false);
        }
    }
}
