//! The proxy's threads: how they start and end together.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::access_log::{AccessLog, AccessLogWriter};
use super::cache::Shelves;
use super::crew::{Crew, Mailbox};
use super::http3::QuicLimits;
use super::rates::Rates;
use super::relay::count_from_zero;
use super::shown::Tls;
use super::sockets::{Listener, ProxySockets};
use super::traces::{SpanSender, Traces};
use super::witness::Witness;
use super::worker::{self, Listeners, Shared};
use crate::metrics::Metrics;
use crate::model::Proxy;
use crate::snapshot::Snapshot;

/// How long clients remember a listener of HTTP/3; one that is gone costs them a try.
const ALTERNATIVE_SECONDS: u32 = 86_400;

/// A running proxy.
#[derive(Debug)]
pub struct ProxyServer {
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    /// Ends after the threads, whose last words it writes.
    writer: Option<AccessLogWriter>,
    /// Likewise, of spans.
    sender: Option<SpanSender>,
    stop: CancellationToken,
    ending: CancellationToken,
}

impl ProxySockets {
    /// Starts to answer; `proxy` is the role at the start, replies are kept on `shelves`, and
    /// requests are told to `log` and `traces`.
    ///
    /// # Errors
    /// When threads run out, or TLS cannot be set up.
    pub fn serve(
        self,
        proxy: &Proxy,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        metrics: &Arc<Metrics>,
        (witness, shelves): (&Arc<Witness>, &Arc<Shelves>),
        log: Option<(Arc<AccessLog>, AccessLogWriter)>,
        traces: Option<(Arc<Traces>, SpanSender)>,
    ) -> io::Result<ProxyServer> {
        let addresses = self.addresses().to_vec();
        let ((access_log, writer), (traces, sender)) = (log.unzip(), traces.unzip());
        let (stop, ending) = (CancellationToken::new(), CancellationToken::new());
        let (crew, mailboxes) = Crew::new(self.threads.len());
        let shared = Arc::new(Shared {
            snapshot: snapshot.clone(),
            metrics: metrics.clone(),
            witness: witness.clone(),
            rates: Rates::default(),
            shelves: shelves.clone(),
            seats: Arc::default(),
            crew,
            started: proxy.clone(),
            threads: self.threads.len(),
            tls: Tls::new(snapshot, proxy)?,
            quic: QuicLimits::new(),
            alternative: alternative(&self.quic),
            access_log,
            traces,
            stop: stop.clone(),
            ending: ending.clone(),
        });
        for relay in &proxy.tcp {
            count_from_zero(&metrics.proxy, relay.name());
        }
        let start = |(number, (listeners, mailbox)): (usize, (Listeners, Mailbox))| {
            let shared = shared.clone();
            let thread = Builder::new().name(format!("proxy-{number}"));
            thread.spawn(move || keep_running(&listeners, &shared, number, mailbox))
        };
        let sockets = self.threads.into_iter().zip(self.relays).zip(self.quic);
        let threads = sockets.zip(mailboxes).enumerate().map(start);
        let threads = threads.collect::<io::Result<_>>();
        if threads.is_err() {
            stop.cancel();
        }
        Ok(ProxyServer { threads: threads?, addresses, writer, sender, stop, ending })
    }
}

/// What clients over TLS are told of listeners of HTTP/3 (RFC 7838 section 3): their ports.
fn alternative(quic: &[Vec<UdpSocket>]) -> Option<HeaderValue> {
    let ports = quic.first()?.iter().filter_map(|socket| Some(socket.local_addr().ok()?.port()));
    let mut known: Vec<String> = Vec::new();
    for port in ports {
        let entry = format!("h3=\":{port}\"; ma={ALTERNATIVE_SECONDS}");
        if !known.contains(&entry) {
            known.push(entry);
        }
    }
    let text = Some(known.join(", ")).filter(|text| !text.is_empty())?;
    HeaderValue::from_str(&text).ok()
}

/// Runs one thread; after a panic outside its connections, which each have their own, it begins
/// anew at the same sockets.
fn keep_running(
    ((listeners, relays), quic): &Listeners,
    shared: &Arc<Shared>,
    number: usize,
    mut mailbox: Mailbox,
) {
    loop {
        let mailbox = &mut mailbox;
        let run = || {
            let copy = |one: &Listener| {
                Ok(Listener { socket: one.socket.try_clone()?, secure: one.secure })
            };
            let own = listeners.iter().map(copy).collect::<io::Result<_>>()?;
            let quic = quic.iter().map(UdpSocket::try_clone).collect::<io::Result<_>>()?;
            let relays = relays.try_clone()?;
            worker::run(((own, relays), quic), shared.clone(), (number, mailbox))
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
        self.ending.cancel();
        self.retire().await;
    }

    /// Takes no further connection, since another process does; those that are there may ask once
    /// more within the time to drain, and are told to connect anew.
    pub async fn retire(self) {
        self.stop.cancel();
        let joined = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                // Its panics were caught and logged where they happened.
                let _ = thread.join();
            }
            if let Some(writer) = self.writer {
                writer.shutdown();
            }
        });
        let _ = joined.await;
        if let Some(sender) = self.sender {
            sender.end().await;
        }
    }
}
