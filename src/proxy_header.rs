//! The PROXY protocol, versions 1 and 2: whom a proxy in front of us speaks for, and whom we speak
//! for to those behind.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What each header of version 2 starts with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Octets of the part that every header of version 2 has.
const FIXED: usize = 16;
/// Most octets behind that part: addresses take 36, the rest are notes that nothing here reads.
const REST_MAX: usize = 4096;
/// What each header of version 1 starts with.
const WORD: &[u8] = b"PROXY ";
/// Octets of the shortest and the longest header of version 1 (section 2.1).
const LINE_MIN: usize = b"PROXY UNKNOWN\r\n".len();
const LINE_MAX: usize = 107;

/// Octets of the longest header.
pub const HEADER_MAX: usize = FIXED + REST_MAX;

/// Both ends of the connection that a proxy speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

/// What octets at the start of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The beginning of a header, to which at least so many more octets belong.
    Needs(usize),
    /// A whole header.
    Whole {
        /// Its octets; what follows is the client's.
        length: usize,
        /// `None`: the proxy speaks for itself, or will not say for whom.
        ends: Option<Ends>,
    },
}

/// The octets are no header that the protocol knows, or one of an absurd length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no PROXY header, expected one of version 1 or 2")
    }
}

impl std::error::Error for Malformed {}

/// Reads the header that a connection begins with. Who reads [`Read::Needs`] more octets each time
/// never takes any that are the client's.
pub fn read(octets: &[u8]) -> Result<Read, Malformed> {
    let begins = |with: &[u8]| {
        let common = octets.len().min(with.len());
        octets.get(..common) == with.get(..common)
    };
    if octets.is_empty() {
        Ok(Read::Needs(LINE_MIN))
    } else if begins(WORD) {
        read_line(octets)
    } else if begins(&SIGNATURE) {
        read_binary(octets)
    } else {
        Err(Malformed)
    }
}

/// Reads a header of version 1 (section 2.1).
fn read_line(octets: &[u8]) -> Result<Read, Malformed> {
    if let Some(missing) = LINE_MIN.checked_sub(octets.len()).filter(|missing| *missing > 0) {
        return Ok(Read::Needs(missing));
    }
    let within = octets.get(..LINE_MAX).unwrap_or(octets);
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        let missing = if octets.ends_with(b"\r") { 1 } else { 2 };
        let fits = octets.len() + missing <= LINE_MAX;
        return if fits { Ok(Read::Needs(missing)) } else { Err(Malformed) };
    };
    let line = within.get(..end).and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.ok_or(Malformed)?.split(' ').skip(1);
    let length = end + 2;
    match words.next() {
        // The rest of such a line means nothing.
        Some("UNKNOWN") => Ok(Read::Whole { length, ends: None }),
        Some(family @ ("TCP4" | "TCP6")) => {
            let mut address = || words.next().and_then(|word| word.parse::<IpAddr>().ok());
            let (source, destination) = (address(), address());
            let mut port = || {
                let word = words.next()?;
                let plain = word.bytes().all(|octet| octet.is_ascii_digit());
                word.parse::<u16>()
                    .ok()
                    .filter(|_| plain && (word == "0" || !word.starts_with('0')))
            };
            let (source_port, destination_port) = (port(), port());
            let (Some(source), Some(destination), None) = (source, destination, words.next())
            else {
                return Err(Malformed);
            };
            let is_v4 = family == "TCP4";
            if source.is_ipv4() != is_v4 || destination.is_ipv4() != is_v4 {
                return Err(Malformed);
            }
            let source = SocketAddr::new(source, source_port.ok_or(Malformed)?);
            let destination = SocketAddr::new(destination, destination_port.ok_or(Malformed)?);
            Ok(Read::Whole { length, ends: Some(Ends { source, destination }) })
        }
        _ => Err(Malformed),
    }
}

/// Reads a header of version 2 (section 2.2).
fn read_binary(octets: &[u8]) -> Result<Read, Malformed> {
    let Some((fixed, rest)) = octets.split_first_chunk::<FIXED>() else {
        return Ok(Read::Needs(FIXED - octets.len()));
    };
    let [.., command, family, l0, l1] = *fixed;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if length > REST_MAX {
        return Err(Malformed);
    }
    // The sort of addresses, and the octets that they take.
    let (family, least) = match (command, family) {
        // LOCAL: the proxy asks for itself, for example whether we are there. Else an address
        // that is not specified, or of a socket that has a path for one.
        (0x20, _) | (0x21, 0x00 | 0x31 | 0x32) => (None, 0),
        (0x21, 0x11 | 0x12) => (Some(4), 12),
        (0x21, 0x21 | 0x22) => (Some(6), 36),
        _ => return Err(Malformed),
    };
    if length < least {
        return Err(Malformed);
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(Read::Needs(length - rest.len()));
    };
    let ends = match family {
        None => None,
        Some(4) => ends(rest, |address: [u8; 4]| Ipv4Addr::from(address).into()),
        Some(_) => ends(rest, |address: [u8; 16]| Ipv6Addr::from(address).into()),
    };
    Ok(Read::Whole { length: FIXED + length, ends })
}

/// Source address, destination address, source port, destination port.
fn ends<const N: usize>(rest: &[u8], address: impl Fn([u8; N]) -> IpAddr) -> Option<Ends> {
    let (source, rest) = rest.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let [s0, s1, d0, d1] = *rest.first_chunk::<4>()?;
    Some(Ends {
        source: SocketAddr::new(address(*source), u16::from_be_bytes([s0, s1])),
        destination: SocketAddr::new(address(*destination), u16::from_be_bytes([d0, d1])),
    })
}

/// Takes the header off a connection, and nothing behind it; `Ok(None)`: it names no client.
///
/// # Errors
/// When the connection breaks, or begins with something else.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ends>> {
    let mut header = Vec::new();
    loop {
        match read(&header).map_err(io::Error::other)? {
            Read::Whole { ends, .. } => return Ok(ends),
            Read::Needs(more) => {
                let begun = header.len();
                header.resize(begun + more, 0);
                stream.read_exact(header.get_mut(begun..).unwrap_or_default()).await?;
            }
        }
    }
}

/// A version to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The header that says for whom a connection is; `None`: for ourselves, as a probe is.
///
/// Ends of different families are written as IPv6, in which IPv4 has a place.
pub fn write(version: Version, ends: Option<Ends>) -> Vec<u8> {
    let ends = ends.map(|Ends { source, destination }| {
        let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
        let (from, to) = match (from, to) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => (from, to),
            _ => (widened(from), widened(to)),
        };
        (from, to, source.port(), destination.port())
    });
    match (version, ends) {
        (Version::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (Version::V1, Some((from, to, from_port, to_port))) => {
            let family = if from.is_ipv4() { 4 } else { 6 };
            format!("PROXY TCP{family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
        }
        (Version::V2, None) => [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat(),
        (Version::V2, Some((from, to, from_port, to_port))) => {
            let mut header = SIGNATURE.to_vec();
            match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    header.extend_from_slice(&[0x21, 0x11, 0, 12]);
                    header.extend_from_slice(&[from.octets(), to.octets()].concat());
                }
                (from, to) => {
                    header.extend_from_slice(&[0x21, 0x21, 0, 36]);
                    for address in [from, to] {
                        if let IpAddr::V6(address) = widened(address) {
                            header.extend_from_slice(&address.octets());
                        }
                    }
                }
            }
            header.extend_from_slice(&from_port.to_be_bytes());
            header.extend_from_slice(&to_port.to_be_bytes());
            header
        }
    }
}

fn widened(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}
