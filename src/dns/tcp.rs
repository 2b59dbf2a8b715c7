//! DNS over TCP (RFC 7766): listeners, and the life of the server around its connections.
//!
//! Replies are ready at once, so those to pipelined queries leave in the order of the queries;
//! nothing is ever behind a slow one. Limits: connections in all and for each client prefix (the
//! one that has waited longest makes room), time to the first query, between queries, for one
//! message and for one write, and octets waiting to be written.

mod clients;
mod connection;
mod frames;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::clients::Clients;
use self::connection::Connection;
use super::counters::{Counters, WorkerCounters};
use super::draws::Draws;
use super::query_log::QueryLog;
use super::transfer::Sender;
use crate::clock;
use crate::snapshot::Snapshot;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;
/// Octets the kernel keeps for a client that does not read, before it is our memory that waits.
const KERNEL_BUFFER: usize = 128 << 10;
/// Octets of replies that all connections together may have waiting.
const PENDING_MAX: usize = 32 << 20;
/// Rest when there are no file descriptors left: accepting at once would fail again.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Connections that still write this long after the start of a shutdown are cut.
const SHUTDOWN_TIME: Duration = Duration::from_secs(1);

/// Bounds of TCP service.
#[derive(Clone, Copy, Debug)]
pub struct TcpLimits {
    /// Most connections at a time.
    pub clients: usize,
    /// A connection without a query for this long is closed.
    pub idle: Duration,
}

/// Bound TCP sockets that nobody serves yet.
#[derive(Debug)]
pub struct TcpSockets {
    listeners: Vec<StdListener>,
    addresses: Vec<SocketAddr>,
}

/// A running TCP service.
#[derive(Debug)]
pub struct TcpServer {
    stop: CancellationToken,
    tasks: TaskTracker,
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
}

/// What all connections use.
#[derive(Debug)]
struct Shared {
    snapshot: Arc<ArcSwap<Snapshot>>,
    totals: Arc<Counters>,
    counters: Arc<WorkerCounters>,
    log: Option<QueryLog>,
    draws: Draws,
    clients: Arc<Clients>,
    idle: Duration,
    /// Octets of replies that wait to be written.
    pending: AtomicUsize,
    /// Zone transfers.
    sender: Sender,
}

impl TcpSockets {
    /// Binds a socket to each address.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn bind(listen: &[SocketAddr]) -> io::Result<Self> {
        let mut sockets = Self { listeners: Vec::new(), addresses: Vec::new() };
        for address in listen {
            let (listener, bound) = listener(*address).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on `{address}` (TCP): {error}"))
            })?;
            sockets.listeners.push(listener);
            sockets.addresses.push(bound);
        }
        Ok(sockets)
    }

    /// The bound addresses, in the order asked for, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Starts to accept, in the runtime of the caller.
    ///
    /// # Errors
    /// When a socket cannot be handed to the runtime.
    pub fn serve(
        self,
        limits: TcpLimits,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        counters: &Arc<Counters>,
    ) -> io::Result<TcpServer> {
        let shared = Arc::new(Shared {
            snapshot: snapshot.clone(),
            totals: counters.clone(),
            counters: counters.worker(true),
            log: counters.log.clone(),
            draws: Draws::default(),
            clients: Arc::new(Clients::new(limits.clients)),
            idle: limits.idle,
            pending: AtomicUsize::new(0),
            sender: Sender::new(counters.clone()),
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let listeners: Vec<TcpListener> =
            self.listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?;
        for listener in listeners {
            let acceptor = Acceptor {
                listener,
                shared: shared.clone(),
                stop: stop.clone(),
                tasks: tasks.clone(),
            };
            tasks.spawn(acceptor.run());
        }
        Ok(TcpServer { stop, tasks, shared, addresses: self.addresses })
    }
}

impl TcpServer {
    /// The bound addresses, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers what has been received, closes all connections and stops.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_TIME, self.tasks.wait()).await.is_err() {
            self.shared.clients.close_all();
            self.tasks.wait().await;
        }
    }
}

/// Accepts the connections of one listener.
struct Acceptor {
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Acceptor {
    async fn run(self) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer),
                    Err(error) => self.failed(&error).await,
                },
            }
        }
        // Those who have connected may have asked. Past the runtime, which may not know of them.
        for _ in 0..BACKLOG {
            let Ok((socket, peer)) = SockRef::from(&self.listener).accept() else { break };
            let peer = peer.as_socket();
            let stream =
                socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket.into()));
            if let (Ok(stream), Some(peer)) = (stream, peer) {
                self.admit(stream, peer);
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let (seat, evicted) = self.shared.clients.admit(peer.ip(), clock::now());
        let totals = &self.shared.totals.tcp;
        totals.evicted.fetch_add(evicted, Ordering::Relaxed);
        totals.open.fetch_add(1, Ordering::Relaxed);
        let shared = self.shared.clone();
        let connection = Connection::new(stream, peer, seat, shared.clone());
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            connection.run(stop).await;
            shared.totals.tcp.open.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn failed(&self, error: &io::Error) {
        self.shared.totals.tcp.accept_errors.fetch_add(1, Ordering::Relaxed);
        let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
        if error.raw_os_error().is_some_and(|code| exhausted.contains(&code)) {
            let evicted = self.shared.clients.evict();
            self.shared.totals.tcp.evicted.fetch_add(evicted, Ordering::Relaxed);
            tokio::time::sleep(ACCEPT_REST).await;
        }
        // All other errors are of the one connection that did not come about (accept(2)).
    }
}

fn listener(address: SocketAddr) -> io::Result<(StdListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = StdListener::from(socket);
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}
