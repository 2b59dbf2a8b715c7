//! The listening sockets of relays.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Socket, Type};

use crate::listening::unbound;

/// Kernel buffers hold a burst while the thread is at something else; more than the system's limit
/// is cut down by it.
const KERNEL_BUFFER: usize = 1 << 20;

/// The listening sockets of one thread, each with the address that names its relay.
#[derive(Debug, Default)]
pub(in crate::proxy) struct RelaySockets {
    /// Those of TCP.
    pub(in crate::proxy) tcp: Vec<(TcpListener, SocketAddr)>,
    /// Those of UDP.
    pub(in crate::proxy) udp: Vec<(UdpSocket, SocketAddr)>,
}

impl RelaySockets {
    /// A second handle on each.
    pub(in crate::proxy) fn try_clone(&self) -> io::Result<Self> {
        let tcp = self.tcp.iter().map(|(socket, at)| Ok((socket.try_clone()?, *at)));
        let udp = self.udp.iter().map(|(socket, at)| Ok((socket.try_clone()?, *at)));
        Ok(Self { tcp: tcp.collect::<io::Result<_>>()?, udp: udp.collect::<io::Result<_>>()? })
    }
}

/// Binds a socket of UDP, which shares its address with others of this process if `share` is set.
pub(in crate::proxy) fn datagrams(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = unbound(Type::DGRAM, address)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
