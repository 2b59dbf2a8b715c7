//! A client as the map knows it: a /24 of IPv4 or a /48 of IPv6, never an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::refusal::Refusal;
use crate::prefix::{Prefix, embedded_ipv4};

/// Length of the prefix that an IPv4 client is known by.
const V4_LENGTH: u8 = 24;
/// Length of the prefix that an IPv6 client is known by.
const V6_LENGTH: u8 = 48;
/// Below this are the numbers of IPv4: those of global IPv6 begin at `2000::/3`.
const V4_END: u64 = 1 << V4_LENGTH;
/// Behind it are the numbers of IPv6.
const V6_END: u64 = 1 << V6_LENGTH;

/// Blocks of IPv4 from which no client comes through the internet: RFC 6890, multicast and above.
const PRIVATE: [(u32, u8); 9] = [
    (0x0000_0000, 8),
    (0x0a00_0000, 8),
    (0x6440_0000, 10),
    (0x7f00_0000, 8),
    (0xa9fe_0000, 16),
    (0xac10_0000, 12),
    (0xc0a8_0000, 16),
    (0xe000_0000, 4),
    (0xf000_0000, 4),
];

/// The number of a client prefix, in the order of addresses within a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(u64);

impl Client {
    /// The client of an address or of a prefix that is long enough.
    ///
    /// # Errors
    /// When it is wider than the map's prefixes, or no client of the internet.
    pub fn of(prefix: Prefix) -> Result<Self, Refusal> {
        match prefix.address() {
            IpAddr::V4(_) if prefix.length() < V4_LENGTH => Err(Refusal::Prefix),
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(_) if prefix.length() < V6_LENGTH => Err(Refusal::Prefix),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Result<Self, Refusal> {
        let bits = u32::from(address);
        let private = |(block, length): &(u32, u8)| (bits ^ block) >> (32 - length) == 0;
        if PRIVATE.iter().any(private) {
            return Err(Refusal::Private);
        }
        Ok(Self(u64::from(bits >> (32 - V4_LENGTH))))
    }

    fn of_v6(address: Ipv6Addr) -> Result<Self, Refusal> {
        // 6to4 alone has the client's address in its first 48 bits; what comes by other forms says
        // where a translator is.
        match embedded_ipv4(address) {
            Some(embedded) if embedded.offset == 16 => return Self::of_v4(embedded.address),
            Some(_) => return Err(Refusal::Private),
            None => {}
        }
        let number = (u128::from(address) >> (128 - V6_LENGTH)) as u64;
        // 2000::/3, the global unicast of RFC 4291 section 2.4 that is given out.
        if number >> 45 == 1 { Ok(Self(number)) } else { Err(Refusal::Private) }
    }

    /// What was saved or travelled.
    ///
    /// # Errors
    /// When no client of the internet has this number.
    pub fn from_number(number: u64) -> Result<Self, Refusal> {
        if number >= V6_END {
            return Err(Refusal::Prefix);
        }
        Self::of(Self(number).prefix()).and_then(|client| {
            // One number for each client, or it would have several estimates.
            if client.0 == number { Ok(client) } else { Err(Refusal::Private) }
        })
    }

    /// The number, below 2^48.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The prefix.
    pub fn prefix(self) -> Prefix {
        if self.0 < V4_END {
            let address = Ipv4Addr::from((self.0 as u32) << (32 - V4_LENGTH));
            return Prefix::holding(IpAddr::V4(address), V4_LENGTH);
        }
        let address = Ipv6Addr::from(u128::from(self.0) << (128 - V6_LENGTH));
        Prefix::holding(IpAddr::V6(address), V6_LENGTH)
    }

    /// The prefix around it whose clients it may borrow from: a /16 or a /32.
    pub fn covering(self) -> Prefix {
        let prefix = self.prefix();
        let length = if prefix.address().is_ipv4() { 16 } else { 32 };
        Prefix::holding(prefix.address(), length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_prefixes_of_the_internet() {
        for (text, expected) in [
            ("192.0.2.77", Ok("192.0.2.0/24")),
            ("8.8.8.0/24", Ok("8.8.8.0/24")),
            ("2001:db8:1:2::1", Ok("2001:db8:1::/48")),
            ("2002:c000:22d::/48", Ok("192.0.2.0/24")),
            ("8.8.0.0/16", Err(Refusal::Prefix)),
            ("2001:db8::/32", Err(Refusal::Prefix)),
            ("10.1.2.3", Err(Refusal::Private)),
            ("100.64.1.0/24", Err(Refusal::Private)),
            ("127.0.0.1", Err(Refusal::Private)),
            ("172.31.0.1", Err(Refusal::Private)),
            ("192.168.1.0/24", Err(Refusal::Private)),
            ("224.0.0.1", Err(Refusal::Private)),
            ("255.255.255.255", Err(Refusal::Private)),
            ("::1", Err(Refusal::Private)),
            ("fd00::1", Err(Refusal::Private)),
            ("fe80::1", Err(Refusal::Private)),
            ("2002:a00:1::1", Err(Refusal::Private)),
            ("2001:0:1::1", Err(Refusal::Private)),
            ("::ffff:192.0.2.1", Err(Refusal::Private)),
        ] {
            let found = Client::of(text.parse().unwrap());
            let shown = found.map(|client| client.prefix().to_string());
            assert_eq!(shown, expected.map(str::to_owned), "{text}");
            if let Ok(client) = found {
                assert_eq!(Client::from_number(client.number()), Ok(client), "{text}");
            }
        }
        for number in [0, 0x0a_0000, V4_END, V6_END, u64::MAX, 0x2002_0a00_0001] {
            assert!(Client::from_number(number).is_err(), "{number:x}");
        }
    }
}
