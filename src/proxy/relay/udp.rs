//! A relay of UDP in one thread: datagrams to endpoints, and their replies back.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::rc::Rc;
use std::time::Duration;

use prometheus::{IntCounter, IntGauge};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::task::spawn_local;
use tokio::time::{interval, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::face::{Face, Received};
use super::flows::Flows;
use super::table::UdpView;
use crate::clock::{self, Tick};
use crate::metrics::ProxyMetrics;
use crate::proxy::balance::Key;
use crate::proxy::failure::Failure;
use crate::proxy::load::InFlight;
use crate::proxy::worker::Worker;

/// Often enough for flows that live for seconds.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Rest after an unexpected failure to receive, so that a broken socket does not take the core.
const FAILURE_REST: Duration = Duration::from_millis(10);
/// At the end, time for replies to what was passed on.
const FAREWELL: Duration = Duration::from_secs(2);
/// Between two looks at whether they have come.
const FAREWELL_STEP: Duration = Duration::from_millis(20);
/// Datagrams that are passed on after the end was told: what a kernel buffer holds.
const ARRIVED_MAX: usize = 4_096;
/// Endpoints that one datagram is tried with.
const TRIES: usize = 3;

/// Whom a flow is with: the client, and the address of ours that it knows.
type Client = (SocketAddr, Option<IpAddr>);

/// A relay in one thread.
#[derive(Debug)]
pub(in crate::proxy) struct UdpTask {
    worker: Rc<Worker>,
    listen: SocketAddr,
    face: Face,
    flows: RefCell<Flows<Client, Flow>>,
    /// Threads among which flows are divided.
    threads: usize,
    counters: Counters,
    /// Flows as the metric knows them.
    counted: Cell<i64>,
    /// The snapshot that flows were last compared with.
    generation: Cell<u64>,
}

/// What it counts, found once.
#[derive(Debug)]
struct Counters {
    flows: IntGauge,
    received: IntCounter,
    sent: IntCounter,
    dropped: IntCounter,
}

impl Counters {
    fn new(metrics: &ProxyMetrics, relay: &str) -> Self {
        let datagrams = |result| metrics.relays.datagrams.with_label_values(&[relay, result]);
        Self {
            flows: metrics.relays.flows.with_label_values(&[relay]),
            received: datagrams("received"),
            sent: datagrams("sent"),
            dropped: datagrams("dropped"),
        }
    }
}

/// A client and its endpoint.
#[derive(Debug)]
struct Flow {
    socket: Rc<UdpSocket>,
    address: SocketAddr,
    last: Rc<Cell<Tick>>,
    /// Whether the last datagram was the client's.
    waits: Rc<Cell<bool>>,
    /// Whether the endpoint has refused a datagram.
    refused: Rc<Cell<bool>>,
    _in_flight: InFlight,
    _replies: AbortOnDropHandle<()>,
}

impl UdpTask {
    /// A relay over this socket, in one of so many threads.
    pub(in crate::proxy) fn new(
        worker: Rc<Worker>,
        (socket, listen): (StdSocket, SocketAddr),
        threads: usize,
    ) -> io::Result<Rc<Self>> {
        let started = worker.shared.started.udp.iter().find(|relay| relay.listen == listen);
        // Whatever becomes of it in the files.
        let name = started.map_or("", |relay| relay.name()).to_owned();
        Ok(Rc::new(Self {
            counters: Counters::new(&worker.shared.metrics.proxy, &name),
            worker,
            listen,
            face: Face::new(socket)?,
            flows: RefCell::default(),
            threads,
            counted: Cell::new(0),
            generation: Cell::new(0),
        }))
    }

    /// Passes datagrams on until the thread stops, and replies a little longer.
    pub(in crate::proxy) async fn run(self: Rc<Self>) {
        let stop = self.worker.shared.stop.clone();
        let mut sweeps = interval(SWEEP_EVERY);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            tokio::select! {
                received = self.face.receive(&mut buffer) => match received {
                    Ok(received) => self.pass(&buffer, received),
                    Err(error) => {
                        debug!(listen = %self.listen, %error, "cannot receive a datagram");
                        sleep(FAILURE_REST).await;
                    }
                },
                () = stop.cancelled() => break,
                _ = sweeps.tick() => self.sweep(),
            }
            // A flood must not starve the clock.
            tokio::task::consume_budget().await;
        }
        for _ in 0..ARRIVED_MAX {
            let Ok(received) = self.face.try_receive(&mut buffer) else { break };
            self.pass(&buffer, received);
        }
        let end = clock::now() + FAREWELL.min(self.worker.view().proxy.drain);
        while clock::now() < end && self.flows.borrow().any(|flow| flow.waits.get()) {
            sleep(FAREWELL_STEP).await;
        }
        self.flows.borrow_mut().retain(|_| false);
        self.count();
    }

    /// Passes a client's datagram on to its endpoint.
    fn pass(self: &Rc<Self>, buffer: &[u8], received: Received) {
        let Some(octets) = buffer.get(..received.length) else { return };
        let view = self.worker.view();
        let Some(relay) = view.relays.udp(self.listen).cloned() else { return };
        if self.generation.replace(view.generation) != view.generation {
            self.follow(&relay);
        }
        let client = (received.client, received.to);
        let mut tried: Vec<SocketAddr> = Vec::new();
        while tried.len() < TRIES {
            if let Some(flow) = self.flows.borrow().find(&client) {
                // Not by the runtime, which knows of no room before it has looked.
                let sent = if flow.refused.get() {
                    Err(ErrorKind::ConnectionRefused.into())
                } else {
                    SockRef::from(&*flow.socket).send(octets)
                };
                match sent {
                    Ok(_) => {
                        flow.last.set(clock::now());
                        flow.waits.set(true);
                        relay.route.counters.received.inc_by(octets.len() as u64);
                        self.counters.received.inc();
                        return;
                    }
                    // Nobody listens there, as the datagram before has shown.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                        tried.push(flow.address);
                    }
                    Err(_) => break,
                }
            }
            if !self.open(client, &relay, &tried) {
                break;
            }
        }
        self.counters.dropped.inc();
    }

    /// Begins a flow with an endpoint that is none of `tried`.
    fn open(self: &Rc<Self>, client: Client, relay: &UdpView, tried: &[SocketAddr]) -> bool {
        let key = Key::client(client.0.ip());
        let (route, at) = (&relay.route, (clock::now(), self.worker.random()));
        let found = route.pick(tried, key, at, false);
        let opened = match found.or_else(|_| route.pick(tried, key, at, true)) {
            Err(no_place) => Err(Failure::from(no_place)),
            Ok(place) => match connected(place.address) {
                Ok(socket) => Ok((Rc::new(socket), place)),
                Err(error) => {
                    debug!(endpoint = %place.address, %error, "cannot begin a flow");
                    Err(Failure::Connect)
                }
            },
        };
        let (socket, place) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                let failures = &self.worker.shared.metrics.proxy.failures;
                failures.with_label_values(&[relay.relay.name(), failure.cause()]).inc();
                self.flows.borrow_mut().remove(&client);
                return false;
            }
        };
        let last = Rc::new(Cell::new(clock::now()));
        let (waits, refused) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let replies = Replies {
            task: self.clone(),
            client,
            socket: socket.clone(),
            last: last.clone(),
            waits: waits.clone(),
            refused: refused.clone(),
        };
        let flow = Flow {
            socket,
            address: place.address,
            last: last.clone(),
            waits,
            refused,
            _in_flight: InFlight::new(place.load.clone()),
            _replies: AbortOnDropHandle::new(spawn_local(replies.run())),
        };
        let most = relay.relay.flows.div_ceil(self.threads);
        let gone = self.flows.borrow_mut().insert(client, (flow, last), most);
        drop(gone);
        self.count();
        true
    }

    /// Ends the flows whose endpoint is down or gone.
    fn follow(&self, relay: &UdpView) {
        let places = &relay.route.places;
        let is_there = |flow: &Flow| places.iter().any(|place| place.address == flow.address);
        self.flows.borrow_mut().retain(is_there);
    }

    fn sweep(&self) {
        let view = self.worker.view();
        let mut flows = self.flows.borrow_mut();
        match view.relays.udp(self.listen) {
            Some(relay) => flows.sweep(relay.route.route.timeouts.idle, clock::now()),
            None => flows.retain(|_| false),
        }
        drop(flows);
        if let Some(relay) = view.relays.udp(self.listen)
            && self.generation.replace(view.generation) != view.generation
        {
            self.follow(relay);
        }
        self.count();
    }

    fn count(&self) {
        let now = i64::try_from(self.flows.borrow().len()).unwrap_or(i64::MAX);
        let before = self.counted.replace(now);
        self.counters.flows.add(now - before);
    }
}

