//! One thread of the proxy: its listeners, its clients' connections and its own to endpoints.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinSet, spawn_local, yield_now};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::access_log::AccessLog;
use super::activity::{Activity, Order, Overdue, Patience};
use super::cache::Shelves;
use super::compress::Compressions;
use super::connection;
use super::crew::{Arrival, Crew, Entrance, Mailbox};
use super::http3::{Quic, QuicLimits};
use super::pool::Pool;
use super::rates::Rates;
use super::relay::{RelaySockets, UdpTask, serve_connection};
use super::seats::Seats;
use super::shown::Tls;
use super::sockets::Listener;
use super::traces::Traces;
use super::unread::{PARTS, Unread};
use super::view::{Sources, View};
use super::witness::Witness;
use crate::clock;
use crate::metrics::Metrics;
use crate::model::Proxy;
use crate::snapshot::Snapshot;

/// Often enough for a limit of a second, and no load with many thousand connections.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// A client that has asked for nothing for so long mostly goes on to do so.
const REST_AFTER: Duration = Duration::from_millis(500);
/// Sweeps between two looks at connections that wait for requests.
const SWEEPS_POOL: u32 = 8;
/// Connections that are measured between two sweeps.
const MEASURED_MAX: u32 = 100;
/// What a connection that is told to close gets to end in.
const CLOSING: Duration = Duration::from_millis(250);
/// After a failure to accept, which is mostly a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Octets that go through a relay at a time: the longest datagram, and as much as is worth one
/// system call.
const SCRATCH: usize = 64 << 10;

/// What all threads have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// What is served now.
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// What the process counts.
    pub(super) metrics: Arc<Metrics>,
    /// What the endpoints are doing.
    pub(super) witness: Arc<Witness>,
    /// How many requests the same keys have made.
    pub(super) rates: Rates,
    /// What they said.
    pub(super) shelves: Arc<Shelves>,
    /// How many connections there are.
    pub(super) seats: Arc<Seats>,
    /// Who of the threads has how many of them.
    pub(super) crew: Crew,
    /// The role as it was at the start.
    pub(super) started: Proxy,
    /// How many threads there are.
    pub(super) threads: usize,
    /// How clients are spoken to over TLS.
    pub(super) tls: Tls,
    /// What sockets of QUIC have in common.
    pub(super) quic: QuicLimits,
    /// Where else clients over TLS are served (RFC 7838); `None`: nowhere.
    pub(super) alternative: Option<HeaderValue>,
    /// Where requests are written down; `None`: nowhere.
    pub(super) access_log: Option<Arc<AccessLog>>,
    /// Where spans of requests go; `None`: nowhere.
    pub(super) traces: Option<Arc<Traces>>,
    /// Ends the taking of connections.
    pub(super) stop: CancellationToken,
    /// Ends connections that ask for nothing, too.
    pub(super) ending: CancellationToken,
}

/// The sockets of one thread: of HTTP, of relays, of HTTP/3.
pub(super) type Listeners = ((Vec<Listener>, RelaySockets), Vec<UdpSocket>);

/// One thread.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    /// Connections to endpoints that wait for a request.
    pub(super) pool: Pool,
    /// Bodies that are compressed now.
    pub(super) compressions: Compressions,
    view: RefCell<Rc<View>>,
    started: Rc<Proxy>,
    random: RefCell<fastrand::Rng>,
    /// The connections of clients, bounded by the seats.
    open: RefCell<HashMap<u64, Arc<Activity>>>,
    next: Cell<u64>,
    /// Connections that may still be measured before the next sweep.
    pub(super) measurable: Arc<AtomicU32>,
    /// Connections that were taken in and are not in `open` yet.
    arriving: Cell<usize>,
    /// Handshakes of QUIC that are under way.
    shaking: Cell<usize>,
    /// As that of all threads; this one's may come earlier.
    pub(super) ending: CancellationToken,
    /// Whether clients are to connect anew.
    pub(super) retiring: Cell<bool>,
    /// For octets on their way through a relay, within one look at a socket.
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// Its place among the threads; the first looks after what all of them share.
    number: usize,
    /// Connections of clients that it has.
    held: IntGauge,
    /// Tunnels that are open, on this thread.
    pub(super) tunnels: Cell<usize>,
    /// Ends tunnels, at the end of a drain.
    pub(super) closing: CancellationToken,
}

/// Runs a thread until it is told to stop, and its connections have ended or the drain is over.
pub(super) fn run(
    sockets: Listeners,
    shared: Arc<Shared>,
    (number, mailbox): (usize, &mut Mailbox),
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let started = Rc::new(shared.started.clone());
        let worker = Rc::new(Worker {
            view: RefCell::new(Rc::new(View::empty(started.clone()))),
            pool: Pool::default(),
            compressions: Compressions::default(),
            started,
            random: RefCell::new(fastrand::Rng::new()),
            open: RefCell::default(),
            next: Cell::new(0),
            measurable: Arc::new(AtomicU32::new(MEASURED_MAX)),
            arriving: Cell::new(0),
            shaking: Cell::new(0),
            ending: shared.ending.child_token(),
            retiring: Cell::new(false),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            number,
            held: shared.metrics.proxy.held.with_label_values(&[&number.to_string()]),
            tunnels: Cell::new(0),
            closing: CancellationToken::new(),
            shared,
        });
        worker.count();
        worker.serve(sockets, mailbox).await
    })
}

