//! QUIC (RFC 9000) below DNS: sockets, handshakes and their limits.
//!
//! A handshake waits in a task of its own, so that those that never finish delay nobody. Their
//! number is bounded apart from that of connections, because the address of whoever begins one may
//! be forged; when many are under way, an address must first prove that it can hear us.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connecting, Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use socket2::{Socket, Type};
use tokio::time::timeout;

use super::bound::Bound;
use super::certificates::server_config;
use super::clients::Clients;
use super::counters::Counters;
use super::doq;
use super::engine::Transport;
use super::http3;
use super::hub::{Client, Hub, Limits};
use crate::clock;
use crate::handed::Handed;
use crate::listening::unbound;
use crate::snapshot::Snapshot;

/// Queries of a connection at a time: replies are ready at once, so the next may come after one
/// round trip; and each that waits for its client takes memory.
const STREAMS_MAX: u32 = 32;
/// The same for HTTP/3. RFC 9114 section 6.1 would have 100, for pages of many parts; a resolver
/// waits for few replies at a time, and what each stream takes counts when thousands of clients
/// leave theirs unread.
const HTTP3_REQUESTS_MAX: u32 = 32;
/// Octets of a query that may come before they are read.
const QUERY_WINDOW: u32 = 8 << 10;
/// Octets of replies that a client may leave unacknowledged; the library keeps copies of them, also
/// for a while after the connection was closed.
const SEND_WINDOW: u64 = 32 << 10;
/// Streams of control that HTTP/3 has (RFC 9114 section 6.2), and some that have no meaning.
const HTTP3_STREAMS_MAX: u32 = 8;
/// Handshakes at a time; beyond that the oldest makes room.
const HANDSHAKES_MAX: usize = 1000;
/// Handshakes at a time before an address must prove itself (RFC 9000 section 8.1.2).
const HANDSHAKES_EASY: usize = 100;
/// Octets the kernel keeps of datagrams that have come.
const KERNEL_BUFFER: usize = 1 << 20;
/// How much later than our own timers the idle timeout of QUIC comes: they tell the client why.
const IDLE_GRACE: Duration = Duration::from_secs(1);
/// At the end, time for clients to hear of it.
const FAREWELL: Duration = Duration::from_millis(300);

/// Bound sockets of DNS over QUIC or HTTP/3.
pub type QuicSockets = Bound<UdpSocket>;

/// A running service.
#[derive(Debug)]
pub struct QuicServer {
    hub: Arc<Hub>,
    endpoints: Vec<Endpoint>,
    addresses: Vec<SocketAddr>,
}

impl QuicSockets {
    /// Binds a socket for DNS over QUIC to each address.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn quic(listen: &[SocketAddr]) -> io::Result<Self> {
        Self::bind_over(&mut Handed::default(), Transport::Quic, listen)
    }

    /// Binds a socket for DNS over HTTP/3 to each address.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn http3(listen: &[SocketAddr]) -> io::Result<Self> {
        Self::bind_over(&mut Handed::default(), Transport::Http3, listen)
    }

    /// Binds a socket for this transport to each address, but for those that were handed over.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn bind_over(
        handed: &mut Handed,
        transport: Transport,
        listen: &[SocketAddr],
    ) -> io::Result<Self> {
        Self::over(handed, (transport, Type::DGRAM), listen, open)
    }

    /// Starts to accept, in the runtime of the caller.
    ///
    /// # Errors
    /// When a socket cannot be handed to the runtime, or TLS cannot be set up.
    pub fn serve(
        self,
        limits: Limits,
        snapshot: &Arc<ArcSwap<Snapshot>>,
        counters: &Arc<Counters>,
    ) -> io::Result<QuicServer> {
        let hub = Hub::new(self.transport, limits, snapshot, counters);
        let config = config(hub.transport, snapshot)?;
        let handshakes = Arc::new(Clients::new(HANDSHAKES_MAX, hub.connections.clone()));
        let mut endpoints = Vec::new();
        for socket in self.sockets {
            let (shared, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
            let endpoint = Endpoint::new(shared, Some(config.clone()), socket, runtime)?;
            let (hub, handshakes) = (hub.clone(), handshakes.clone());
            let acceptor = Acceptor {
                endpoint: endpoint.clone(),
                config: config.clone(),
                hub: hub.clone(),
                handshakes,
            };
            hub.tasks.spawn(acceptor.run());
            endpoints.push(endpoint);
        }
        Ok(QuicServer { hub, endpoints, addresses: self.addresses })
    }
}

