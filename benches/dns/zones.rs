//! The zones that all servers are given, and the queries they are asked.

use std::fmt::Write;
use std::net::Ipv4Addr;

use fastrand::Rng;

/// Names of the small zone.
const NAMES: u32 = 10_000;
/// Names of the large zone.
const MILLION: u32 = 1_000_000;
/// Queries made ready; they are asked in turn.
const QUERIES: usize = 100_000;
/// Client subnets are of this length.
const SUBNET: u8 = 24;

const HEAD: &str = "$ORIGIN example.com.\n$TTL 300\n\
    @ 3600 IN SOA ns1.example.com. host.example.com. 1 3600 900 604800 300\n\
    @ 3600 IN NS ns1.example.com.\nns1 3600 IN A 192.0.2.53\nwww 300 IN A 192.0.2.1\n";

const A: u16 = 1;
const TXT: u16 = 16;
const AAAA: u16 = 28;

/// An address of the benchmarking network of RFC 2544.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0xc612_0000 | (number & 0x1_ffff))
}

/// 10,000 names: each with A, every second with AAAA, every tenth with TXT.
pub(crate) fn small() -> String {
    let mut text = HEAD.to_owned();
    for number in 0..NAMES {
        let _ = writeln!(text, "host-{number} 300 IN A {}", address(number));
        if number % 2 == 0 {
            let _ = writeln!(text, "host-{number} 300 IN AAAA 2001:db8::{number:x}");
        }
        if number % 10 == 0 {
            let _ = writeln!(text, "host-{number} 300 IN TXT \"site {number} of the example\"");
        }
    }
    text
}

/// 1,000,000 names with one A each.
pub(crate) fn large() -> String {
    let mut text = HEAD.to_owned();
    for number in 0..MILLION {
        let _ = writeln!(text, "h{number} 300 IN A {}", address(number));
    }
    text
}

/// The last name of a zone: when it is answered, all is loaded.
pub(crate) fn last(large: bool) -> String {
    if large { format!("h{}.example.com", MILLION - 1) } else { "www.example.com".to_owned() }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Of the small zone: half A, a quarter AAAA, a tenth TXT, the rest names that do not exist.
    Small,
    /// Random names of the large zone.
    Large,
    /// One name; `subnet`: with a random client subnet each time.
    One { name: &'static str, subnet: bool },
}

/// The queries of a mix in wire form, with ID 0.
pub(crate) fn queries(mix: Mix) -> Vec<Vec<u8>> {
    let mut random = Rng::with_seed(7);
    let one = |_| match mix {
        Mix::One { name, subnet } => query(name, A, subnet.then(|| client(&mut random))),
        Mix::Large => query(&format!("h{}.example.com", random.u32(..MILLION)), A, None),
        Mix::Small => {
            let number = random.u32(..NAMES);
            let (name, qtype) = match random.u8(..100) {
                0..50 => (format!("host-{number}"), A),
                50..75 => (format!("host-{}", number & !1), AAAA),
                75..85 => (format!("host-{}", number - number % 10), TXT),
                _ => (format!("nope-{number:x}"), A),
            };
            query(&format!("{name}.example.com"), qtype, None)
        }
    };
    (0..QUERIES).map(one).collect()
}

/// A random address of unicast space.
fn client(random: &mut Rng) -> Ipv4Addr {
    loop {
        let address = Ipv4Addr::from(random.u32(..) & 0xffff_ff00);
        let [first, ..] = address.octets();
        if !matches!(first, 0 | 10 | 127 | 224..) {
            return address;
        }
    }
}

/// A query of class IN; RFC 7871 section 6 has the form of the subnet.
pub(crate) fn query(name: &str, qtype: u16, subnet: Option<Ipv4Addr>) -> Vec<u8> {
    let mut wire = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(subnet.is_some())];
    for label in name.split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire.extend_from_slice(&qtype.to_be_bytes());
    wire.extend_from_slice(&[0, 1]);
    if let Some(subnet) = subnet {
        let [a, b, c, _] = subnet.octets();
        wire.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11]);
        wire.extend_from_slice(&[0, 8, 0, 7, 0, 1, SUBNET, 0, a, b, c]);
    }
    wire
}
