//! A socket of QUIC: handshakes and their limits.
//!
//! Who begins a handshake may have forged his address. So few of those that are not proven may be
//! under way at a time; beyond that an address must first prove that it can hear us, and whoever
//! has done so has a seat like any other client.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use h3::error::Code;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    AsyncUdpSocket, Connecting, Endpoint, EndpointConfig, Incoming, Runtime, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tracing::debug;

use super::super::seats::Seat;
use super::super::worker::Worker;
use super::{connection, stay};
use crate::model::ProxyLimits;

/// Handshakes at a time, for each thread, before an address must prove itself (RFC 9000 section
/// 8.1.2).
const HANDSHAKES_EASY: usize = 100;
/// Handshakes that wait to be looked at.
const HANDSHAKES_WAITING: usize = 1_000;
/// Requests of a connection at a time: as many as RFC 9114 section 6.1 advises at least.
const STREAMS: u32 = 100;
/// Streams of control that HTTP/3 has (RFC 9114 section 6.2), and some that have no meaning.
const STREAMS_CONTROL: u32 = 8;
/// Octets of a request that may come before they are read.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same of all requests of a connection.
const WINDOW: u32 = 1 << 20;
/// Octets of replies that a client may leave unacknowledged.
const SEND_WINDOW: u64 = 1 << 20;
/// How much later than our own the idle timeout of QUIC comes.
const IDLE_GRACE: Duration = Duration::from_secs(1);
/// A quiet client is asked whether it is there, as over HTTP/2; its idle time goes by requests.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(20);

/// What all sockets of QUIC have in common.
#[derive(Clone)]
pub(in crate::proxy) struct QuicLimits {
    /// With the key of stateless resets: a client whose address changes may come to another thread,
    /// which tells it so that it need not find out (RFC 9000 section 10.3).
    shared: EndpointConfig,
}

impl QuicLimits {
    /// Those of this process.
    pub(in crate::proxy) fn new() -> Self {
        Self { shared: EndpointConfig::default() }
    }
}

impl std::fmt::Debug for QuicLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QuicLimits")
    }
}

/// A socket that clients are met at.
pub(in crate::proxy) struct Quic {
    worker: Rc<Worker>,
    endpoint: Endpoint,
    socket: Arc<dyn AsyncUdpSocket>,
    local: SocketAddr,
    clients: Rc<Clients>,
}

/// Clients that connect or are connected, with the addresses of both ends.
#[derive(Default)]
struct Clients {
    known: RefCell<HashMap<u64, (SocketAddr, SocketAddr)>>,
    next: Cell<u64>,
    /// Handshakes under way of addresses that may be forged.
    unproven: Cell<usize>,
}

/// A client among [`Clients`], until it is dropped.
struct Known {
    clients: Rc<Clients>,
    number: u64,
}

/// A handshake of an address that may be forged, likewise.
struct Unproven(Rc<Clients>);

/// What is left of a socket when nobody is met at it any more.
pub(in crate::proxy) struct Listening(Endpoint);

impl Listening {
    /// Waits until clients have heard that their connections ended, for so long at most.
    pub(in crate::proxy) async fn ended(self, patience: Duration) {
        if self.0.open_connections() > 0 {
            // Clients that have gone do not hold up the end.
            let _ = timeout(patience, self.0.wait_idle()).await;
        }
    }
}

impl Quic {
    /// Begins to meet clients at a socket.
    pub(in crate::proxy) fn open(worker: Rc<Worker>, socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let runtime = Arc::new(TokioRuntime);
        let socket = runtime.wrap_udp_socket(socket)?;
        let shared = worker.shared.quic.shared.clone();
        let config = config(worker.shared.tls.quic(&worker.view().proxy)?);
        let endpoint =
            Endpoint::new_with_abstract_socket(shared, Some(config), socket.clone(), runtime)?;
        Ok(Self { worker, endpoint, socket, local, clients: Rc::default() })
    }

    /// A hold on it for its end.
    pub(in crate::proxy) fn listening(&self) -> Listening {
        Listening(self.endpoint.clone())
    }

