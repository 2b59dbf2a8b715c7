//! Ethernet packets with a UDP datagram in them: taken apart, checked, and made from a query's.
//!
//! What comes here was chosen by the program in the kernel: IPv4 without options and fragments, or
//! IPv6 without extension headers. Lengths, checksums and sender are checked here, since this
//! stands where the kernel would have done it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// Octets of an Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// Octets of an IPv4 header without options.
pub(super) const IPV4: usize = 20;
/// Octets of an IPv6 header.
pub(super) const IPV6: usize = 40;
/// Octets of a UDP header.
pub(super) const UDP: usize = 8;
/// The number of UDP among the protocols above IP.
pub(super) const PROTOCOL: u8 = 17;
/// Ethernet's number of IPv4.
pub(super) const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// Ethernet's number of IPv6.
pub(super) const TYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Version 4 and a header of five words.
pub(super) const PLAIN_IPV4: u8 = 0x45;
/// Routers that a reply may pass: the kernel's default.
const HOPS: u8 = 64;

/// A datagram in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    /// Who sent it.
    pub peer: SocketAddr,
    /// Where its octets are in the packet.
    pub octets: Range<usize>,
}

impl Datagram {
    /// Takes a packet apart; `None` when the kernel would drop it.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let ip = packet.get(ETHERNET..)?;
        match ip.first()? {
            &PLAIN_IPV4 => {
                let header: &[u8; IPV4] = ip.first_chunk()?;
                // RFC 1122 section 3.2.1.2: a wrong checksum is dropped without a word.
                let length = usize::from(word(header, 2)?);
                if fold(sum(header)) != 0xffff {
                    return None;
                }
                let source: [u8; 4] = *header.get(12..)?.first_chunk()?;
                Self::above_ip(packet, ETHERNET + IPV4..ETHERNET + length, source.into())
            }
            version if version >> 4 == 6 => {
                let length = usize::from(word(ip, 4)?);
                let source: [u8; 16] = *ip.get(8..)?.first_chunk()?;
                let start = ETHERNET + IPV6;
                Self::above_ip(packet, start..start + length, source.into())
            }
            _ => None,
        }
    }

    /// Reads the UDP part that stands at `range`.
    fn above_ip(packet: &[u8], range: Range<usize>, source: IpAddr) -> Option<Self> {
        let udp = packet.get(range.clone())?;
        let v6 = source.is_ipv6();
        let length = match word(udp, 4)? {
            // RFC 2675 section 4: as long as the packet says.
            0 if v6 => udp.len(),
            length => usize::from(length),
        };
        let udp = udp.get(..length).filter(|udp| udp.len() >= UDP)?;
        let given = word(udp, 6)?;
        // RFC 768: 0 means that there is none. RFC 8200 section 8.1: there must be one.
        if given == 0 && v6 {
            return None;
        }
        let addresses = addresses(packet, v6)?;
        let pseudo = pseudo(addresses, length);
        // Packets from this machine, as through a veth pair, have the sum of the pseudo header in
        // its place: the sender leaves the rest to a network card, and the kernel takes them.
        let unfinished = fold(pseudo) == given.to_be();
        if given != 0 && !unfinished && fold(pseudo + sum(udp)) != 0xffff {
            return None;
        }
        let (from, to) = addresses.split_at_checked(addresses.len() / 2)?;
        if from == to || !may_send(source) {
            return None;
        }
        let octets = range.start + UDP..range.start + length;
        Some(Self { peer: SocketAddr::new(source, word(udp, 0)?), octets })
    }

    /// Octets before the reply to this datagram.
    pub(super) fn head(&self) -> usize {
        ETHERNET + UDP + if self.peer.is_ipv4() { IPV4 } else { IPV6 }
    }

    /// Writes what stands before a reply of `length` octets to this datagram of `packet`; the
    /// reply is in its place in `out`. Returns the octets of the whole.
    pub(super) fn write_head(&self, packet: &[u8], out: &mut [u8], length: usize) -> Option<usize> {
        let (head, v6) = (self.head(), self.peer.is_ipv6());
        let out = out.get_mut(..head + length)?;
        let datagram = (UDP + length) as u16;
        // Back through the router or neighbour it came from.
        out.get_mut(..6)?.copy_from_slice(packet.get(6..12)?);
        out.get_mut(6..12)?.copy_from_slice(packet.get(..6)?);
        out.get_mut(12..14)?.copy_from_slice(packet.get(12..14)?);
        let (from, to) = addresses(packet, v6)?.split_at_checked(if v6 { 16 } else { 4 })?;
        let ip = out.get_mut(ETHERNET..)?;
        if v6 {
            let [high, low] = datagram.to_be_bytes();
            let start = [0x60, 0, 0, 0, high, low, PROTOCOL, HOPS];
            ip.get_mut(..8)?.copy_from_slice(&start);
            ip.get_mut(8..24)?.copy_from_slice(to);
            ip.get_mut(24..40)?.copy_from_slice(from);
        } else {
            let [high, low] = (datagram + IPV4 as u16).to_be_bytes();
            // RFC 9715 section 3.1 (R1): not to be fragmented; RFC 6864 section 4.1: so its
            // identification may be anything.
            let start = [PLAIN_IPV4, 0, high, low, 0, 0, 0x40, 0, HOPS, PROTOCOL, 0, 0];
            ip.get_mut(..12)?.copy_from_slice(&start);
            ip.get_mut(12..16)?.copy_from_slice(to);
            ip.get_mut(16..20)?.copy_from_slice(from);
            let check = !fold(sum(ip.get(..IPV4)?));
            ip.get_mut(10..12)?.copy_from_slice(&check.to_ne_bytes());
        }
        let pseudo = pseudo(addresses(out, v6)?, usize::from(datagram));
        let udp = out.get_mut(head - UDP..)?;
        udp.get_mut(..2)?.copy_from_slice(packet.get(head - UDP + 2..head - UDP + 4)?);
        udp.get_mut(2..4)?.copy_from_slice(packet.get(head - UDP..head - UDP + 2)?);
        udp.get_mut(4..6)?.copy_from_slice(&datagram.to_be_bytes());
        udp.get_mut(6..8)?.fill(0);
        // RFC 768: a checksum that comes out as 0 is sent as all ones.
        let check = match !fold(pseudo + sum(udp)) {
            0 => 0xffff,
            check => check,
        };
        udp.get_mut(6..8)?.copy_from_slice(&check.to_ne_bytes());
        Some(head + length)
    }
}

