//! The PROXY protocol, version 2: whom a proxy in front of us speaks for.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// What each header starts with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Octets of the part that every header has.
pub const FIXED: usize = 16;
/// Most octets behind that part: addresses take 36, the rest are notes that nothing here reads.
pub const REST_MAX: usize = 4096;

/// The sort of addresses of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// None: the proxy speaks for itself, or will not say for whom.
    Nobody,
    V4,
    V6,
}

/// The first octets of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    family: Family,
    length: usize,
}

/// The octets are no header that the protocol knows, or one of an absurd length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Head {
    /// Reads the fixed part (PROXY protocol specification, section 2.2).
    pub fn read(octets: &[u8; FIXED]) -> Result<Self, Malformed> {
        let (signature, [command, family, l0, l1]) =
            octets.split_last_chunk::<4>().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if signature != SIGNATURE || length > REST_MAX {
            return Err(Malformed);
        }
        let (family, least) = match (command, family) {
            // LOCAL: the proxy asks for itself, for example whether we are there. Else an address
            // that is not specified, or of a socket that has a path for one.
            (0x20, _) | (0x21, 0x00 | 0x31 | 0x32) => (Family::Nobody, 0),
            (0x21, 0x11 | 0x12) => (Family::V4, 12),
            (0x21, 0x21 | 0x22) => (Family::V6, 36),
            _ => return Err(Malformed),
        };
        if length < least { Err(Malformed) } else { Ok(Self { family, length }) }
    }

    /// Octets of the header behind the fixed part.
    pub fn length(self) -> usize {
        self.length
    }

    /// The client's address in the octets behind the fixed part; `None`: there is none.
    pub fn client(self, rest: &[u8]) -> Option<SocketAddr> {
        // Source address, destination address, source port, destination port.
        match self.family {
            Family::Nobody => None,
            Family::V4 => {
                let [a, b, c, d, _, _, _, _, p0, p1, ..] = *rest.first_chunk::<12>()?;
                let port = u16::from_be_bytes([p0, p1]);
                Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), port)))
            }
            Family::V6 => {
                let address: [u8; 16] = *rest.first_chunk()?;
                let port = *rest.get(32..)?.first_chunk()?;
                Some(SocketAddr::from((Ipv6Addr::from(address), u16::from_be_bytes(port))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header with what is behind its fixed part; the length told is the true one.
    fn header(command: u8, family: u8, rest: &[u8]) -> ([u8; FIXED], Vec<u8>) {
        let mut fixed = [0; FIXED];
        fixed[..12].copy_from_slice(&SIGNATURE);
        fixed[12..14].copy_from_slice(&[command, family]);
        fixed[14..].copy_from_slice(&(rest.len() as u16).to_be_bytes());
        (fixed, rest.to_vec())
    }

    fn read(fixed: &[u8; FIXED], rest: &[u8]) -> Result<Option<String>, Malformed> {
        Head::read(fixed).map(|head| head.client(rest).map(|client| client.to_string()))
    }

    #[test]
    fn headers_name_the_client_or_nobody() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 53];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[15] = 9;
        v6[32..].copy_from_slice(&[0x12, 0x34, 3, 85]);
        let noted = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
        let client = |text: &str| Ok(Some(text.to_owned()));
        for (what, command, family, rest, expected) in [
            ("IPv4 over TCP", 0x21, 0x11, &v4[..], client("192.0.2.7:4660")),
            ("IPv4 over UDP", 0x21, 0x12, &v4, client("192.0.2.7:4660")),
            ("IPv4 with a note", 0x21, 0x11, &noted, client("192.0.2.7:4660")),
            ("IPv6", 0x21, 0x21, &v6, client("[2001:db8::9]:4660")),
            ("a proxy that asks for itself", 0x20, 0x00, &[], Ok(None)),
            ("the same with addresses", 0x20, 0x11, &v4, Ok(None)),
            ("a client that is not named", 0x21, 0x00, &[], Ok(None)),
            ("a client on a path", 0x21, 0x31, &[b'/'; 216], Ok(None)),
            ("version 1 in binary", 0x11, 0x11, &v4, Err(Malformed)),
            ("an unknown command", 0x22, 0x11, &v4, Err(Malformed)),
            ("an unknown family", 0x21, 0x41, &v4, Err(Malformed)),
            ("too few octets", 0x21, 0x11, &v4[..11], Err(Malformed)),
            ("too few octets for IPv6", 0x21, 0x21, &v6[..35], Err(Malformed)),
            ("an absurd length", 0x21, 0x11, &[0; REST_MAX + 1], Err(Malformed)),
        ] {
            let (fixed, rest) = header(command, family, rest);
            assert_eq!(read(&fixed, &rest), expected, "{what}");
        }
        let (mut fixed, rest) = header(0x21, 0x11, &v4);
        fixed[3] ^= 1;
        assert_eq!(read(&fixed, &rest), Err(Malformed), "another signature");
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused_and_ask_for_little(
            mut fixed in any::<[u8; FIXED]>(),
            signed in any::<bool>(),
            known in any::<bool>(),
            rest in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            if signed {
                fixed[..12].copy_from_slice(&SIGNATURE);
            }
            if known {
                (fixed[12], fixed[14]) = (0x20 | fixed[12] & 1, fixed[14] & 1);
            }
            if let Ok(head) = Head::read(&fixed) {
                prop_assert!(signed && head.length() <= REST_MAX);
                let client = head.client(&rest);
                // What was promised is there, so a sound family always names a client.
                if rest.len() >= 36 {
                    prop_assert_eq!(client.is_some(), head.family != Family::Nobody);
                }
            }
        }
    }
}
