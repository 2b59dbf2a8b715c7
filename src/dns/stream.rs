//! DNS over TCP (RFC 7766), TLS (RFC 7858) and HTTPS (RFC 8484): listeners, and what becomes of a
//! connection.
//!
//! Replies are ready at once, so those to pipelined queries leave in the order of the queries;
//! nothing is ever behind a slow one. Limits: connections in all and for each client prefix (the
//! one that has waited longest makes room), time for the handshake, to the first query, between
//! queries, for one message, for one write and in all, and octets waiting to be written.

mod connection;
mod frames;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::{ProtocolVersion, ServerConfig};
use socket2::{SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::connection::Connection;
use super::bound::Bound;
use super::certificates::server_config;
use super::clients::Seat;
use super::counters::Counters;
use super::engine::Transport;
use super::http2;
use super::hub::{Client, Hub, Limits};
use crate::clock;
use crate::handed::Handed;
use crate::listening::unbound;
use crate::proxy_header::{self, Ends};
use crate::snapshot::Snapshot;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;
/// Octets the kernel keeps for a client that does not read, before it is our memory that waits.
const KERNEL_BUFFER: usize = 128 << 10;
/// Octets that TLS keeps encrypted for a client that does not read: one record.
const TLS_BUFFER: usize = 16 << 10;
/// Rest when there are no file descriptors left: accepting at once would fail again.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Bound sockets of DNS over TCP, TLS or HTTPS.
pub type StreamSockets = Bound<StdListener>;

/// A running service.
#[derive(Debug)]
pub struct StreamServer {
    hub: Arc<Hub>,
    addresses: Vec<SocketAddr>,
}

impl StreamSockets {
    /// Binds a socket for DNS over TCP to each address.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn tcp(listen: &[SocketAddr]) -> io::Result<Self> {
        Self::bind_over(&mut Handed::default(), Transport::Tcp, listen)
    }

    /// Binds a socket for DNS over TLS to each address.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn tls(listen: &[SocketAddr]) -> io::Result<Self> {
        Self::bind_over(&mut Handed::default(), Transport::Tls, listen)
    }

    /// Binds a socket for DNS over HTTPS to each address.
    ///
    /// # Errors
    /// With the address that could not be bound in the message.
    pub fn https(listen: &[SocketAddr]) -> io::Result<Self> {
        Self::bind_over(&mut Handed::default(), Transport::Https, listen)
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
        Self::over(handed, (transport, Type::STREAM), listen, listening)
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
    ) -> io::Result<StreamServer> {
        let hub = Hub::new(self.transport, limits, snapshot, counters);
        let tls = match self.transport {
            Transport::Tls => Some(tls_config(snapshot, "dot")?),
            Transport::Https => Some(tls_config(snapshot, "h2")?),
            _ => None,
        };
        let listeners: Vec<TcpListener> =
            self.sockets.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?;
        for listener in listeners {
            let acceptor = Acceptor { listener, tls: tls.clone(), hub: hub.clone() };
            hub.tasks.spawn(acceptor.run());
        }
        Ok(StreamServer { hub, addresses: self.addresses })
    }
}

impl StreamServer {
    /// What is served.
    pub fn transport(&self) -> Transport {
        self.hub.transport
    }

    /// The bound addresses, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Leaves connections that come to the process that listens on the same sockets.
    pub fn leave_listeners(&self) {
        self.hub.left.cancel();
    }

    /// Answers what has been received, closes all connections and stops.
    pub async fn shutdown(self) {
        self.hub.shutdown().await;
    }
}

