//! The proxy's threads: how they start and end together.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::load::Loads;
use super::shown::acceptor;
use super::sockets::{Listener, ProxySockets};
use super::worker::{self, Shared};
use crate::metrics::Metrics;
use crate::model::Proxy;
use crate::snapshot::Snapshot;

/// A running proxy.
#[derive(Debug)]
pub struct ProxyServer {
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    stop: CancellationToken,
}

impl ProxySockets {
    /// Starts to answer; `proxy` is the role at the start.
    ///
    /// # Errors
    /// When threads run out, or TLS cannot be set up.
    pub fn serve(
        self,
        proxy: &Proxy,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        metrics: &Arc<Metrics>,
    ) -> io::Result<ProxyServer> {
        let addresses = self.addresses().to_vec();
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            snapshot: snapshot.clone(),
            metrics: metrics.clone(),
            loads: Loads::default(),
            seats: Arc::default(),
            started: proxy.clone(),
            tls: acceptor(snapshot, proxy)?,
            stop: stop.clone(),
        });
        let start = |(number, listeners): (usize, Vec<Listener>)| {
            let shared = shared.clone();
            let thread = Builder::new().name(format!("proxy-{number}"));
            thread.spawn(move || keep_running(&listeners, &shared))
        };
        let threads = self.threads.into_iter().enumerate().map(start);
        let threads = threads.collect::<io::Result<_>>();
        if threads.is_err() {
            stop.cancel();
        }
        Ok(ProxyServer { threads: threads?, addresses, stop })
    }
}

/// Runs one thread; after a panic outside its connections, which each have their own, it begins
/// anew at the same sockets.
fn keep_running(listeners: &[Listener], shared: &Arc<Shared>) {
    loop {
        let run = || {
            let copy = |one: &Listener| {
                Ok(Listener { socket: one.socket.try_clone()?, secure: one.secure })
            };
            let own = listeners.iter().map(copy).collect::<io::Result<_>>()?;
            worker::run(own, shared.clone())
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                error!(%error, "a thread of the proxy has ended");
                return;
            }
            Err(_) if shared.stop.is_cancelled() => return,
            Err(_) => error!("a thread of the proxy begins anew after a panic"),
        }
    }
}

impl ProxyServer {
    /// The bound addresses, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no further connection, answers what has arrived, and ends when all is answered or the
    /// time to drain is over.
    pub async fn shutdown(self) {
        self.stop.cancel();
        let joined = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                // Its panics were caught and logged where they happened.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}
