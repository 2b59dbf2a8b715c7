//! What all connections of one transport share: the snapshot, the counters, the bounds.

use std::cell::RefCell;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clients::{Clients, Seat};
use super::counters::{ConnectionCounters, Counters, WorkerCounters};
use super::draws::{Draws, Random};
use super::engine::{self, Facts, MESSAGE_MAX, Peer, Reply, Transport};
use super::query_log::QueryLog;
use super::transfer::Sender;
use crate::clock;
use crate::snapshot::Snapshot;

/// Longest for a handshake, until the first octet of the first query, from the first octet of a
/// message to its last, and for one write to a client, where the idle time is not shorter. RFC
/// 7766 section 6.2.3 speaks of a few seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets of replies that a client may leave unread before his queries on further streams of a
/// connection are refused.
const UNREAD_MAX: usize = 256 << 10;
/// Connections that still write this long after the start of a shutdown are cut.
const SHUTDOWN_TIME: Duration = Duration::from_secs(1);

/// At a shutdown, time in which the runtime hears of what has come before.
pub(super) const DRAIN_TIME: Duration = Duration::from_millis(50);

thread_local! {
    /// Where replies are built: one for each thread of the runtime, not for each connection.
    static REPLY: RefCell<Vec<u8>> = RefCell::new(vec![0; MESSAGE_MAX]);
}

/// Bounds of a transport that has connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at a time.
    pub clients: usize,
    /// A connection older than this is closed between two queries.
    pub life: Duration,
}

impl Limits {
    /// A connection may last an hour: no client needs longer, and none stays for ever with the
    /// certificate and the server it once found.
    pub const LIFE: Duration = Duration::from_secs(3600);
}

/// What all connections of one transport share.
#[derive(Debug)]
pub(super) struct Hub {
    pub transport: Transport,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub connections: Arc<ConnectionCounters>,
    pub counters: Arc<WorkerCounters>,
    log: Option<QueryLog>,
    /// Zone transfers.
    pub sender: Sender,
    draws: Draws,
    pub clients: Arc<Clients>,
    pub life: Duration,
    /// Cancelled when the service is to end.
    pub stop: CancellationToken,
    /// Leaves connections that come to another process.
    pub left: CancellationToken,
    /// Everything that runs for the transport.
    pub tasks: TaskTracker,
}

/// Whoever asks over a connection, for each of his queries.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub address: SocketAddr,
    pub seat: Arc<Seat>,
    pub hub: Arc<Hub>,
}

/// A query was lost to a panic, which is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panicked;

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered<T> {
    /// This was made of its reply.
    Reply(T),
    /// It has none.
    Nothing,
    /// It is to be answered with a zone.
    Transfer,
}

impl<T> Answered<T> {
    /// What was made of the one reply, where there is one.
    pub(super) fn reply(self) -> Option<T> {
        match self {
            Self::Reply(reply) => Some(reply),
            Self::Nothing | Self::Transfer => None,
        }
    }
}

impl Hub {
    pub(super) fn new(
        transport: Transport,
        limits: Limits,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        counters: &Arc<Counters>,
    ) -> Arc<Self> {
        let connections = counters.connections(transport);
        Arc::new(Self {
            transport,
            snapshot: snapshot.clone(),
            connections: connections.clone(),
            counters: counters.worker(true),
            log: counters.log.clone(),
            sender: Sender::new(counters.clone()),
            draws: Draws::default(),
            clients: Arc::new(Clients::new(limits.clients, connections)),
            life: limits.life,
            stop: CancellationToken::new(),
            left: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// A connection without a query for this long is closed.
    pub(super) fn idle(&self) -> Duration {
        self.snapshot.load().options.tcp_idle
    }

    /// Longest for what a client has begun.
    pub(super) fn patience(&self) -> Duration {
        self.idle().min(PATIENCE)
    }

    /// Whether connections from this address begin with a PROXY header.
    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        let proxies = &self.snapshot.load().options.proxy_protocol;
        proxies.iter().any(|prefix| prefix.contains(peer))
    }

    /// Ends when the server has been told to stop, and has had time to read what came before.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(DRAIN_TIME).await;
    }

    /// Answers a query; `take` gets the reply, if there is one.
    pub(super) fn answer<T>(
        &self,
        query: &[u8],
        client: SocketAddr,
        take: impl FnOnce(&[u8], &Facts) -> T,
    ) -> Result<Answered<T>, Panicked> {
        let unix_seconds = clock::unix_seconds() as u32;
        let peer = Peer { address: client, transport: self.transport, unix_seconds };
        let snapshot = self.snapshot.load();
        let random = Random::shared(fastrand::u64(..), &self.draws, unix_seconds);
        let log = self.log.as_ref().filter(|log| log.takes(fastrand::f64()));
        let answered = catch_unwind(AssertUnwindSafe(|| {
            REPLY.with_borrow_mut(|out| {
                let answer = engine::answer(&snapshot, query, peer, random, out);
                let reply = match answer.reply {
                    Reply::Length(length) => out.get(..length),
                    Reply::Drop | Reply::Transfer => None,
                };
                if let Some(log) = log {
                    log.offer(client, self.transport, query, reply.unwrap_or_default(), &answer);
                }
                (answer, reply.map(|reply| take(reply, &answer.facts)))
            })
        }));
        let Ok((answer, taken)) = answered else {
            self.counters.panicked();
            return Err(Panicked);
        };
        self.counters.answered(self.transport, &answer);
        snapshot.notified(&answer.facts.notified);
        Ok(match taken {
            Some(taken) => Answered::Reply(taken),
            None if answer.reply == Reply::Transfer => Answered::Transfer,
            None => Answered::Nothing,
        })
    }

    /// Answers what has been received, closes all connections and ends all tasks.
    pub(super) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_TIME, self.tasks.wait()).await.is_err() {
            self.clients.close_all();
            self.tasks.wait().await;
        }
    }
}

impl Client {
    /// Counts that the client was too slow.
    pub(super) fn late(&self) {
        self.hub.connections.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether he asks on without reading what he got; when replies take much memory, all of it.
    pub(super) fn is_greedy(&self) -> bool {
        self.seat.waiting() > if self.seat.is_tight() { 0 } else { UNREAD_MAX }
    }
}

/// The output of a future that is ready at once; `None`: it is not, and is dropped.
pub(super) async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