/// What brings an endpoint's datagrams to one client.
struct Replies {
    task: Rc<UdpTask>,
    client: Client,
    socket: Rc<UdpSocket>,
    last: Rc<Cell<Tick>>,
    waits: Rc<Cell<bool>>,
    refused: Rc<Cell<bool>>,
}

impl Replies {
    async fn run(self) {
        let (client, from) = self.client;
        let worker = self.task.worker.clone();
        loop {
            if self.socket.readable().await.is_err() {
                return;
            }
            let view = worker.view();
            let Some(relay) = view.relays.udp(self.task.listen) else { return };
            let mut scratch = worker.scratch.borrow_mut();
            match self.socket.try_recv(&mut scratch) {
                Ok(length) => {
                    let octets = scratch.get(..length).unwrap_or_default();
                    let sent = self.task.face.send(octets, client, from);
                    self.last.set(clock::now());
                    self.waits.set(false);
                    let counters = &self.task.counters;
                    if sent.is_ok() {
                        counters.sent.inc();
                    } else {
                        counters.dropped.inc();
                    }
                    relay.route.counters.sent.inc_by(octets.len() as u64);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The endpoint refuses; whatever the client sends next goes to another one.
                Err(_) => {
                    self.refused.set(true);
                    self.waits.set(false);
                }
            }
        }
    }
}

/// A socket from which an endpoint is spoken to, and no one else heard.
fn connected(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match endpoint {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = StdSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(endpoint)?;
    UdpSocket::from_std(socket)
}
