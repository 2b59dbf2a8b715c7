//! The prepared answers of one service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::Name;

/// The address family a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// Where a client is, as far as a service cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Clients of one class get the same candidates.
    pub class: u32,
    /// Leading bits of the client address the class depends on; 0: location plays no part.
    pub scope: u8,
}

/// A steered answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steered<'a> {
    /// What was written or must be written.
    pub kind: SteeredKind<'a>,
    /// Extended DNS error (RFC 8914) to add, if any.
    pub ede: Option<u16>,
    /// Index of the region of the first address, for metrics.
    pub region: Option<u16>,
}

/// The form of a steered answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteeredKind<'a> {
    /// This many records were written, of this length in all.
    Records {
        /// Number of records.
        count: u16,
        /// Octets written to the start of `out`.
        length: usize,
    },
    /// A CNAME, to be written (and followed, when it is in the zone) by the caller.
    Cname {
        /// The target.
        target: &'a Name,
        /// TTL in seconds.
        ttl: u32,
    },
    /// No record of the family: NODATA with SOA, whose TTL is at most `ttl_max`.
    NoData {
        /// Upper bound of the negative TTL, in seconds.
        ttl_max: u32,
    },
    /// SERVFAIL, as the service's rule for all down asks.
    ServFail,
    /// `out` is too small: truncate.
    NoSpace,
}

/// The prepared answers of one service for all client classes.
#[derive(Debug)]
pub struct ServiceAnswers {
    name: String,
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
    ttl: u32,
}

impl ServiceAnswers {
    /// A service that gives everyone the same addresses.
    pub fn constant(name: &str, v4: Vec<Ipv4Addr>, v6: Vec<Ipv6Addr>, ttl: u32) -> Self {
        Self { name: name.to_owned(), v4, v6, ttl }
    }

    /// The owner name as text, for metrics and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The class of a client, and the scope of answers to it.
    pub fn locate(&self, _client: IpAddr) -> Located {
        Located::default()
    }

    /// Writes the address records of `family` for a client of class `at` to the start of `out`,
    /// each with the compression pointer `owner` (0xC00C: the question's name) as owner name.
    ///
    /// `client` is used by `affinity` alone and `random` by random choices alone; equal arguments
    /// give equal answers.
    pub fn answer(
        &self,
        family: Family,
        _at: Located,
        _client: IpAddr,
        _random: u64,
        owner: u16,
        out: &mut [u8],
    ) -> Steered<'_> {
        let addresses: Vec<IpAddr> = match family {
            Family::V4 => self.v4.iter().copied().map(IpAddr::V4).collect(),
            Family::V6 => self.v6.iter().copied().map(IpAddr::V6).collect(),
        };
        let mut wire = Vec::new();
        for address in &addresses {
            let (rtype, octets) = match address {
                IpAddr::V4(v4) => (1u16, v4.octets().to_vec()),
                IpAddr::V6(v6) => (28, v6.octets().to_vec()),
            };
            wire.extend_from_slice(&owner.to_be_bytes());
            wire.extend_from_slice(&rtype.to_be_bytes());
            wire.extend_from_slice(&1u16.to_be_bytes());
            wire.extend_from_slice(&self.ttl.to_be_bytes());
            wire.extend_from_slice(&(octets.len() as u16).to_be_bytes());
            wire.extend_from_slice(&octets);
        }
        let kind = if addresses.is_empty() {
            SteeredKind::NoData { ttl_max: self.ttl }
        } else if let Some(start) = out.get_mut(..wire.len()) {
            start.copy_from_slice(&wire);
            SteeredKind::Records { count: addresses.len() as u16, length: wire.len() }
        } else {
            SteeredKind::NoSpace
        };
        Steered { kind, ede: None, region: None }
    }
}