impl QuicServer {
    /// What is served.
    pub fn transport(&self) -> Transport {
        self.hub.transport
    }

    /// The bound addresses, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers what has been received, closes all connections and stops.
    pub async fn shutdown(self) {
        for endpoint in &self.endpoints {
            // Whoever else has the socket meets those that come now; here they would be refused.
            endpoint.set_server_config(None);
        }
        self.hub.shutdown().await;
        for endpoint in &self.endpoints {
            endpoint.close(VarInt::from_u32(doq::NO_ERROR), b"");
            // Clients that have gone do not hold up the end.
            let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
        }
    }
}

/// Accepts the connections of one socket.
struct Acceptor {
    endpoint: Endpoint,
    config: ServerConfig,
    hub: Arc<Hub>,
    handshakes: Arc<Clients>,
}

impl Acceptor {
    async fn run(self) {
        loop {
            tokio::select! {
                biased;
                () = self.hub.stop.cancelled() => return,
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.meet(incoming),
                    None => return,
                },
            }
        }
    }

    /// Begins a handshake; never waits.
    fn meet(&self, incoming: Incoming) {
        let proven = incoming.remote_address_validated();
        if !proven && incoming.may_retry() && self.handshakes.count() >= HANDSHAKES_EASY {
            // It fails for those that may not be asked again, which this one may.
            let _ = incoming.retry();
            return;
        }
        let address = incoming.remote_address();
        let seat = self.handshakes.admit(Some(address.ip()), clock::now());
        let mut config = self.config.clone();
        config.transport_config(Arc::new(bounds(self.hub.transport, self.hub.idle())));
        let Ok(connecting) = incoming.accept_with(Arc::new(config)) else {
            self.hub.connections.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let hub = self.hub.clone();
        self.hub.tasks.spawn(async move {
            let connection = tokio::select! {
                biased;
                () = seat.closed() => None,
                () = hub.stop.cancelled() => None,
                connection = handshake(connecting, &hub) => connection,
            };
            drop(seat);
            if let Some(connection) = connection {
                serve(connection, address, hub).await;
            }
        });
    }
}

/// Waits for the handshake of a client; `None`: there was none, which is counted.
async fn handshake(connecting: Connecting, hub: &Hub) -> Option<Connection> {
    match timeout(hub.patience(), connecting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(_)) => {
            hub.connections.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            None
        }
        Err(_) => {
            hub.connections.timed_out.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Serves a connection to its end.
async fn serve(connection: Connection, address: SocketAddr, hub: Arc<Hub>) {
    let seat = hub.clients.admit(Some(address.ip()), clock::now());
    match hub.transport {
        Transport::Http3 => http3::serve(connection, Client { address, seat, hub }).await,
        _ => doq::serve(connection, Client { address, seat, hub }).await,
    }
}

/// How an endpoint meets clients of this transport.
fn config(transport: Transport, snapshot: &Arc<ArcSwap<Snapshot>>) -> io::Result<ServerConfig> {
    let protocol = if transport == Transport::Http3 { "h3" } else { "doq" };
    // RFC 9001 section 4.2: nothing older than TLS 1.3.
    let tls = server_config(snapshot, protocol, &[&rustls::version::TLS13])?;
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        // Handshakes wait in tasks of ours; these bound what comes before they begin.
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(16 << 10)
        .incoming_buffer_size_total(4 << 20);
    Ok(config)
}

/// The bounds of a connection, which its client is told.
fn bounds(transport: Transport, idle: Duration) -> TransportConfig {
    let (both_ways, one_way) = match transport {
        Transport::Http3 => (HTTP3_REQUESTS_MAX, HTTP3_STREAMS_MAX),
        // RFC 9250 section 4.2: queries come on streams of both directions alone.
        _ => (STREAMS_MAX, 0),
    };
    let idle = VarInt::try_from((idle + IDLE_GRACE).as_millis()).unwrap_or(VarInt::MAX);
    let mut bounds = TransportConfig::default();
    bounds
        .max_idle_timeout(Some(idle.into()))
        .max_concurrent_bidi_streams(VarInt::from_u32(both_ways))
        .max_concurrent_uni_streams(VarInt::from_u32(one_way))
        .stream_receive_window(VarInt::from_u32(QUERY_WINDOW))
        .receive_window(VarInt::from_u32(QUERY_WINDOW * 8))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None);
    bounds
}

/// A bound socket.
fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = unbound(Type::DGRAM, address)?;
    // The kernel may give less, which is no reason not to serve.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
