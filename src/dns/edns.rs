//! EDNS (RFC 6891): the OPT record of queries and replies, and the client subnet (RFC 7871).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cookie::{self, Cookie};
use super::writer::{Full, Writer};

/// The one version there is (RFC 6891 section 6.1.3).
pub(super) const VERSION: u8 = 0;
/// Smallest UDP size anyone may have; smaller ones mean this (RFC 6891 section 6.2.3).
pub(super) const SIZE_MIN: u16 = 512;
/// Option codes (RFC 5001 section 2.3, RFC 7871 section 6, RFC 7873 section 4, RFC 7828
/// section 3.1, RFC 7830 section 3, RFC 8914 section 2).
const NSID: u16 = 3;
const CLIENT_SUBNET: u16 = 8;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;
/// The DO bit in the OPT record's TTL (RFC 3225 section 3).
const DNSSEC_OK: u32 = 0x8000;
/// OPT record without options.
const OPT_FIXED: usize = 11;
/// Padded replies have a multiple of this many octets (RFC 8467 section 4.1).
const BLOCK: usize = 468;
/// Code and length of an option.
const OPTION_FIXED: usize = 4;

/// Extended DNS errors that the engine gives by itself (RFC 8914 section 4).
pub(super) mod ede {
    use crate::snapshot::EDE_OTHER;

    /// Stale Answer: from the last good data of a zone whose file is broken.
    pub(in crate::dns) const STALE: u16 = 3;
    /// Not Ready: the zone was never loaded.
    pub(in crate::dns) const NOT_READY: u16 = 14;
    /// Stale NXDOMAIN Answer: likewise.
    pub(in crate::dns) const STALE_NXDOMAIN: u16 = 19;
    /// Prohibited: not from this address, or not with this key.
    pub(in crate::dns) const PROHIBITED: u16 = 18;
    /// Not Supported: not over this transport.
    pub(in crate::dns) const NOT_SUPPORTED: u16 = 21;
    /// Invalid Data: the zone has expired.
    pub(in crate::dns) const INVALID_DATA: u16 = 24;
    /// Not Authoritative: no zone here holds the name.
    pub(in crate::dns) const NOT_AUTHORITATIVE: u16 = 20;

    /// What to say beside a code that says nothing by itself (RFC 8914 section 4.1).
    pub(in crate::dns) fn text(code: u16) -> &'static [u8] {
        if code == EDE_OTHER { b"everything is down" } else { b"" }
    }
}

/// The OPT record of a query.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag or an option, as they come")]
pub(super) struct Edns {
    /// Largest UDP reply the client takes, in octets.
    pub size: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    pub subnet: Subnet,
    pub cookie: CookieOption,
    /// Whether the client asks what the server calls itself (RFC 5001).
    pub nsid: bool,
    /// The client asks how long a connection may be idle.
    pub keepalive: bool,
    /// The client pads, and wants padded replies.
    pub padding: bool,
}

/// The cookie option of a query.
#[derive(Clone, Copy, Debug)]
pub(super) enum CookieOption {
    /// None.
    Absent,
    /// One of a length that RFC 7873 does not allow.
    Malformed,
    /// A well-formed one.
    Given(Cookie),
}

/// The client subnet of a query, before it is known whether its sender is believed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subnet {
    /// None.
    Absent,
    /// One that breaks the rules of RFC 7871.
    Malformed,
    /// A sound one.
    Given(ClientSubnet),
}

/// A client subnet option as it came: family, source length, scope and address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientSubnet {
    octets: [u8; 20],
    length: u8,
    /// `None`: a source length of 0, by which the client keeps its place to itself.
    pub address: Option<IpAddr>,
}

impl Edns {
    /// An OPT record of this class and TTL, without options.
    pub(super) fn new(class: u16, ttl: u32) -> Self {
        let [_, version, _, _] = ttl.to_be_bytes();
        Self {
            size: class.max(SIZE_MIN),
            version,
            dnssec_ok: ttl & DNSSEC_OK != 0,
            subnet: Subnet::Absent,
            cookie: CookieOption::Absent,
            nsid: false,
            keepalive: false,
            padding: false,
        }
    }

