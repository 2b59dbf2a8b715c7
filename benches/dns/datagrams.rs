//! Batches of datagrams over UDP sockets, for the load and for the null responder.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

/// Most datagrams in a batch.
pub(crate) const WIDTH: usize = 32;
/// Longest datagram taken whole.
const SIZE: usize = 1536;

/// The buffers of a batch.
pub(crate) struct Datagrams {
    headers: MultiHeaders<SockaddrIn>,
    /// Of their own: headers that were sent keep pointers to where they went.
    outgoing: MultiHeaders<SockaddrIn>,
    buffers: Vec<[u8; SIZE]>,
    /// Length and peer of each datagram received last.
    received: Vec<(usize, Option<SockaddrIn>)>,
}

impl Datagrams {
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(WIDTH, None),
            outgoing: MultiHeaders::preallocate(WIDTH, None),
            buffers: vec![[0; SIZE]; WIDTH],
            received: Vec::with_capacity(WIDTH),
        }
    }

    /// Receives what is there, waiting for the first if the socket blocks; the number received.
    pub(crate) fn receive(&mut self, from: &UdpSocket) -> io::Result<usize> {
        self.received.clear();
        let mut parts: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let messages =
            match recvmmsg(from.as_raw_fd(), &mut self.headers, parts.iter_mut(), flags, None) {
                Ok(messages) => messages,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
                Err(error) => return Err(error.into()),
            };
        self.received.extend(messages.map(|message| (message.bytes, message.address)));
        Ok(self.received.len())
    }

    /// The datagrams received last.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let buffers = self.buffers.iter_mut().zip(&self.received);
        buffers.filter_map(|(buffer, (length, _))| buffer.get_mut(..*length))
    }

    /// Sends the datagrams received last back to where they came from, if somebody is still there.
    fn send_back(&mut self, to: &UdpSocket) {
        let peers: Vec<_> = self.received.iter().map(|(_, peer)| *peer).collect();
        let parts: Vec<[IoSlice<'_>; 1]> = self
            .buffers
            .iter()
            .zip(&self.received)
            .filter_map(|(buffer, (length, _))| Some([IoSlice::new(buffer.get(..*length)?)]))
            .collect();
        let headers = &mut self.outgoing;
        let _ = sendmmsg(to.as_raw_fd(), headers, &parts, &peers, [], MsgFlags::empty());
    }
}

/// Sends datagrams over a connected socket; the number the kernel took.
pub(crate) fn send(
    headers: &mut MultiHeaders<SockaddrIn>,
    over: &UdpSocket,
    datagrams: &[Vec<u8>],
) -> io::Result<usize> {
    let parts: Vec<[IoSlice<'_>; 1]> = datagrams.iter().map(|d| [IoSlice::new(d)]).collect();
    let peers = [None::<SockaddrIn>; WIDTH];
    match sendmmsg(over.as_raw_fd(), headers, &parts, peers, [], MsgFlags::empty()) {
        Ok(sent) => Ok(sent.count()),
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Answers every query with itself, marked as a reply: what the system calls alone cost.
pub(crate) fn null_responder(address: SocketAddrV4) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut batch = Datagrams::new();
    loop {
        batch.receive(&socket)?;
        for datagram in batch.all() {
            if let Some(flags) = datagram.get_mut(2) {
                *flags |= 0x80;
            }
        }
        batch.send_back(&socket);
    }
}
