//! The proxy's listening sockets: one a thread at each address.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::available_parallelism;

use socket2::{Socket, Type};

use super::relay::{RelaySockets, datagrams};
use crate::handed::Handed;
use crate::listening::{local, not_bound, unbound};
use crate::model::Proxy;

/// Connections that wait to be accepted; the kernel's own limit is mostly lower.
const BACKLOG: i32 = 4_096;

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    /// Whether clients speak TLS.
    pub(super) secure: bool,
}

/// Open listeners that nobody answers yet.
#[derive(Debug)]
pub struct ProxySockets {
    /// Those of each thread, in the order of the addresses.
    pub(super) threads: Vec<Vec<Listener>>,
    /// Those of relays, likewise.
    pub(super) relays: Vec<RelaySockets>,
    /// Those of HTTP/3, likewise.
    pub(super) quic: Vec<Vec<UdpSocket>>,
    addresses: Vec<SocketAddr>,
}

impl ProxySockets {
    /// Opens the sockets of all threads: as many as the settings say, one per core for 0.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub fn bind(proxy: &Proxy) -> io::Result<Self> {
        Self::bind_over(&mut Handed::default(), proxy)
    }

    /// [`ProxySockets::bind`], but for sockets that were handed over: all of them, however many
    /// threads there are to be, since each may hold connections.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub fn bind_over(handed: &mut Handed, proxy: &Proxy) -> io::Result<Self> {
        let cores = || available_parallelism().map_or(1, std::num::NonZero::get);
        let count = if proxy.workers == 0 { cores() } else { proxy.workers };
        let mut threads: Vec<Vec<Listener>> = (0..count).map(|_| Vec::new()).collect();
        let mut relays: Vec<RelaySockets> =
            threads.iter().map(|_| RelaySockets::default()).collect();
        let mut addresses = Vec::new();
        let clear = proxy.http.iter().map(|address| (*address, false, "HTTP"));
        let all = clear.chain(proxy.https.iter().map(|address| (*address, true, "HTTPS")));
        for (address, secure, title) in all {
            let place = (address, title, STREAMS);
            addresses.push(spread(handed, place, &mut threads, |own, socket| {
                own.push(Listener { socket: socket.into(), secure });
            })?);
        }
        let mut quic: Vec<Vec<UdpSocket>> = threads.iter().map(|_| Vec::new()).collect();
        for address in &proxy.http3 {
            let place = (*address, "HTTP/3", DATAGRAMS);
            addresses.push(spread(handed, place, &mut quic, |own, socket| {
                own.push(socket.into());
            })?);
        }
        for at in proxy.tcp.iter().map(|relay| relay.listen) {
            addresses.push(spread(handed, (at, "TCP", STREAMS), &mut relays, |own, socket| {
                own.tcp.push((socket.into(), at));
            })?);
        }
        for at in proxy.udp.iter().map(|relay| relay.listen) {
            addresses.push(spread(handed, (at, "UDP", DATAGRAMS), &mut relays, |own, socket| {
                own.udp.push((socket.into(), at));
            })?);
        }
        Ok(Self { threads, relays, quic, addresses })
    }

    /// Second handles on all sockets, to be handed over.
    ///
    /// # Errors
    /// When file descriptors run out.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        let http = self.threads.iter().flatten().map(|one| one.socket.as_fd());
        let tcp = self.relays.iter().flat_map(|own| &own.tcp).map(|(socket, _)| socket.as_fd());
        let udp = self.relays.iter().flat_map(|own| &own.udp).map(|(socket, _)| socket.as_fd());
        let quic = self.quic.iter().flatten().map(AsFd::as_fd);
        http.chain(tcp).chain(udp).chain(quic).map(|socket| socket.try_clone_to_owned()).collect()
    }

    /// The bound addresses, in the order asked for, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// How a socket of some kind is opened: one that shares its address with others of this process if
/// the flag is set.
type Open = fn(SocketAddr, bool) -> io::Result<Socket>;

const STREAMS: (Type, Open) = (Type::STREAM, listening);
const DATAGRAMS: (Type, Open) = (Type::DGRAM, datagrams);

/// Gives each thread a socket at an address: those that were handed over, and new ones; returns the
/// bound address.
fn spread<T>(
    handed: &mut Handed,
    (address, title, (kind, open)): (SocketAddr, &str, (Type, Open)),
    threads: &mut [T],
    give: impl Fn(&mut T, Socket),
) -> io::Result<SocketAddr> {
    let failed = |error| not_bound(address, title, &error);
    let mut sockets = handed.take(kind, address);
    let mut bound = address;
    if sockets.is_empty() {
        // Sockets that share an address share it with any process of the same user. A second
        // server would silently take half of the connections, so look for a first one.
        bound = open(address, false).and_then(|socket| local(&socket)).map_err(failed)?;
    }
    while sockets.len() < threads.len() {
        sockets.push(open(bound, true).map_err(failed)?);
    }
    for (at_thread, socket) in (0..threads.len()).cycle().zip(sockets) {
        if let Some(own) = threads.get_mut(at_thread) {
            give(own, socket);
        }
    }
    Ok(bound)
}

/// A listening socket.
fn listening(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = open(address, share)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn open(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = unbound(Type::STREAM, address)?;
    // A restart must not wait for the last connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    // With SO_REUSEADDR alone a bound address is refused only to those who listen, too.
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::ProxyLimits;

    #[test]
    fn each_thread_has_a_socket_and_a_second_server_is_told() {
        let any = "127.0.0.1:0".parse().unwrap();
        let proxy = |http: SocketAddr, https: Option<SocketAddr>, workers| Proxy {
            http: vec![http],
            https: https.into_iter().collect(),
            http3: Vec::new(),
            tcp: Vec::new(),
            udp: Vec::new(),
            certificates: Arc::default(),
            acme: None,
            client_ca: None,
            workers,
            proxy_protocol: Vec::new(),
            trusted_proxies: Vec::new(),
            drain: Duration::ZERO,
            limits: limits(),
            access_log: None,
        };
        let settings = proxy(any, Some("[::1]:0".parse().unwrap()), 3);
        let sockets = ProxySockets::bind(&settings).unwrap();
        let counts =
            |sockets: &ProxySockets| sockets.threads.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(counts(&sockets), [2, 2, 2]);
        let taken = sockets.addresses()[0];
        assert_ne!(taken.port(), 0);
        let refused = ProxySockets::bind(&proxy(taken, None, 1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(refused.to_string().starts_with(&format!("cannot listen on `{taken}` (HTTP)")));
        // What is handed over is taken whole, however many threads there are.
        for (threads, expected) in [(2, vec![2, 1]), (4, vec![1; 4])] {
            let mut handed = Handed::new(sockets.descriptors().unwrap());
            let again = ProxySockets::bind_over(&mut handed, &proxy(taken, None, threads)).unwrap();
            assert_eq!(counts(&again), expected, "{threads} threads");
            assert_eq!(again.addresses(), [taken]);
        }
    }

    fn limits() -> ProxyLimits {
        ProxyLimits {
            connections: 1,
            per_client: 1,
            header_timeout: Duration::ZERO,
            idle: Duration::ZERO,
            headers: 100,
            header_size: 1024,
            target: 1024,
            body: None,
            body_rate: None,
        }
    }
}