    /// Reads the options; `false` when they do not fill the record exactly.
    pub(super) fn read_options(&mut self, rdata: &[u8]) -> bool {
        let mut rest = rdata;
        while let Some(([c0, c1, l0, l1], tail)) = rest.split_first_chunk::<OPTION_FIXED>() {
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            let Some((data, tail)) = tail.split_at_checked(length) else { break };
            rest = tail;
            match u16::from_be_bytes([*c0, *c1]) {
                CLIENT_SUBNET => {
                    self.subnet = match (self.subnet, ClientSubnet::read(data)) {
                        (Subnet::Absent, Some(subnet)) => Subnet::Given(subnet),
                        // Of two subnets neither can be known to be meant.
                        _ => Subnet::Malformed,
                    };
                }
                // RFC 7873 section 5.2: of several cookies the first counts.
                COOKIE if matches!(self.cookie, CookieOption::Absent) => {
                    let cookie = Cookie::read(data);
                    self.cookie = cookie.map_or(CookieOption::Malformed, CookieOption::Given);
                }
                // RFC 5001 section 2.1: whatever is in it.
                NSID => self.nsid = true,
                KEEPALIVE => self.keepalive = true,
                PADDING => self.padding = true,
                // RFC 6891 section 6.1.2: unknown options are ignored.
                _ => {}
            }
        }
        rest.is_empty()
    }
}

impl ClientSubnet {
    /// Reads the option's data by the rules of RFC 7871 section 6.
    fn read(data: &[u8]) -> Option<Self> {
        let ([f0, f1, source, scope], address) = data.split_first_chunk::<4>()?;
        let family = u16::from_be_bytes([*f0, *f1]);
        let bits = match family {
            1 => 32,
            2 => 128,
            // `dig +subnet=0` sends no family with its empty prefix; nothing can be read wrongly.
            0 => 0,
            _ => return None,
        };
        // The address has as many octets as the prefix needs, and no bit behind it.
        let surplus = (8 - source % 8) % 8;
        let sound = *scope == 0
            && *source <= bits
            && address.len() == usize::from(source.div_ceil(8))
            && address.last().is_none_or(|last| last.trailing_zeros() >= u32::from(surplus));
        if !sound {
            return None;
        }
        let mut octets = [0; 20];
        octets.get_mut(..data.len())?.copy_from_slice(data);
        let [_, _, _, _, a, b, c, d, ..] = octets;
        let address = match family {
            _ if *source == 0 => None,
            1 => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
            _ => octets.last_chunk::<16>().map(|v6| IpAddr::V6(Ipv6Addr::from(*v6))),
        };
        Some(Self { octets, length: data.len() as u8, address })
    }
}

impl fmt::Display for ClientSubnet {
    /// A prefix; `0/0` for a client that keeps its place to itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, source, ..] = self.octets;
        match self.address {
            Some(address) => write!(f, "{address}/{source}"),
            None => f.write_str("0/0"),
        }
    }
}

/// The OPT record of a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyOpt<'o> {
    /// Largest UDP query we take, in octets.
    pub size: u16,
    pub dnssec_ok: bool,
    pub subnet: Option<&'o ClientSubnet>,
    pub cookie: Option<&'o [u8; cookie::LENGTH]>,
    /// What the server calls itself; empty: nothing.
    pub nsid: &'o [u8],
    /// How long a connection may be idle, in tenths of a second.
    pub keepalive: Option<u16>,
    /// Whether the reply is padded.
    pub padding: bool,
}