    /// Meets clients until the thread is told to stop.
    pub(in crate::proxy) async fn run(self) {
        let stop = self.worker.shared.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.meet(incoming),
                    None => return,
                },
            }
        }
        if self.worker.shared.ending.is_cancelled() {
            self.endpoint.set_server_config(None);
        } else {
            self.leave().await;
        }
    }

    /// Leaves the socket to another process, but for the clients that are met already.
    async fn leave(&self) {
        // What this process has read, the next one does not see.
        loop {
            tokio::select! {
                biased;
                Some(incoming) = self.endpoint.accept() => self.meet(incoming),
                () = ready(()) => break,
            }
        }
        self.endpoint.set_server_config(None);
        let clients = self.clients.known.borrow();
        if let Err(error) = stay::leave(&self.endpoint, &self.socket, clients.values().copied()) {
            debug!(%error, "connections of HTTP/3 lose their socket");
        }
    }

    /// Begins a handshake; never waits.
    fn meet(&self, incoming: Incoming) {
        let proven = incoming.remote_address_validated();
        if !proven && self.clients.unproven.get() >= HANDSHAKES_EASY {
            if incoming.may_retry() {
                // It fails for those that may not be asked again, which this one may.
                let _ = incoming.retry();
            } else {
                incoming.refuse();
            }
            return;
        }
        let (worker, address) = (self.worker.clone(), incoming.remote_address());
        let seat = proven.then(|| take_seat(&worker, address)).transpose();
        let Ok(seat) = seat else { return incoming.refuse() };
        let proxy = worker.view().proxy.clone();
        let Ok(tls) = worker.shared.tls.quic(&proxy) else { return incoming.refuse() };
        let mut config = config(tls);
        config.transport_config(Arc::new(bounds(&proxy.limits)));
        let local = incoming.local_ip().map_or(self.local, |ip| (ip, self.local.port()).into());
        let Ok(connecting) = incoming.accept_with(Arc::new(config)) else { return };
        let known = self.clients.enter((address, local));
        let shaking = worker.shakes();
        let unproven = seat.is_none().then(|| self.clients.unproven());
        spawn_local(async move {
            let shaken = tokio::select! {
                shaken = shake(connecting, proxy.limits.header_timeout) => shaken,
                // Nothing was asked yet.
                () = worker.ending.cancelled() => None,
            };
            drop(unproven);
            let Some(connection) = shaken else { return };
            if let Ok(seat) = seat.map_or_else(|| take_seat(&worker, address), Ok) {
                worker.arrives();
                drop(shaking);
                connection::serve(worker, connection, local, seat).await;
            } else {
                let code = VarInt::from_u64(Code::H3_EXCESSIVE_LOAD.value());
                connection.close(code.unwrap_or(VarInt::MAX), b"");
            }
            drop(known);
        });
    }
}

/// A seat for a client; the error is that there is none, which is counted.
fn take_seat(worker: &Worker, address: SocketAddr) -> Result<Seat, ()> {
    let client = address.ip().to_canonical();
    worker.shared.seats.take(Some(client), &worker.view().proxy).map_err(|why| {
        let reason = why.as_str();
        debug!(%client, reason, "a connection is not taken");
        worker.shared.metrics.proxy.closed.with_label_values(&[reason]).inc();
    })
}

/// Shakes hands with a client.
async fn shake(connecting: Connecting, patience: Duration) -> Option<quinn::Connection> {
    match timeout(patience, connecting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            debug!(%error, "a handshake of QUIC failed");
            None
        }
        Err(_) => {
            debug!("a handshake of QUIC took too long");
            None
        }
    }
}

impl Clients {
    fn enter(self: &Rc<Self>, ends: (SocketAddr, SocketAddr)) -> Known {
        let number = self.next.get();
        self.next.set(number + 1);
        self.known.borrow_mut().insert(number, ends);
        Known { clients: self.clone(), number }
    }

    fn unproven(self: &Rc<Self>) -> Unproven {
        self.unproven.set(self.unproven.get() + 1);
        Unproven(self.clone())
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.clients.known.borrow_mut().remove(&self.number);
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        self.0.unproven.set(self.0.unproven.get() - 1);
    }
}

/// How clients are met.
fn config(tls: Arc<QuicServerConfig>) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(tls);
    config
        .max_incoming(HANDSHAKES_WAITING)
        .incoming_buffer_size(16 << 10)
        .incoming_buffer_size_total(4 << 20);
    config
}

/// The bounds of a connection, which its client is told.
fn bounds(limits: &ProxyLimits) -> TransportConfig {
    let idle = VarInt::try_from((limits.idle + IDLE_GRACE).as_millis()).unwrap_or(VarInt::MAX);
    let mut bounds = TransportConfig::default();
    bounds
        .max_idle_timeout(Some(idle.into()))
        .keep_alive_interval(Some((limits.idle / 2).min(KEEP_ALIVE_MAX)))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_CONTROL))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None);
    bounds
}
