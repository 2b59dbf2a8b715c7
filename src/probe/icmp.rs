//! The `icmp` check: an echo comes back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Route, failure};
use crate::health::{CauseKind, Outcome};

/// Random octets that a reply must bring back, so that it is known among those of others.
pub(super) type Token = [u8; 16];

/// Octets of an ICMP header with identifier and sequence number (RFC 792, RFC 4443 section 4.1).
const HEADER: usize = 8;

/// How a socket was opened, which decides what it hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Without rights, where `net.ipv4.ping_group_range` allows it: hears its own replies alone.
    Datagram,
    /// With `CAP_NET_RAW`: hears every ICMP packet, in IPv4 with the IP header before it.
    Raw,
}

/// Sends an echo request to each address in turn until one answers.
pub(super) async fn check(route: &Route, token: Token) -> Outcome {
    let attempt = |to: SocketAddr| echo(to.ip(), route.source, token);
    match route.try_each(attempt).await {
        Ok(()) => Outcome::Success,
        Err(failure) => failure,
    }
}

/// Why this process cannot send echo requests; `None`: it can.
pub fn refusal() -> Option<String> {
    let error = open(IpAddr::V4(Ipv4Addr::LOCALHOST)).err()?;
    Some(format!(
        "icmp cannot be sent: {}; widen net.ipv4.ping_group_range or grant CAP_NET_RAW",
        error.kind()
    ))
}

/// A socket for the family of `to`: the one that takes no rights if the kernel gives it.
fn open(to: IpAddr) -> io::Result<(Socket, Access)> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let plain = Socket::new(domain, Type::DGRAM, Some(protocol));
    match plain {
        Ok(socket) => Ok((socket, Access::Datagram)),
        Err(_) => Ok((Socket::new(domain, Type::RAW, Some(protocol))?, Access::Raw)),
    }
}

async fn echo(to: IpAddr, source: Option<IpAddr>, token: Token) -> Result<(), Outcome> {
    let prepare = || -> io::Result<(UdpSocket, Access)> {
        let (socket, access) = open(to)?;
        socket.set_nonblocking(true)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        // A packet socket of another kind has the same calls.
        Ok((UdpSocket::from_std(socket.into())?, access))
    };
    let (socket, access) =
        prepare().map_err(|error| failure::missed("icmp cannot be sent", &error))?;
    let of_io = |error: io::Error| failure::of_io(&error);
    socket.connect(SocketAddr::new(to, 0)).await.map_err(of_io)?;
    socket.send(&request(to.is_ipv6(), token)).await.map_err(of_io)?;
    let mut buffer = vec![0; 2048];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(of_io)?;
        let packet = buffer.get(..length).unwrap_or_default();
        match heard(to.is_ipv6(), access, packet, token) {
            Heard::Reply => return Ok(()),
            Heard::Unreachable(code) => {
                let cause = format!("destination unreachable (code {code})");
                return Err(Outcome::failure(CauseKind::Connect, cause));
            }
            Heard::Other => {}
        }
    }
}

/// An echo request. The kernel writes the identifier of datagram sockets, and every checksum of
/// `ICMPv6` (RFC 3542 section 3.1).
fn request(v6: bool, token: Token) -> Vec<u8> {
    let mut packet = vec![if v6 { 128 } else { 8 }, 0, 0, 0];
    packet.extend_from_slice(token.get(..4).unwrap_or_default());
    packet.extend_from_slice(&token);
    if !v6 {
        let [high, low] = checksum(&packet).to_be_bytes();
        if let Some(place) = packet.get_mut(2..4) {
            place.copy_from_slice(&[high, low]);
        }
    }
    packet
}

/// RFC 1071.
fn checksum(packet: &[u8]) -> u16 {
    let sum: u32 = packet
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => u32::from(u16::from_be_bytes([high, low])),
            [high] => u32::from(high) << 8,
            _ => 0,
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

/// What a packet is to the one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// The reply.
    Reply,
    /// The request did not arrive; with the code that says why.
    Unreachable(u8),
    /// Nothing of ours.
    Other,
}

