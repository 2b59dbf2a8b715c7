//! One thread of the proxy: its listeners, its clients' connections and its own to endpoints.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::activity::{Activity, Order, Patience};
use super::connection;
use super::load::Loads;
use super::pool::Pool;
use super::seats::{NoSeat, Seats};
use super::shown::Tls;
use super::sockets::Listener;
use super::view::{Sources, View};
use crate::clock;
use crate::metrics::Metrics;
use crate::model::Proxy;
use crate::snapshot::Snapshot;

/// Often enough for a limit of a second, and no load with many thousand connections.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Sweeps between two looks at connections that wait for requests.
const SWEEPS_POOL: u32 = 8;
/// What a connection that is told to close gets to end in.
const CLOSING: Duration = Duration::from_millis(250);
/// After a failure to accept, which is mostly a want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all threads have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// What is served now.
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// What the process counts.
    pub(super) metrics: Arc<Metrics>,
    /// What the endpoints are doing.
    pub(super) loads: Loads,
    /// How many connections there are.
    pub(super) seats: Arc<Seats>,
    /// The role as it was at the start.
    pub(super) started: Proxy,
    /// How clients are spoken to over TLS.
    pub(super) tls: Tls,
    /// Ends all threads.
    pub(super) stop: CancellationToken,
}

/// One thread.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    /// Connections to endpoints that wait for a request.
    pub(super) pool: Pool,
    view: RefCell<Rc<View>>,
    started: Rc<Proxy>,
    random: RefCell<fastrand::Rng>,
    /// The connections of clients, bounded by the seats.
    open: RefCell<HashMap<u64, Arc<Activity>>>,
    next: Cell<u64>,
}

/// Runs a thread until it is told to stop, and its connections have ended or the drain is over.
pub(super) fn run(listeners: Vec<Listener>, shared: Arc<Shared>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let started = Rc::new(shared.started.clone());
        let worker = Rc::new(Worker {
            view: RefCell::new(Rc::new(View::empty(started.clone()))),
            pool: Pool::default(),
            started,
            random: RefCell::new(fastrand::Rng::new()),
            open: RefCell::default(),
            next: Cell::new(0),
            shared,
        });
        worker.serve(listeners).await
    })
}

impl Worker {
    async fn serve(self: Rc<Self>, listeners: Vec<Listener>) -> io::Result<()> {
        let mut acceptors = JoinSet::new();
        for listener in listeners {
            let socket = TcpListener::from_std(listener.socket)?;
            acceptors.spawn_local(self.clone().accept(socket, listener.secure));
        }
        let sweeper = spawn_local(self.clone().sweep());
        self.shared.stop.cancelled().await;
        // Who has connected may have asked: the acceptors take them in before they end.
        while acceptors.join_next().await.is_some() {}
        self.tell_all(Order::Finish);
        let _ = timeout(self.view().proxy.drain, self.emptied()).await;
        let left = self.open.borrow().len();
        if left > 0 {
            let closed = &self.shared.metrics.proxy.closed;
            closed.with_label_values(&["drain"]).inc_by(left as u64);
            self.tell_all(Order::Close);
            let _ = timeout(CLOSING, self.emptied()).await;
        }
        sweeper.abort();
        Ok(())
    }

    /// What the latest snapshot says.
    pub(super) fn view(&self) -> Rc<View> {
        let snapshot = self.shared.snapshot.load();
        let mut view = self.view.borrow_mut();
        if view.generation != snapshot.generation {
            let sources = Sources {
                metrics: &self.shared.metrics.proxy,
                loads: &self.shared.loads,
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

    /// Takes a connection among those that are swept; the number is for [`Worker::leave`].
    pub(super) fn enter(&self, activity: Arc<Activity>) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        self.open.borrow_mut().insert(number, activity);
        self.shared.metrics.proxy.connections.inc();
        number
    }

    /// A connection has ended.
    pub(super) fn leave(&self, number: u64) {
        if self.open.borrow_mut().remove(&number).is_some() {
            self.shared.metrics.proxy.connections.dec();
        }
    }

    async fn accept(self: Rc<Self>, listener: TcpListener, secure: bool) {
        let stop = self.shared.stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                // What waits to be accepted comes before the end.
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, secure),
                Err(error) => {
                    warn!(%error, "cannot accept a connection of a client");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, secure: bool) {
        let client = peer.ip().to_canonical();
        let proxy = self.view().proxy.clone();
        match self.shared.seats.take(client, &proxy) {
            Ok(seat) => {
                let worker = self.clone();
                spawn_local(connection::serve(worker, stream, (client, secure), seat));
            }
            Err(why) => {
                let reason = match why {
                    NoSeat::Full => "full",
                    NoSeat::ClientFull => "client_full",
                };
                debug!(%peer, reason, "a connection is not taken");
                self.shared.metrics.proxy.closed.with_label_values(&[reason]).inc();
            }
        }
    }

    /// Looks at all connections again and again, and closes what is overdue.
    async fn sweep(self: Rc<Self>) {
        let mut ticks = interval(SWEEP_EVERY);
        let mut rounds = 0_u32;
        loop {
            ticks.tick().await;
            let now = clock::now();
            let view = self.view();
            let limits = &view.proxy.limits;
            let patience = Patience { header: limits.header_timeout, idle: limits.idle };
            for activity in self.open.borrow().values() {
                if let Some(overdue) = activity.overdue(patience, now)
                    && activity.order() != Order::Close
                {
                    let closed = &self.shared.metrics.proxy.closed;
                    closed.with_label_values(&[overdue.as_str()]).inc();
                    activity.tell(Order::Close);
                }
            }
            rounds += 1;
            if rounds.is_multiple_of(SWEEPS_POOL) {
                self.pool.sweep(now);
                self.shared.loads.sweep(&self.shared.metrics.proxy);
            }
        }
    }

    fn tell_all(&self, order: Order) {
        for activity in self.open.borrow().values() {
            activity.tell(order);
        }
    }

    /// Waits until no connection is left.
    async fn emptied(&self) {
        while !self.open.borrow().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    }
}