/// A handshake of QUIC that is under way, until it is dropped.
pub(super) struct Shaking(Rc<Worker>);

impl Drop for Shaking {
    fn drop(&mut self) {
        self.0.shaking.set(self.0.shaking.get() - 1);
    }
}

impl Worker {
    async fn serve(
        self: Rc<Self>,
        ((listeners, relays), quic): Listeners,
        mailbox: &mut Mailbox,
    ) -> io::Result<()> {
        let mut acceptors = JoinSet::new();
        let mut listening = Vec::new();
        for socket in quic {
            let quic = Quic::open(self.clone(), socket)?;
            listening.push(quic.listening());
            acceptors.spawn_local(quic.run());
        }
        for listener in listeners {
            let socket = TcpListener::from_std(listener.socket)?;
            let entrance = Entrance::Http { secure: listener.secure };
            acceptors.spawn_local(self.clone().accept(socket, entrance));
        }
        for (socket, listen) in relays.tcp {
            let (socket, entrance) = (TcpListener::from_std(socket)?, Entrance::Relay(listen));
            acceptors.spawn_local(self.clone().accept(socket, entrance));
        }
        let mut datagrams = JoinSet::new();
        for socket in relays.udp {
            let task = UdpTask::new(self.clone(), socket, self.shared.threads)?;
            datagrams.spawn_local(task.run());
        }
        let sweeper = spawn_local(self.clone().sweep());
        self.take_handed(mailbox).await;
        // Who has connected may have asked: the acceptors take them in before they end.
        while acceptors.join_next().await.is_some() {}
        // What was accepted last has not begun yet.
        while self.arriving.get() > 0 {
            yield_now().await;
        }
        let mut drain = self.view().proxy.drain;
        if !self.shared.ending.is_cancelled() {
            self.retire(drain).await;
            drain = CLOSING;
        }
        self.tell_all(Order::Finish);
        let _ = timeout(drain, self.emptied()).await;
        let left = self.open.borrow().len();
        if left > 0 {
            let closed = &self.shared.metrics.proxy.closed;
            closed.with_label_values(&["drain"]).inc_by(left as u64);
            // Clients of tunnels are told before all connections break.
            self.closing.cancel();
            let _ = timeout(CLOSING, self.untunnelled()).await;
            self.tell_all(Order::Close);
            let _ = timeout(CLOSING, self.emptied()).await;
        }
        while datagrams.join_next().await.is_some() {}
        for listening in listening {
            listening.ended(CLOSING).await;
        }
        sweeper.abort();
        Ok(())
    }

    /// Lets connections go on for so long, and has each end with its next reply, so that none is
    /// closed while its client asks.
    async fn retire(&self, drain: Duration) {
        self.retiring.set(true);
        for activity in self.open.borrow().values().filter(|activity| activity.is_multiplexed()) {
            // HTTP/2 says which requests are still answered.
            activity.tell(Order::Finish);
        }
        let _ = timeout(drain, self.emptied()).await;
        self.ending.cancel();
    }

    /// What the latest snapshot says.
    pub(super) fn view(&self) -> Rc<View> {
        let snapshot = self.shared.snapshot.load();
        let mut view = self.view.borrow_mut();
        if view.generation != snapshot.generation {
            let sources = Sources {
                metrics: &self.shared.metrics,
                witness: &self.shared.witness,
                shelves: &self.shared.shelves,
                started: &self.started,
            };
            *view = Rc::new(view.follow(&snapshot, &sources, self.random()));
        }
        view.clone()
    }

    /// A random number.
    pub(super) fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    /// A random number of twice the length.
    pub(super) fn long_random(&self) -> u128 {
        self.random.borrow_mut().u128(..)
    }

    /// A random number from 0 to 1, which is not reached.
    pub(super) fn random_share(&self) -> f64 {
        self.random.borrow_mut().f64()
    }

    /// A handshake of QUIC has begun; it ends when what is given is dropped.
    pub(super) fn shakes(self: &Rc<Self>) -> Shaking {
        self.shaking.set(self.shaking.get() + 1);
        Shaking(self.clone())
    }

    /// A connection has come that is about to [enter](Worker::enter).
    pub(super) fn arrives(&self) {
        self.arriving.set(self.arriving.get() + 1);
    }

