//! The socket that clients' datagrams come to, and replies leave from.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage,
    recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A datagram that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Its octets.
    pub(super) length: usize,
    /// Who sent it.
    pub(super) client: SocketAddr,
    /// The address it came to, from which its sender expects the reply; `None`: that of the socket.
    pub(super) to: Option<IpAddr>,
}

/// A bound socket.
#[derive(Debug)]
pub(super) struct Face {
    socket: UdpSocket,
    /// Bound to all addresses: replies must leave from the one that the client knows.
    wildcard: bool,
}

impl Face {
    /// Takes a bound socket that does not block.
    pub(super) fn new(socket: StdSocket) -> io::Result<Self> {
        let local = socket.local_addr()?.ip();
        let wildcard = local.is_unspecified();
        match local {
            IpAddr::V4(_) if wildcard => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            IpAddr::V6(_) if wildcard => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            _ => {}
        }
        Ok(Self { socket: UdpSocket::from_std(socket)?, wildcard })
    }

    /// Waits for a datagram.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            self.socket.readable().await?;
            match self.try_receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// A datagram that has come already.
    pub(super) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        if !self.wildcard {
            let (length, client) = self.socket.try_recv_from(buffer)?;
            return Ok(Received { length, client, to: None });
        }
        self.socket.try_io(Interest::READABLE, || {
            let mut parts = [IoSliceMut::new(buffer)];
            let mut space = cmsg_space!(libc::in6_pktinfo);
            let flags = MsgFlags::empty();
            let fd = self.socket.as_raw_fd();
            let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut space), flags)?;
            let to = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))))
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)))
                }
                _ => None,
            });
            let client = message.address.as_ref().and_then(known);
            let client = client.ok_or_else(|| io::Error::other("a datagram from nowhere"))?;
            Ok(Received { length: message.bytes, client, to })
        })
    }

    /// Sends a reply to a client, from the address that it knows. Not by the runtime, which knows
    /// of no room before it has looked; where there is none, the datagram is lost, as on any way.
    pub(super) fn send(
        &self,
        octets: &[u8],
        client: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<()> {
        let parts = [IoSlice::new(octets)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        match (from, client) {
            (None, client) => {
                SockRef::from(&self.socket).send_to(octets, &client.into())?;
            }
            (Some(IpAddr::V4(from)), SocketAddr::V4(client)) => {
                let from = libc::in_addr { s_addr: u32::from(from).to_be() };
                let none = libc::in_addr { s_addr: 0 };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: none };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(fd, &parts, &control, flags, Some(&SockaddrIn::from(client)))?;
            }
            (Some(IpAddr::V6(from)), SocketAddr::V6(client)) => {
                let from = libc::in6_addr { s6_addr: from.octets() };
                let info = libc::in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(fd, &parts, &control, flags, Some(&SockaddrIn6::from(client)))?;
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }
}

/// The sender of a datagram.
fn known(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| {
        let v6 = address.as_sockaddr_in6()?;
        // The scope says by which link an address of one link is reached.
        Some(std::net::SocketAddrV6::new(v6.ip(), v6.port(), 0, v6.scope_id()).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replies_leave_from_the_address_that_was_asked() {
        for (bound, asked) in
            [("0.0.0.0:0", "127.9.8.7"), ("[::]:0", "::1"), ("127.0.0.1:0", "127.0.0.1")]
        {
            let socket = StdSocket::bind(bound).unwrap();
            socket.set_nonblocking(true).unwrap();
            let port = socket.local_addr().unwrap().port();
            let face = Face::new(socket).unwrap();
            let asked = SocketAddr::new(asked.parse().unwrap(), port);
            let client = UdpSocket::bind((asked.ip(), 0)).await.unwrap();
            // A connected socket hears only the address it asked.
            client.connect(asked).await.unwrap();
            client.send(b"question").await.unwrap();
            let mut buffer = [0; 100];
            let received = face.receive(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..received.length], b"question", "{bound}");
            assert_eq!(received.client, client.local_addr().unwrap(), "{bound}");
            face.send(b"reply", received.client, received.to).unwrap();
            assert_eq!(client.recv(&mut buffer).await.unwrap(), 5, "{bound}");
        }
    }
}