impl ReplyOpt<'_> {
    /// One without options.
    pub(super) fn bare(size: u16, dnssec_ok: bool) -> Self {
        let (subnet, cookie, nsid): (_, _, &[u8]) = (None, None, &[]);
        Self { size, dnssec_ok, subnet, cookie, nsid, keepalive: None, padding: false }
    }

    /// Its length without an extended error and padding, which are left out when there is no room.
    pub(super) fn length(&self) -> usize {
        let option = |length: usize| if length > 0 { OPTION_FIXED + length } else { 0 };
        OPT_FIXED
            + option(self.subnet.map_or(0, |subnet| usize::from(subnet.length)))
            + option(self.cookie.map_or(0, |cookie| cookie.len()))
            + option(self.nsid.len())
            + option(self.keepalive.map_or(0, |tenths| tenths.to_be_bytes().len()))
    }

    /// Octets of padding for a reply that has `length` octets and room for `room` in all.
    fn pad(length: usize, room: usize) -> Option<usize> {
        let bare = length + OPTION_FIXED;
        let padded = bare.next_multiple_of(BLOCK).min(room);
        padded.checked_sub(bare)
    }

    /// Writes it. `rcode_high` are the upper eight bits of the rcode, `scope` what RFC 7871
    /// section 7.2.1 calls the SCOPE PREFIX-LENGTH.
    pub(super) fn write(
        &self,
        writer: &mut Writer<'_>,
        rcode_high: u8,
        scope: u8,
        ede: Option<u16>,
    ) -> Result<(), Full> {
        let ede_length = |code: u16| OPTION_FIXED + 2 + ede::text(code).len();
        let (at, room, length) = (writer.at(), writer.rest().len(), self.length());
        let ede = ede.filter(|code| room >= length + ede_length(*code));
        let options = length - OPT_FIXED + ede.map_or(0, ede_length);
        let padded = || Self::pad(at + OPT_FIXED + options, at + room);
        let padding = if self.padding { padded() } else { None };
        let options = options + padding.map_or(0, |length| OPTION_FIXED + length);
        let [s0, s1] = self.size.to_be_bytes();
        let [l0, l1] = (options as u16).to_be_bytes();
        let flags = if self.dnssec_ok { 0x80 } else { 0 };
        writer.put(&[0, 0, 41, s0, s1, rcode_high, VERSION, flags, 0, l0, l1])?;
        if options == 0 {
            return Ok(());
        }
        if let Some(subnet) = self.subnet {
            let [_, _, source, _, ..] = subnet.octets;
            let scope = if source == 0 { 0 } else { scope };
            writer.put(&[0, CLIENT_SUBNET as u8, 0, subnet.length])?;
            let at = writer.at();
            writer.put(subnet.octets.get(..usize::from(subnet.length)).unwrap_or_default())?;
            writer.patch(at + 3, &[scope]);
        }
        if let Some(cookie) = self.cookie {
            writer.put(&[0, COOKIE as u8, 0, cookie::LENGTH as u8])?;
            writer.put(cookie)?;
        }
        if !self.nsid.is_empty() {
            writer.put(&[0, NSID as u8, 0, self.nsid.len() as u8])?;
            writer.put(self.nsid)?;
        }
        if let Some(tenths) = self.keepalive {
            let [t0, t1] = tenths.to_be_bytes();
            writer.put(&[0, KEEPALIVE as u8, 0, 2, t0, t1])?;
        }
        if let Some(code) = ede {
            let ([c0, c1], text) = (code.to_be_bytes(), ede::text(code));
            writer.put(&[0, EXTENDED_ERROR as u8, 0, 2 + text.len() as u8, c0, c1])?;
            writer.put(text)?;
        }
        if let Some(length) = padding {
            let [l0, l1] = (length as u16).to_be_bytes();
            writer.put(&[0, PADDING as u8, l0, l1])?;
            // RFC 7830 section 3: padding is zeros. What follows it was never written.
            writer.rest().get_mut(..length).ok_or(Full)?.fill(0);
            writer.advance(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_subnets_are_read_by_the_rules_of_rfc_7871() {
        let sound = |data: &[u8]| ClientSubnet::read(data).map(|subnet| subnet.address);
        let address = |text: &str| Some(Some(text.parse().unwrap()));
        let v6 = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0x80];
        for (what, data, expected) in [
            ("a /24", &[0, 1, 24, 0, 192, 0, 2][..], address("192.0.2.0")),
            ("a /20", &[0, 1, 20, 0, 10, 0, 0xf0], address("10.0.240.0")),
            ("a whole address", &[0, 1, 32, 0, 192, 0, 2, 1], address("192.0.2.1")),
            ("an IPv6 /49", &[&[0, 2, 49, 0][..], &v6].concat(), address("2001:db8:0:8000::")),
            ("no place", &[0, 1, 0, 0], Some(None)),
            ("no IPv6 place", &[0, 2, 0, 0], Some(None)),
            ("no family and no place, as dig sends it", &[0, 0, 0, 0], Some(None)),
            ("a family that does not exist", &[0, 3, 24, 0, 192, 0, 2], None),
            ("no family with a prefix", &[0, 0, 8, 0, 10], None),
            ("a prefix longer than the address", &[0, 1, 33, 0, 192, 0, 2, 1, 0], None),
            ("too few octets", &[0, 1, 24, 0, 192, 0], None),
            ("too many octets", &[0, 1, 24, 0, 192, 0, 2, 0], None),
            ("a bit behind the prefix", &[0, 1, 20, 0, 10, 0, 0xf8], None),
            ("a scope in a query", &[0, 1, 24, 24, 192, 0, 2], None),
            ("half an option", &[0, 1, 24], None),
            ("nothing", &[], None),
        ] {
            assert_eq!(sound(data), expected, "{what}");
        }
    }

    #[test]
    fn options_fill_the_record_and_one_subnet_is_enough() {
        let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
        let unknown = [0xff, 0, 0, 1, 7];
        let read = |rdata: &[u8]| {
            let mut edns = Edns::new(4096, 0x0001_8000);
            let sound = edns.read_options(rdata);
            (edns, sound)
        };
        let (edns, sound) = read(&[&unknown[..], &subnet].concat());
        assert!(sound && edns.dnssec_ok && edns.version == 1 && edns.size == 4096);
        assert!(matches!(edns.subnet, Subnet::Given(_)));
        let (edns, sound) = read(&[subnet, subnet].concat());
        assert!(sound && matches!(edns.subnet, Subnet::Malformed));
        for rdata in [&subnet[..10], &[0, 8, 0][..], &[1, 2, 0xff, 0xff, 0]] {
            assert!(!read(rdata).1, "{rdata:?}");
        }
        assert_eq!(Edns::new(0, 0).size, 512);
    }
}
