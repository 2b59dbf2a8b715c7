//! Sockets for the connections of a process that has handed its own over.
//!
//! Datagrams of QUIC all come to the socket that the next process reads now. A socket that is
//! connected to one client comes before it in the kernel's eyes, so each client whose connection
//! is to end here in peace gets one.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Endpoint, Runtime, TokioRuntime, UdpPoller};

use super::super::relay::datagrams;

/// Clients that may stay: each costs a look whenever one of them sends something.
const MOST: usize = 1_024;

/// Sends by the socket that all share, and receives by those of the clients that stay.
#[derive(Debug)]
struct Stay {
    shared: Arc<dyn AsyncUdpSocket>,
    own: Vec<Arc<dyn AsyncUdpSocket>>,
}

/// Leaves the shared socket of an endpoint to another process, but for these clients, each with the
/// address that it knows us by.
pub(super) fn leave(
    endpoint: &Endpoint,
    shared: &Arc<dyn AsyncUdpSocket>,
    clients: impl Iterator<Item = (SocketAddr, SocketAddr)>,
) -> io::Result<()> {
    let own = clients.take(MOST).filter_map(|(client, local)| {
        // One that cannot have a socket may still be heard by luck, or connects anew.
        let socket = datagrams(local, true).ok()?;
        socket.connect(&client.into()).ok()?;
        TokioRuntime.wrap_udp_socket(socket.into()).ok()
    });
    let stay = Arc::new(Stay { shared: shared.clone(), own: own.collect() });
    // An endpoint goes on to read the socket before until something comes by the new one; what it
    // would read is for the other process, so the socket before is made this one, too.
    endpoint.rebind_abstract(stay.clone())?;
    endpoint.rebind_abstract(stay)
}

impl AsyncUdpSocket for Stay {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.shared.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.shared.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for socket in &self.own {
            let mut received = socket.poll_recv(context, buffers, meta);
            if let Poll::Ready(Err(_)) = received {
                // A client that has gone is no fault of the others, and is told once.
                received = socket.poll_recv(context, buffers, meta);
            }
            if let Poll::Ready(Ok(_)) = received {
                return received;
            }
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.shared.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.shared.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.shared.may_fragment()
    }
}
