//! Sockets to listen on, before they are bound.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// A socket for an address; one for IPv6 takes nothing that comes by IPv4, which has its own.
///
/// # Errors
/// When the kernel has none.
pub fn unbound(kind: Type, address: SocketAddr) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// The address that a socket is bound to.
///
/// # Errors
/// When it has none of IP.
pub fn local(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a socket without an IP address"))
}

/// The error that an address cannot be listened on, of which `title` says for what.
pub fn not_bound(address: SocketAddr, title: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on `{address}` ({title}): {error}"))
}