fn tls_config(snapshot: &Arc<ArcSwap<Snapshot>>, protocol: &str) -> io::Result<TlsAcceptor> {
    // RFC 9325 section 3.1.1: TLS 1.2 and 1.3, nothing older.
    let config: ServerConfig = server_config(snapshot, protocol, rustls::ALL_VERSIONS)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts the connections of one listener.
struct Acceptor {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    hub: Arc<Hub>,
}

impl Acceptor {
    async fn run(self) {
        loop {
            tokio::select! {
                biased;
                () = self.hub.left.cancelled() => return,
                () = self.hub.stop.cancelled() => break,
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
        let client = Some(peer.ip()).filter(|peer| !self.hub.is_proxy(*peer));
        let seat = self.hub.clients.admit(client, clock::now());
        let (hub, tls) = (self.hub.clone(), self.tls.clone());
        self.hub.tasks.spawn(serve(stream, peer, tls, seat, hub));
    }

    async fn failed(&self, error: &io::Error) {
        self.hub.connections.accept_errors.fetch_add(1, Ordering::Relaxed);
        let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
        if error.raw_os_error().is_some_and(|code| exhausted.contains(&code)) {
            self.hub.clients.evict();
            tokio::time::sleep(ACCEPT_REST).await;
        }
        // All other errors are of the one connection that did not come about (accept(2)).
    }
}

/// Serves a connection to its end.
async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    seat: Arc<Seat>,
    hub: Arc<Hub>,
) {
    // Replies are whole messages; there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let client = client_of(&mut stream, peer, &seat, &hub);
    let Some(address) = client.await else { return };
    match tls {
        None => Connection::new(stream, address, seat, hub, true).run().await,
        Some(tls) => {
            let Some(stream) = handshake(stream, &tls, &seat, &hub).await else { return };
            if hub.transport == Transport::Https {
                http2::serve(stream, Client { address, seat, hub }).await;
            } else {
                // RFC 9103 section 7.1: zones travel in TLS 1.3 alone.
                let version = stream.get_ref().1.protocol_version();
                let transfers = version == Some(ProtocolVersion::TLSv1_3);
                Connection::new(stream, address, seat, hub, transfers).run().await;
            }
        }
    }
}

/// The client at the other end: whoever connected, or whom a listed proxy speaks for. `None`: the
/// proxy did not say, which is counted.
async fn client_of(
    stream: &mut TcpStream,
    peer: SocketAddr,
    seat: &Seat,
    hub: &Hub,
) -> Option<SocketAddr> {
    if !hub.is_proxy(peer.ip()) {
        return Some(peer);
    }
    let header = tokio::select! {
        biased;
        () = seat.closed() => return None,
        header = timeout(hub.patience(), proxy_header::receive(stream)) => header,
        () = hub.stopped() => return None,
    };
    match header {
        Ok(Ok(client)) => {
            let client = client.map_or(peer, |Ends { source, .. }| source);
            seat.belongs_to(client.ip());
            Some(client)
        }
        Ok(Err(_)) => {
            hub.connections.refused_headers.fetch_add(1, Ordering::Relaxed);
            None
        }
        Err(_) => {
            hub.connections.timed_out.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Waits for the handshake of a client; `None`: there was none, which is counted.
async fn handshake(
    stream: TcpStream,
    tls: &TlsAcceptor,
    seat: &Seat,
    hub: &Hub,
) -> Option<TlsStream<TcpStream>> {
    let handshake = tls.accept_with(stream, |session| session.set_buffer_limit(Some(TLS_BUFFER)));
    // Kept until it is counted, as is the stream of one that failed: what the client sees of the
    // end has been counted.
    let mut handshake = pin!(handshake.into_fallible());
    let result = tokio::select! {
        biased;
        () = seat.closed() => return None,
        // Whoever has not come so far has not asked anything.
        () = hub.stop.cancelled() => return None,
        result = timeout(hub.patience(), &mut handshake) => result,
    };
    match result {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(_failed)) => {
            hub.connections.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            None
        }
        Err(_) => {
            hub.connections.timed_out.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// A listening socket: one of our own, or a new one.
fn listening(address: SocketAddr) -> io::Result<Socket> {
    let socket = unbound(Type::STREAM, address)?;
    // A restart must not wait for the connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}