/// Source and destination of a packet.
fn addresses(packet: &[u8], v6: bool) -> Option<&[u8]> {
    let start = ETHERNET + if v6 { 8 } else { 12 };
    packet.get(start..start + if v6 { 32 } else { 8 })
}

/// Whether a reply may go to this address; the kernel drops queries from the others.
fn may_send(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first != 0 && !v4.is_loopback() && !v4.is_multicast() && v4 != Ipv4Addr::BROADCAST
        }
        IpAddr::V6(v6) => {
            let mapped = v6.to_ipv4_mapped().is_some();
            !mapped && !v6.is_loopback() && !v6.is_multicast() && v6 != Ipv6Addr::UNSPECIFIED
        }
    }
}

/// The sum over the pseudo header of UDP (RFC 768, RFC 8200 section 8.1).
fn pseudo(addresses: &[u8], length: usize) -> u64 {
    let length = u64::from((length as u16).to_be());
    sum(addresses) + u64::from(u16::from(PROTOCOL).to_be()) + length
}

/// The sum of the 16-bit words of some octets as they lie in memory: RFC 1071 section 2 shows
/// that the order of octets and carries make no difference in the end.
fn sum(octets: &[u8]) -> u64 {
    let (words, rest) = octets.as_chunks::<4>();
    let mut last = [0; 4];
    for (place, octet) in last.iter_mut().zip(rest) {
        *place = *octet;
    }
    let words = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word)));
    words.sum::<u64>() + u64::from(u32::from_ne_bytes(last))
}

