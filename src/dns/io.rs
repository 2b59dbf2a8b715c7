//! How a worker's queries come in and its replies go out.

use std::io;
use std::net::SocketAddr;

use super::socket::{Batch, UdpSocket};
#[cfg(feature = "xdp")]
use super::xdp::Port;
use crate::model;

/// Queries in a batch; more gain nothing and fall out of the cache.
pub(super) const WIDTH: usize = 32;

/// One query of a batch, and where its reply goes.
pub(super) struct Exchange<'b> {
    pub query: &'b [u8],
    pub peer: SocketAddr,
    pub reply: &'b mut [u8],
    /// Length of the reply; 0: none.
    pub length: &'b mut usize,
}

/// Where the queries of one worker come from.
pub(super) enum Io {
    /// A socket, a batch with each system call.
    Mmsg { socket: UdpSocket, batch: Batch },
    /// A socket, one datagram with each system call.
    Single { socket: UdpSocket, batch: Batch },
    /// A queue of a network interface, past the sockets.
    #[cfg(feature = "xdp")]
    Xdp(Port),
}

impl Io {
    /// The way of `io` through this socket.
    pub(super) fn new(socket: UdpSocket, io: &model::Io) -> Self {
        let batch = Batch::new();
        match io {
            // The sockets that stand behind AF_XDP.
            model::Io::Mmsg | model::Io::Xdp { .. } => Self::Mmsg { socket, batch },
            model::Io::Single => Self::Single { socket, batch },
        }
    }

    /// Receives what is there; `wait`: waits for the first query, but not for ever.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came.
    pub(super) fn receive(&mut self, wait: bool) -> io::Result<usize> {
        match self {
            Self::Mmsg { socket, batch } => batch.receive(socket, wait),
            Self::Single { socket, batch } => batch.receive_one(socket, wait),
            #[cfg(feature = "xdp")]
            Self::Xdp(port) => port.receive(wait),
        }
    }

    /// The query `index` of those received last, with its reply; `None` beyond them and for one
    /// without an IP address.
    pub(super) fn exchange(&mut self, index: usize) -> Option<Exchange<'_>> {
        match self {
            Self::Mmsg { batch, .. } | Self::Single { batch, .. } => batch.exchange(index),
            #[cfg(feature = "xdp")]
            Self::Xdp(port) => port.exchange(index),
        }
    }

    /// Who sent the query `index` of those received last.
    pub(super) fn peer(&self, index: usize) -> Option<SocketAddr> {
        match self {
            Self::Mmsg { batch, .. } | Self::Single { batch, .. } => batch.peer(index),
            #[cfg(feature = "xdp")]
            Self::Xdp(port) => port.peer(index),
        }
    }

    /// The query `index` of those received last; empty beyond them.
    pub(super) fn query(&self, index: usize) -> &[u8] {
        match self {
            Self::Mmsg { batch, .. } | Self::Single { batch, .. } => batch.query(index),
            #[cfg(feature = "xdp")]
            Self::Xdp(port) => port.query(index),
        }
    }

    /// Sends the replies; returns how many could not be sent.
    pub(super) fn send(&mut self) -> usize {
        match self {
            Self::Mmsg { socket, batch } => batch.send(socket),
            Self::Single { socket, batch } => batch.send_one(socket),
            #[cfg(feature = "xdp")]
            Self::Xdp(port) => port.send(),
        }
    }

    /// Datagrams dropped since the last call that a kernel's socket would not have given.
    pub(super) fn refused(&mut self) -> u64 {
        match self {
            Self::Mmsg { .. } | Self::Single { .. } => 0,
            #[cfg(feature = "xdp")]
            Self::Xdp(port) => port.refused(),
        }
    }
}
