//! Bound sockets of a transport with connections, which nobody serves yet.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Socket, Type};

use super::engine::Transport;
use crate::handed::Handed;
use crate::listening::{local, not_bound};

/// One socket for each address.
#[derive(Debug)]
pub struct Bound<S> {
    pub(super) transport: Transport,
    pub(super) sockets: Vec<S>,
    pub(super) addresses: Vec<SocketAddr>,
}

impl<S: From<Socket> + AsFd> Bound<S> {
    /// Takes what was handed over for each address, or opens a socket.
    pub(super) fn over(
        handed: &mut Handed,
        (transport, kind): (Transport, Type),
        listen: &[SocketAddr],
        open: impl Fn(SocketAddr) -> io::Result<Socket>,
    ) -> io::Result<Self> {
        let (mut sockets, mut addresses) = (Vec::new(), Vec::new());
        for address in listen {
            let failed = |error| not_bound(*address, transport.title(), &error);
            let own = handed.take(kind, *address).pop();
            let socket = own.map_or_else(|| open(*address), Ok).map_err(failed)?;
            addresses.push(local(&socket).map_err(failed)?);
            sockets.push(socket.into());
        }
        Ok(Self { transport, sockets, addresses })
    }

    /// Second handles on all sockets, to be handed over.
    ///
    /// # Errors
    /// When file descriptors run out.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(|socket| socket.as_fd().try_clone_to_owned()).collect()
    }

    /// The bound addresses, in the order asked for, with their true ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}
