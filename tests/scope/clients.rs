//! Clients of the scope tests: addresses as numbers, and where to look for those that differ.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::support::geography::client_sample;
use crate::world::NETWORKS;

/// Prefixes of IPv6 whose addresses carry an IPv4 address, and where its bits begin.
const FORMS: [(IpAddr, u8, u8); 5] = [
    (v6(0xffff << 32), 96, 96),
    (v6(0xffff_0000 << 32), 96, 96),
    (v6(0x0064_ff9b << 96), 96, 96),
    (v6(0x2002 << 112), 16, 16),
    (TEREDO, 32, 96),
];
const TEREDO: IpAddr = v6(0x2001 << 112);

const fn v6(bits: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(bits))
}

/// One of two numbers, by the family of an address.
pub(crate) fn by_family(address: IpAddr, v4: u8, v6: u8) -> u8 {
    if address.is_ipv4() { v4 } else { v6 }
}

/// Bits of an address of the same family.
pub(crate) fn width(address: IpAddr) -> u8 {
    by_family(address, 32, 128)
}

/// An address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The address of this number in the family of `like`.
pub(crate) fn address(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

/// The first and the last number of the prefix of `length` bits around an address.
pub(crate) fn span(around: IpAddr, length: u8) -> (u128, u128) {
    let host = match width(around) - length {
        128 => u128::MAX,
        bits => (1 << bits) - 1,
    };
    (number(around) & !host, number(around) | host)
}

/// Whether two addresses are of one family and share the first `length` bits.
pub(crate) fn shares(one: IpAddr, other: IpAddr, length: u8) -> bool {
    one.is_ipv4() == other.is_ipv4() && span(one, length) == span(other, length)
}

/// The IPv4 address inside an IPv6 address, and where its bits begin.
pub(crate) fn embedded(address: IpAddr) -> Option<(Ipv4Addr, u8)> {
    let IpAddr::V6(v6) = address else { return None };
    let form = FORMS.iter().find(|(first, length, _)| shares(*first, address, *length));
    let (first, _, offset) = form?;
    let bits = (u128::from(v6) >> (96 - offset)) as u32;
    // Teredo hides the client's address by inverting it (RFC 4380 section 4).
    let bits = if *first == TEREDO { !bits } else { bits };
    Some((bits.into(), *offset))
}

/// An IPv6 address that carries `inner`, in one of the forms, with random bits around it.
fn carrying(inner: Ipv4Addr, random: &mut fastrand::Rng) -> IpAddr {
    let (first, length, offset) = FORMS[random.usize(..FORMS.len())];
    let bits = if first == TEREDO { !u32::from(inner) } else { u32::from(inner) };
    let around = random.u128(..) & (u128::MAX >> length);
    let field = u128::from(u32::MAX) << (96 - offset);
    let inside = u128::from(bits) << (96 - offset);
    address(first, number(first) | (around & !field) | inside)
}

/// Each prefix of a network as first address and length, with the network's number; those of
/// addresses that carry IPv4 as the IPv4 prefix inside.
pub(crate) fn listed() -> impl Iterator<Item = (IpAddr, u8, usize)> {
    let networks = NETWORKS.iter().zip(0..);
    let texts = networks.flat_map(|((_, prefixes, ..), id)| prefixes.iter().map(move |p| (p, id)));
    texts.map(|(text, id)| {
        let (address, length) = text.split_once('/').expect("a prefix");
        let (address, length) =
            (address.parse().expect("an address"), length.parse().expect("a length"));
        match embedded(address) {
            Some((inner, offset)) => (inner.into(), length - offset, id),
            None => (address, length, id),
        }
    })
}

/// Where clients may begin to differ, by family and in ascending order.
#[derive(Default)]
struct Starts {
    v4: Vec<u128>,
    v6: Vec<u128>,
}

impl Starts {
    fn new(starts: impl Iterator<Item = IpAddr>) -> Self {
        let mut all = Self::default();
        for start in starts {
            if start.is_ipv4() { &mut all.v4 } else { &mut all.v6 }.push(number(start));
        }
        for starts in [&mut all.v4, &mut all.v6] {
            starts.sort_unstable();
            starts.dedup();
        }
        all
    }

    /// Those in the family of `like`.
    fn of(&self, like: IpAddr) -> &[u128] {
        if like.is_ipv4() { &self.v4 } else { &self.v6 }
    }
}

/// All places where clients may begin to differ.
pub(crate) struct Borders {
    /// Those of the database and of the operator.
    all: Starts,
    /// Those of networks, and of forms that carry IPv4.
    listed: Starts,
    sample: Vec<(IpAddr, u8)>,
}

impl Borders {
    /// The borders of these runs, each given by its first address, and all others.
    pub(crate) fn new(runs: impl Iterator<Item = IpAddr>) -> Self {
        let forms = FORMS.iter().map(|(first, length, _)| (*first, *length));
        let low = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 96);
        let prefixes = listed().map(|(first, length, _)| (first, length)).chain(forms).chain([low]);
        let ends = |(prefix, length): (IpAddr, u8)| {
            let (first, last) = span(prefix, length);
            // Behind the last prefix comes the first address of all.
            [first, last.wrapping_add(1)].map(|start| address(prefix, start))
        };
        let starts: Vec<IpAddr> = prefixes.flat_map(ends).collect();
        let all = Starts::new(runs.chain(starts.iter().copied()));
        Self { all, listed: Starts::new(starts.into_iter()), sample: client_sample() }
    }

    /// The borders in a range of numbers.
    pub(crate) fn within(&self, like: IpAddr, (first, last): (u128, u128)) -> &[u128] {
        let all = self.all.of(like);
        let from = all.partition_point(|border| *border < first);
        let to = all.partition_point(|border| *border <= last);
        &all[from..to]
    }

    /// A client from somewhere.
    pub(crate) fn client(&self, random: &mut fastrand::Rng) -> IpAddr {
        let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        match random.u8(0..10) {
            0..3 => {
                let (prefix, length) = self.sample[random.usize(..self.sample.len())];
                pick(prefix, span(prefix, length), random)
            }
            3 => pick(v4, span(v4, 0), random),
            // Where IPv6 is given out.
            4 => pick(v6, span(TEREDO, 3), random),
            5..7 => self.at_border(v4, random),
            7 => self.at_border(v6, random),
            _ => {
                let inner = match self.at_border(v4, random) {
                    IpAddr::V4(inner) if random.bool() => inner,
                    _ => Ipv4Addr::from(random.u32(..)),
                };
                carrying(inner, random)
            }
        }
    }

    /// The first client behind a border, or the last one before it.
    fn at_border(&self, like: IpAddr, random: &mut fastrand::Rng) -> IpAddr {
        // Half of them at the few that the database does not know.
        let borders = if random.bool() { &self.listed } else { &self.all }.of(like);
        let border = borders[random.usize(..borders.len())];
        address(like, if random.bool() { border } else { border.saturating_sub(1) })
    }

    /// Another client that shares the first `length` bits with this one; with an eye for the
    /// places where a difference is likeliest.
    pub(crate) fn companion(&self, of: IpAddr, length: u8, random: &mut fastrand::Rng) -> IpAddr {
        if let Some((inner, offset)) = embedded(of).filter(|(_, offset)| length >= *offset)
            && random.bool()
        {
            let other = self.companion(inner.into(), length - offset, random);
            let change = number(inner.into()) ^ number(other);
            return address(of, number(of) ^ change << (96 - offset));
        }
        let (first, last) = span(of, length);
        let half = (last - first) / 2;
        match random.u8(0..8) {
            0 => address(of, first),
            1 => address(of, last),
            2 => pick(of, (first, first + half), random),
            3 => pick(of, (last - half, last), random),
            4..7 => {
                let borders = self.within(of, (first, last));
                match borders.len() {
                    0 => pick(of, (first, last), random),
                    count => {
                        let border = borders[random.usize(..count)];
                        let before = border.saturating_sub(1).max(first);
                        address(of, if random.bool() { border } else { before })
                    }
                }
            }
            // Near by, so that small prefixes inside the scope are found.
            _ => {
                let bits = random.u8(length..=width(of));
                pick(of, span(of, bits), random)
            }
        }
    }
}

/// A random address in a range.
fn pick(like: IpAddr, (first, last): (u128, u128), random: &mut fastrand::Rng) -> IpAddr {
    address(like, random.u128(first..=last))
}