fn heard(v6: bool, access: Access, packet: &[u8], token: Token) -> Heard {
    let strip = |packet: &[u8]| -> Option<usize> {
        // The length of an IPv4 header is in words of four octets (RFC 791 section 3.1).
        if v6 { Some(40) } else { packet.first().map(|first| usize::from(first & 0x0f) * 4) }
    };
    let start = if access == Access::Raw && !v6 { strip(packet) } else { Some(0) };
    let Some(icmp) = start.and_then(|start| packet.get(start..)) else { return Heard::Other };
    let (reply, unreachable, request) = if v6 { (129, 1, 128) } else { (0, 3, 8) };
    let ours = |icmp: &[u8], kind: u8| {
        icmp.first() == Some(&kind)
            && icmp.get(HEADER..).is_some_and(|data| data.starts_with(&token))
    };
    if ours(icmp, reply) {
        return Heard::Reply;
    }
    // An error carries the packet it is about, of which eight octets may be all there is.
    let inner = icmp.get(HEADER..).and_then(|inner| inner.get(strip(inner)?..));
    match (icmp, inner) {
        ([kind, code, ..], Some(inner)) if *kind == unreachable && ours(inner, request) => {
            Heard::Unreachable(*code)
        }
        _ => Heard::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: Token = *b"0123456789abcdef";

    /// A packet with its first octet changed, and others before and after it.
    fn packet(before: &[u8], v6: bool, kind: u8, token: Token) -> Vec<u8> {
        let mut icmp = request(v6, token);
        icmp[0] = kind;
        [before, &icmp].concat()
    }

    #[test]
    fn checksums_are_as_in_the_rfc() {
        for (octets, sum) in
            [(&b""[..], 0xffff), (b"\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 0x220d), (b"\x01", 0xfeff)]
        {
            assert_eq!(checksum(octets), sum, "{octets:?}");
        }
        assert_eq!(checksum(&request(false, TOKEN)), 0, "over a whole packet it is zero");
    }

    #[test]
    fn only_the_reply_to_the_request_counts() {
        use Access::{Datagram, Raw};
        let head = [0x45; 20];
        let long = [0x46; 24];
        let error = |kind: u8, inner: &[u8]| [&[kind, 1, 0, 0, 0, 0, 0, 0], inner].concat();
        for (case, v6, access, octets, found) in [
            ("a reply", false, Datagram, packet(&[], false, 0, TOKEN), Heard::Reply),
            ("a reply of IPv6", true, Datagram, packet(&[], true, 129, TOKEN), Heard::Reply),
            ("one behind its header", false, Raw, packet(&head, false, 0, TOKEN), Heard::Reply),
            ("one behind options", false, Raw, packet(&long, false, 0, TOKEN), Heard::Reply),
            ("IPv6 has no header there", true, Raw, packet(&[], true, 129, TOKEN), Heard::Reply),
            ("another's", false, Datagram, packet(&[], false, 0, [7; 16]), Heard::Other),
            ("our own request", false, Raw, packet(&head, false, 8, TOKEN), Heard::Other),
            ("nothing", false, Raw, Vec::new(), Heard::Other),
            ("half a header", false, Raw, vec![0x45; 9], Heard::Other),
            ("a short reply", false, Datagram, vec![0; 12], Heard::Other),
            (
                "an error about ours",
                false,
                Raw,
                [&head[..], &error(3, &packet(&head, false, 8, TOKEN))].concat(),
                Heard::Unreachable(1),
            ),
            (
                "an error about another's",
                true,
                Raw,
                error(1, &packet(&[0x60; 40], true, 128, [7; 16])),
                Heard::Other,
            ),
            (
                "an error of IPv6",
                true,
                Raw,
                error(1, &packet(&[0x60; 40], true, 128, TOKEN)),
                Heard::Unreachable(1),
            ),
        ] {
            assert_eq!(heard(v6, access, &octets, TOKEN), found, "{case}");
        }
    }

    proptest! {
        #[test]
        fn no_packet_is_too_odd(
            packet in prop::collection::vec(any::<u8>(), 0..120),
            v6 in any::<bool>(),
            raw in any::<bool>(),
        ) {
            let access = if raw { Access::Raw } else { Access::Datagram };
            prop_assert_eq!(heard(v6, access, &packet, TOKEN), Heard::Other);
        }
    }
}
