//! The proxy's listening sockets: one a thread at each address.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::available_parallelism;

use socket2::{Domain, Protocol, Socket, Type};

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
    addresses: Vec<SocketAddr>,
}

impl ProxySockets {
    /// Opens the sockets of all threads at these addresses, the second of which are those of TLS;
    /// 0 threads: one per core.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub fn bind(http: &[SocketAddr], https: &[SocketAddr], threads: usize) -> io::Result<Self> {
        let cores = || available_parallelism().map_or(1, std::num::NonZero::get);
        let count = if threads == 0 { cores() } else { threads };
        let mut threads: Vec<Vec<Listener>> = (0..count).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        let clear = http.iter().map(|address| (address, false));
        for (address, secure) in clear.chain(https.iter().map(|address| (address, true))) {
            let failed = |error: io::Error| {
                let title = if secure { "HTTPS" } else { "HTTP" };
                let what = format!("cannot listen on `{address}` ({title}): {error}");
                io::Error::new(error.kind(), what)
            };
            // Sockets that share an address share it with any process of the same user. A second
            // server would silently take half of the connections, so look for a first one.
            let first = open(*address, false).map_err(failed)?;
            let bound = local(&first).map_err(failed)?;
            drop(first);
            for listeners in &mut threads {
                let socket = open(bound, true).map_err(failed)?;
                socket.listen(BACKLOG).map_err(failed)?;
                listeners.push(Listener { socket: socket.into(), secure });
            }
            addresses.push(bound);
        }
        Ok(Self { threads, addresses })
    }

    /// The bound addresses, in the order asked for, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

fn open(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the last connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if !share {
        // With SO_REUSEADDR alone a bound address is refused only to those who listen, too.
        socket.listen(1)?;
    }
    Ok(socket)
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a TCP socket without an IP address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_a_socket_and_a_second_server_is_told() {
        let any = "127.0.0.1:0".parse().unwrap();
        let sockets = ProxySockets::bind(&[any], &["[::1]:0".parse().unwrap()], 3).unwrap();
        assert_eq!(sockets.threads.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        let taken = sockets.addresses()[0];
        assert_ne!(taken.port(), 0);
        let refused = ProxySockets::bind(&[taken], &[], 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(refused.to_string().starts_with(&format!("cannot listen on `{taken}` (HTTP)")));
    }
}
