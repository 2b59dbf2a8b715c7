//! Listening sockets that another process has handed over, until they are listened on again.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Socket, Type};

/// Sockets by what they are bound to. Each that nobody takes is closed in the end.
#[derive(Debug, Default)]
pub struct Handed {
    sockets: Vec<(Type, SocketAddr, Socket)>,
}

impl Handed {
    /// The sockets behind these descriptors; what is bound to no IP address is closed.
    pub fn new(descriptors: Vec<OwnedFd>) -> Self {
        let known = |descriptor| {
            let socket = Socket::from(descriptor);
            let at = socket.local_addr().ok()?.as_socket()?;
            Some((socket.r#type().ok()?, at, socket))
        };
        Self { sockets: descriptors.into_iter().filter_map(known).collect() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// All sockets of this kind at an address, in the order in which they came.
    pub fn take(&mut self, kind: Type, at: SocketAddr) -> Vec<Socket> {
        let is_it = |(own, bound, _): &mut (Type, SocketAddr, Socket)| *own == kind && *bound == at;
        self.sockets.extract_if(.., is_it).map(|(_, _, socket)| socket).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sockets_are_found_by_kind_and_address_once() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(at).unwrap();
        let other = UnixStream::pair().unwrap().0;
        let again = tcp.try_clone().unwrap();
        let mut handed = Handed::new(vec![other.into(), tcp.into(), udp.into(), again.into()]);
        assert_eq!(handed.sockets.len(), 3);
        let elsewhere = SocketAddr::new(at.ip(), at.port() ^ 1);
        assert!(handed.take(Type::STREAM, elsewhere).is_empty());
        assert_eq!(handed.take(Type::STREAM, at).len(), 2);
        assert!(handed.take(Type::STREAM, at).is_empty());
        assert_eq!(handed.take(Type::DGRAM, at).len(), 1);
    }
}