/// A sum with its carries added in, as in RFC 1071 section 4.1.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The number of two octets at an offset.
fn word(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    /// A packet from port 4242 to port 53, its checksums worked out word by word.
    fn packet(v6: bool, payload: &[u8]) -> Vec<u8> {
        let length = ((UDP + payload.len()) as u16).to_be_bytes();
        let mut ip = if v6 {
            let mut ip = vec![0x60, 0, 0, 0, length[0], length[1], 17, 64];
            ip.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
            ip.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
            ip
        } else {
            let whole = ((IPV4 + UDP + payload.len()) as u16).to_be_bytes();
            let mut ip = vec![0x45, 0, whole[0], whole[1], 1, 2, 0x40, 0, 64, 17, 0, 0];
            ip.extend([192, 0, 2, 7, 192, 0, 2, 1]);
            let check = slow_check(&ip);
            ip[10..12].copy_from_slice(&check);
            ip
        };
        let mut udp = [&[0x10, 0x92, 0, 53][..], &length, &[0, 0], payload].concat();
        let addresses = ip[if v6 { 8 } else { 12 }..].to_vec();
        let check = slow_check(&[&addresses[..], &[0, 17], &length, &udp].concat());
        udp[6..8].copy_from_slice(&check);
        let kind = if v6 { TYPE_IPV6 } else { TYPE_IPV4 };
        ip.extend(udp);
        [&MACS[..], &kind, &ip].concat()
    }

    /// The checksum of RFC 1071, as its section 4.1 has it.
    fn slow_check(octets: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for pair in octets.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    /// Offset of the UDP header.
    fn udp_at(v6: bool) -> usize {
        ETHERNET + if v6 { IPV6 } else { IPV4 }
    }

    #[test]
    fn a_sound_packet_gives_sender_and_datagram() {
        for (v6, peer) in [(false, "192.0.2.7:4242"), (true, "[2001:db8::7]:4242")] {
            for payload in [&b"a query"[..], b"even", b""] {
                let mut packet = packet(v6, payload);
                // Ethernet fills short packets up.
                packet.extend([0xee; 9]);
                let datagram = Datagram::read(&packet).unwrap();
                assert_eq!(datagram.peer, peer.parse().unwrap());
                assert_eq!(&packet[datagram.octets], payload);
            }
        }
    }

    #[test]
    fn what_the_kernel_would_drop_is_dropped() {
        type Damage = fn(&mut Vec<u8>, usize);
        let cases: &[(&str, bool, bool, Damage)] = &[
            ("the last octet is missing", true, true, |p, _| p.truncate(p.len() - 1)),
            ("it ends in the UDP header", true, true, |p, udp| p.truncate(udp + 7)),
            ("it ends in the IP header", true, true, |p, _| p.truncate(ETHERNET + 12)),
            ("nothing follows Ethernet", true, true, |p, _| p.truncate(ETHERNET)),
            ("the UDP length is below a header", true, true, |p, udp| p[udp + 5] = 7),
            ("the UDP length is above the packet", true, true, |p, udp| p[udp + 5] += 1),
            ("the IP length is above the packet", true, true, |p, udp| {
                p[if udp == 34 { 17 } else { 19 }] += 1;
            }),
            ("another version of IP", true, true, |p, _| p[ETHERNET] = 0x55),
            ("an octet of the payload is another", true, true, |p, udp| p[udp + 8] ^= 4),
            ("there is no UDP checksum in IPv6", false, true, |p, udp| p[udp + 6..][..2].fill(0)),
            ("an octet of the IPv4 header is another", true, false, |p, _| p[ETHERNET + 8] ^= 4),
        ];
        for (name, v4, v6, damage) in cases {
            for v6 in [false, true].into_iter().filter(|family| if *family { *v6 } else { *v4 }) {
                let mut packet = packet(v6, b"a query");
                damage(&mut packet, udp_at(v6));
                assert_eq!(Datagram::read(&packet), None, "{name}, IPv6: {v6}");
            }
        }
    }

    #[test]
    fn checksums_may_be_left_out_where_the_rules_say_so() {
        // RFC 768: none at all in IPv4.
        let mut none = packet(false, b"a query");
        none[udp_at(false) + 6..][..2].fill(0);
        assert!(Datagram::read(&none).is_some());
        for v6 in [false, true] {
            // Left to a network card: the sum of the pseudo header stands in its place.
            let mut card = packet(v6, b"a query");
            let length = card.len() - udp_at(v6);
            let sum = fold(pseudo(addresses(&card, v6).unwrap(), length));
            card[udp_at(v6) + 6..][..2].copy_from_slice(&sum.to_ne_bytes());
            assert!(Datagram::read(&card).is_some());
        }
    }

    #[test]
    fn nobody_answers_senders_that_cannot_be() {
        for source in
            ["0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"]
        {
            assert!(!may_send(source.parse().unwrap()), "{source}");
        }
        assert!(!may_send("::ffff:192.0.2.1".parse().unwrap()));
        // Its own address: the sum stays the same when the two are made equal word by word.
        let mut own = packet(false, b"a query");
        own.copy_within(30..34, 26);
        let check = slow_check(&[&own[14..24], &[0, 0], &own[26..34]].concat());
        own[24..26].copy_from_slice(&check);
        own[udp_at(false) + 6..][..2].fill(0);
        assert_eq!(Datagram::read(&own), None);
    }

    proptest! {
        #[test]
        fn a_reply_goes_back_whole(
            v6: bool,
            payload: Vec<u8>,
            reply in prop::collection::vec(any::<u8>(), 1..1400),
        ) {
            let query = packet(v6, &payload);
            let datagram = Datagram::read(&query).unwrap();
            // What an earlier packet left there must not matter.
            let mut out = vec![0xaa; 1500];
            out[datagram.head()..][..reply.len()].copy_from_slice(&reply);
            let length = datagram.write_head(&query, &mut out, reply.len()).unwrap();
            let back = Datagram::read(&out[..length]).unwrap();
            prop_assert_eq!(&out[back.octets.clone()], &reply[..]);
            prop_assert_eq!(&out[..6], &query[6..12]);
            prop_assert_eq!(&out[6..12], &query[..6]);
            prop_assert_eq!(back.peer.port(), 53);
            let server = if v6 { "2001:db8::1" } else { "192.0.2.1" };
            prop_assert_eq!(back.peer.ip(), server.parse::<IpAddr>().unwrap());
            let udp = udp_at(v6);
            prop_assert_eq!(&out[udp + 2..udp + 4], &4242u16.to_be_bytes());
            prop_assert_ne!(&out[udp + 6..udp + 8], &[0, 0]);
        }

        #[test]
        fn a_flipped_bit_is_noticed_and_nothing_panics(
            v6: bool,
            payload: Vec<u8>,
            bit: prop::sample::Index,
        ) {
            let mut packet = packet(v6, &payload);
            // RFC 8200 section 8.1: the head of IPv6, but for the addresses, has no checksum.
            let first = if v6 { ETHERNET + 8 } else { ETHERNET };
            let bit = first * 8 + bit.index((packet.len() - first) * 8);
            packet[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Datagram::read(&packet), None);
        }

        #[test]
        fn no_octets_panic(octets: Vec<u8>, length in 0usize..2000) {
            if let Some(datagram) = Datagram::read(&octets) {
                let mut out = vec![0; 2048];
                let _ = datagram.write_head(&octets, &mut out, length);
            }
        }
    }
}
