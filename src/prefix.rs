//! Address prefixes, and the IPv4 addresses that travel inside IPv6 ones.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network prefix with all bits after its length zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a text or a pair of address and length is no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// The part before the slash is no IP address.
    Address(String),
    /// The part after the slash is no number from 0 to 32 (IPv4) or 128 (IPv6).
    Length(String),
    /// Bits are set after the prefix length; holds the prefix that was probably meant.
    HostBits(Prefix),
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => write!(f, "`{text}` is not an IP address"),
            Self::Length(text) => write!(f, "`{text}` is not a prefix length"),
            Self::HostBits(meant) => write!(f, "bits are set after the prefix, expected `{meant}`"),
        }
    }
}

impl std::error::Error for PrefixError {}

impl Prefix {
    /// The prefix of `length` bits that holds `address`; lengths beyond the family's are cut.
    pub fn holding(address: IpAddr, length: u8) -> Self {
        let length = length.min(width(address));
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask32(length))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask128(length))),
        };
        Self { address, length }
    }

    /// The lowest address of the prefix.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Number of leading bits that are fixed: 0 to 32 or 128.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The highest address of the prefix.
    pub fn last(self) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) | !mask32(self.length))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) | !mask128(self.length))),
        }
    }

    /// Whether `address` lies in the prefix; families never hold each other.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Self::holding(address, self.length).address == self.address
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or a single address.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| PrefixError::Address(address.to_owned()))?;
        let length = match length {
            None => width(address),
            Some(text) => text
                .parse()
                .ok()
                .filter(|length| *length <= width(address))
                .ok_or_else(|| PrefixError::Length(text.to_owned()))?,
        };
        let prefix = Self::holding(address, length);
        if prefix.address == address { Ok(prefix) } else { Err(PrefixError::HostBits(prefix)) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bits in an address of this family.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// A netmask of `length` leading ones.
pub fn mask32(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)
}

/// A netmask of `length` leading ones.
pub fn mask128(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0)
}

/// An IPv4 address found inside an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The client's IPv4 address.
    pub address: Ipv4Addr,
    /// Bits of the IPv6 address that come before the IPv4 one: an IPv4 prefix of `n` bits is an
    /// IPv6 prefix of `offset + n` bits.
    pub offset: u8,
}

/// The client's IPv4 address inside `address`, for the forms that carry one: mapped (RFC 4291
/// section 2.5.5.2), translated (RFC 2765, `::ffff:0:0:0/96`), NAT64 (RFC 6052, `64:ff9b::/96`),
/// 6to4 (RFC 3056) and Teredo (RFC 4380, bits inverted).
pub fn embedded_ipv4(address: Ipv6Addr) -> Option<Embedded> {
    let bits = u128::from(address);
    let low = Ipv4Addr::from(bits as u32);
    let top96 = bits >> 32;
    let (address, offset) =
        if matches!(top96, 0xffff | 0xffff_0000 | 0x0064_ff9b_0000_0000_0000_0000) {
            (low, 96)
        } else if bits >> 112 == 0x2002 {
            (Ipv4Addr::from((bits >> 80) as u32), 16)
        } else if bits >> 96 == 0x2001_0000 {
            (Ipv4Addr::from(!(bits as u32)), 96)
        } else {
            return None;
        };
    Some(Embedded { address, offset })
}

/// The prefixes, by first address and length, in which [`embedded_ipv4`] finds an address.
pub const EMBEDDING: [(u128, u8); 5] = [
    (0xffff << 32, 96),
    (0xffff_0000 << 32, 96),
    (0x0064_ff9b << 96, 96),
    (0x2001_0000 << 96, 32),
    (0x2002 << 112, 16),
];

/// The length of the widest prefix around an address without an IPv4 address inside in which no
/// address has one.
pub fn native_length(address: Ipv6Addr) -> u8 {
    let apart = |(first, length): (u128, u8)| {
        let shared = (u128::from(address) ^ first).leading_zeros() as u8;
        shared.min(length) + 1
    };
    EMBEDDING.into_iter().map(apart).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prefixes_and_refuses_host_bits() {
        for (text, expected) in [
            ("192.0.2.0/24", Ok("192.0.2.0/24")),
            ("192.0.2.7", Ok("192.0.2.7/32")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("2001:db8::/32", Ok("2001:db8::/32")),
            ("192.0.2.1/24", Err("bits are set after the prefix, expected `192.0.2.0/24`")),
            ("192.0.2.0/33", Err("`33` is not a prefix length")),
            ("192.0.2/24", Err("`192.0.2` is not an IP address")),
        ] {
            let read = text.parse::<Prefix>().map(|p| p.to_string()).map_err(|e| e.to_string());
            assert_eq!(read, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn holds_its_first_and_last_address_only() {
        let prefix: Prefix = "10.1.0.0/16".parse().unwrap();
        assert_eq!(prefix.last(), "10.1.255.255".parse::<IpAddr>().unwrap());
        assert!(prefix.contains("10.1.0.0".parse().unwrap()));
        assert!(prefix.contains(prefix.last()));
        assert!(!prefix.contains("10.2.0.0".parse().unwrap()));
        assert!(!prefix.contains("::ffff:10.1.0.0".parse().unwrap()));
    }

    #[test]
    fn finds_the_ipv4_address_inside_ipv6() {
        for (text, expected) in [
            ("::ffff:192.0.2.1", Some(("192.0.2.1", 96))),
            ("::ffff:0:192.0.2.1", Some(("192.0.2.1", 96))),
            ("64:ff9b::192.0.2.1", Some(("192.0.2.1", 96))),
            ("2002:c000:201::1", Some(("192.0.2.1", 16))),
            ("2001:0:1234::3fff:fdfe", Some(("192.0.2.1", 96))),
            ("2001:db8::1", None),
            ("::1", None),
        ] {
            let found = embedded_ipv4(text.parse().unwrap());
            let expected = expected
                .map(|(address, offset)| Embedded { address: address.parse().unwrap(), offset });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn the_widest_native_prefix_ends_before_the_nearest_form() {
        for (text, expected) in [
            ("2a00::1", 5),
            ("2001:db8::1", 21),
            ("2001:1::", 32),
            ("2003::", 16),
            ("64:ff9b::1:0:0", 96),
            ("::1", 81),
            ("ff02::1", 1),
        ] {
            let address: Ipv6Addr = text.parse().unwrap();
            assert_eq!(native_length(address), expected, "{text}");
            let around = |length| Prefix::holding(address.into(), length);
            let holds = |prefix: Prefix| {
                let forms = EMBEDDING.map(|(first, _)| IpAddr::V6(first.into()));
                forms.iter().any(|form| prefix.contains(*form))
            };
            assert!(!holds(around(expected)) && holds(around(expected - 1)), "{text}");
        }
    }
}