    /// Takes a connection among those that are swept; the number is for [`Worker::leave`].
    pub(super) fn enter(&self, activity: Arc<Activity>) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        self.arriving.set(self.arriving.get().saturating_sub(1));
        self.open.borrow_mut().insert(number, activity);
        self.shared.metrics.proxy.connections.inc();
        self.count();
        number
    }

    /// A connection has ended.
    pub(super) fn leave(&self, number: u64) {
        if self.open.borrow_mut().remove(&number).is_some() {
            self.shared.metrics.proxy.connections.dec();
            self.count();
        }
    }

    /// Tells how many connections there are.
    fn count(&self) {
        let open = self.open.borrow().len();
        self.held.set(open.try_into().unwrap_or(i64::MAX));
        self.shared.crew.has(self.number, open + self.arriving.get());
    }

    /// Takes in what other threads hand on, until the end.
    async fn take_handed(self: &Rc<Self>, mailbox: &mut Mailbox) {
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => break,
                Some(arrival) = mailbox.recv() => self.take_back(arrival),
            }
        }
        // From now on everyone keeps what comes; what was handed on before is taken in.
        mailbox.close();
        while let Some(arrival) = mailbox.recv().await {
            self.take_back(arrival);
        }
    }

    /// Takes in a connection that is with no thread.
    fn take_back(self: &Rc<Self>, arrival: Arrival<std::net::TcpStream>) {
        match arrival.over(TcpStream::from_std) {
            Ok(arrival) => self.take(arrival),
            Err(error) => warn!(%error, "a connection of a client is lost"),
        }
    }

    /// Serves a connection from now on.
    fn take(self: &Rc<Self>, arrival: Arrival<TcpStream>) {
        let Arrival { stream, peer, entrance, announced, seat } = arrival;
        let worker = self.clone();
        self.arrives();
        self.count();
        match entrance {
            Entrance::Http { secure } => {
                spawn_local(connection::serve(worker, stream, (peer, secure, announced), seat));
            }
            Entrance::Relay(listen) => {
                spawn_local(serve_connection(worker, stream, (peer, listen), seat));
            }
        }
    }

    /// Takes a connection, or hands it to a thread that has far fewer.
    fn take_or_hand(self: &Rc<Self>, arrival: Arrival<TcpStream>) {
        let Some(to) = self.shared.crew.other(self.number) else { return self.take(arrival) };
        match arrival.over(TcpStream::into_std).map(|arrival| self.shared.crew.hand(to, arrival)) {
            Ok(Ok(())) => self.shared.metrics.proxy.handed.inc(),
            Ok(Err(arrival)) => self.take_back(arrival),
            Err(error) => warn!(%error, "a connection of a client is lost"),
        }
    }

    async fn accept(self: Rc<Self>, listener: TcpListener, entrance: Entrance) {
        let stop = self.shared.stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                // What waits to be accepted comes before the end.
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, entrance),
                Err(error) => {
                    warn!(%error, "cannot accept a connection of a client");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, entrance: Entrance) {
        let client = peer.ip().to_canonical();
        let proxy = self.view().proxy.clone();
        let announced = matches!(entrance, Entrance::Http { .. }) && proxy.announces(client);
        match self.shared.seats.take((!announced).then_some(client), &proxy) {
            Ok(seat) => self.take_or_hand(Arrival { stream, peer, entrance, announced, seat }),
            Err(why) => {
                let reason = why.as_str();
                debug!(%peer, reason, "a connection is not taken");
                self.shared.metrics.proxy.closed.with_label_values(&[reason]).inc();
            }
        }
    }

    /// Looks at all connections again and again, and closes what is overdue.
    async fn sweep(self: Rc<Self>) {
        let mut ticks = interval(SWEEP_EVERY);
        let (mut rounds, mut turned) = (0_u32, clock::now());
        loop {
            ticks.tick().await;
            self.measurable.store(MEASURED_MAX, Ordering::Relaxed);
            let now = clock::now();
            let view = self.view();
            let limits = &view.proxy.limits;
            let patience = Patience { header: limits.header_timeout, idle: limits.idle };
            let turns = now.since(turned) >= limits.idle / PARTS;
            if turns {
                turned = now;
            }
            for activity in self.open.borrow().values() {
                let stale = || turns && activity.unread().is_some_and(Unread::turn);
                let overdue = activity.overdue(patience, now);
                if let Some(overdue) = overdue.or_else(|| stale().then_some(Overdue::Stalled))
                    && activity.order() != Order::Close
                {
                    let closed = &self.shared.metrics.proxy.closed;
                    closed.with_label_values(&[overdue.as_str()]).inc();
                    activity.tell(Order::Close);
                } else if activity.order() == Order::Serve && activity.is_quiet(REST_AFTER, now) {
                    activity.tell(Order::Rest);
                }
            }
            rounds += 1;
            if !rounds.is_multiple_of(SWEEPS_POOL) {
                continue;
            }
            self.pool.sweep(now);
            if self.number == 0 {
                self.shared.witness.loads.sweep(&self.shared.metrics.proxy);
                self.shared.shelves.sweep(&self.shared.metrics.proxy);
            }
        }
    }

    fn tell_all(&self, order: Order) {
        for activity in self.open.borrow().values() {
            activity.tell(order);
        }
    }

    /// Waits until no tunnel is left.
    async fn untunnelled(&self) {
        while self.tunnels.get() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until no connection is left.
    async fn emptied(&self) {
        while self.shaking.get() > 0 || !self.open.borrow().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    }
}
