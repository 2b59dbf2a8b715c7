//! The nodes of a zone tree as they lie in its arena: flags and ready RRsets.
//!
//! A node is: length of the name relative to the apex (1 octet), that name without the root's
//! zero, flags (1), number of the service when it is steered (4), number of RRsets (2), RRsets.
//! An RRset is: type (2), number of records (2), length (2), records in wire form with the
//! compression pointer 0xC00C (the question's name) as owner. Numbers are big endian.

/// Owner, type, class, TTL and RDATA length of a record whose owner is a compression pointer.
pub(super) const RECORD_FIXED: usize = 12;
/// Stands for the length of an RRset that fits into no message; its records are left out.
pub(super) const OVERSIZE: u16 = u16::MAX;

/// Type numbers that decide how a name is answered (RFC 1035, 3596, 4034, 6672).
pub mod rtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Authoritative name server.
    pub const NS: u16 = 2;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Start of a zone of authority.
    pub const SOA: u16 = 6;
    /// Mail exchange.
    pub const MX: u16 = 15;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Where a service is (RFC 2782).
    pub const SRV: u16 = 33;
    /// Alias of a whole subtree.
    pub const DNAME: u16 = 39;
    /// EDNS pseudo-record.
    pub const OPT: u16 = 41;
    /// Delegation signer: the one type that the parent answers at a zone cut.
    pub const DS: u16 = 43;
    /// How to reach a service (RFC 9460).
    pub const SVCB: u16 = 64;
    /// How to reach an HTTPS server (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// Transaction signature.
    pub const TSIG: u16 = 250;
    /// Incremental transfer.
    pub const IXFR: u16 = 251;
    /// Transfer.
    pub const AXFR: u16 = 252;
    /// Any type.
    pub const ANY: u16 = 255;
}

/// What is known of a name beside its RRsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(pub u8);

impl Flags {
    /// A delegation: NS below the apex.
    pub(super) const CUT: Self = Self(1);
    /// Below a delegation or a DNAME: glue or unreachable.
    pub(super) const OCCLUDED: Self = Self(2);
    /// `*` exists right below.
    pub(super) const WILDCARD: Self = Self(4);
    /// Has a DNAME.
    pub(super) const DNAME: Self = Self(8);
    /// Has a CNAME.
    pub(super) const CNAME: Self = Self(16);
    /// A service answers A and AAAA.
    pub(super) const STEERED: Self = Self(32);

    pub(super) fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    pub(super) fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }
}

/// A name of the zone.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub(super) name: &'a [u8],
    pub(super) flags: Flags,
    service: u32,
    /// RRset by RRset; the arena's end is behind the last.
    rrsets: &'a [u8],
    count: u16,
}

impl<'a> Node<'a> {
    /// The node at the start of `arena`.
    #[inline]
    pub(super) fn at(arena: &'a [u8]) -> Option<Self> {
        let (length, rest) = arena.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (flags, rest) = rest.split_first()?;
        let flags = Flags(*flags);
        let (service, rest) = if flags.has(Flags::STEERED) {
            rest.split_first_chunk().map(|(service, rest)| (u32::from_be_bytes(*service), rest))?
        } else {
            (0, rest)
        };
        let (count, rrsets) = rest.split_first_chunk()?;
        Some(Self { name, flags, service, rrsets, count: u16::from_be_bytes(*count) })
    }

    /// Offset of the flags from the node's start.
    pub(super) fn flags_offset(self) -> usize {
        1 + self.name.len()
    }

    /// Octets from the node's start to the next node.
    pub(super) fn length(self) -> usize {
        let service = if self.flags.has(Flags::STEERED) { 4 } else { 0 };
        let rrsets: usize = self.rrsets().map(|rrset| 6 + rrset.wire.map_or(0, <[u8]>::len)).sum();
        1 + self.name.len() + 1 + service + 2 + rrsets
    }

    /// The name relative to the apex, in lower case and without the root's zero octet.
    pub fn name(self) -> &'a [u8] {
        self.name
    }

    /// The service that answers A and AAAA, as an index into the zone's services.
    pub fn service(self) -> Option<u32> {
        self.flags.has(Flags::STEERED).then_some(self.service)
    }

    /// Whether it has a CNAME.
    pub fn is_alias(self) -> bool {
        self.flags.has(Flags::CNAME)
    }

    /// The static RRsets, by type.
    pub fn rrsets(self) -> impl Iterator<Item = Rrset<'a>> {
        let mut rest = self.rrsets;
        (0..self.count).map_while(move |_| {
            let (rrset, tail) = Rrset::split(rest)?;
            rest = tail;
            Some(rrset)
        })
    }

    /// The static RRset of a type.
    pub fn rrset(self, rtype: u16) -> Option<Rrset<'a>> {
        self.rrsets().find(|rrset| rrset.rtype == rtype)
    }
}

/// The records of one name and type, in wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rrset<'a> {
    /// Type number.
    pub rtype: u16,
    /// Number of records.
    pub count: u16,
    /// The records, each with the owner 0xC00C; `None`: longer than any message.
    pub wire: Option<&'a [u8]>,
}

impl<'a> Rrset<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let ([t0, t1, c0, c1, l0, l1], rest) = bytes.split_first_chunk()?;
        let length = u16::from_be_bytes([*l0, *l1]);
        let octets = if length == OVERSIZE { 0 } else { usize::from(length) };
        let (wire, rest) = rest.split_at_checked(octets)?;
        let rrset = Self {
            rtype: u16::from_be_bytes([*t0, *t1]),
            count: u16::from_be_bytes([*c0, *c1]),
            wire: (length != OVERSIZE).then_some(wire),
        };
        Some((rrset, rest))
    }

    /// The records' offsets in [`Rrset::wire`] and their RDATA.
    pub fn records(self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let wire = self.wire.unwrap_or_default();
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = at;
            let length = wire.get(start + RECORD_FIXED - 2..)?.first_chunk()?;
            let from = start + RECORD_FIXED;
            at = from + usize::from(u16::from_be_bytes(*length));
            Some((start, wire.get(from..at)?))
        })
    }

    /// TTL of the first record, in seconds.
    pub fn ttl(self) -> u32 {
        let ttl = self.wire.and_then(|wire| wire.get(6..)?.first_chunk());
        ttl.map_or(0, |ttl| u32::from_be_bytes(*ttl))
    }
}
