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
    located: Located,
    fixed: Option<Fixed>,
    ede: Option<u16>,
}

#[derive(Debug)]
enum Fixed {
    Cname(Name),
    ServFail,
}

impl ServiceAnswers {
    /// A service that gives everyone the same addresses.
    pub fn constant(name: &str, v4: Vec<Ipv4Addr>, v6: Vec<Ipv6Addr>, ttl: u32) -> Self {
        let located = Located::default();
        Self { name: name.to_owned(), v4, v6, ttl, located, fixed: None, ede: None }
    }

    /// The same, with answers that depend on this many bits of the client's address.
    #[must_use]
    pub fn scoped(mut self, scope: u8) -> Self {
        self.located.scope = scope;
        self
    }

    /// The same, with this extended error.
    #[must_use]
    pub fn ede(mut self, code: u16) -> Self {
        self.ede = Some(code);
        self
    }

    /// The same, but everything is answered with a CNAME.
    #[must_use]
    pub fn cname(mut self, target: Name) -> Self {
        self.fixed = Some(Fixed::Cname(target));
        self
    }

    /// The same, but nothing can be answered.
    #[must_use]
    pub fn servfail(mut self) -> Self {
        self.fixed = Some(Fixed::ServFail);
        self
    }

    /// The owner name as text, for metrics and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether every query type is answered with a CNAME.
    pub fn is_alias(&self) -> bool {
        matches!(self.fixed, Some(Fixed::Cname(_)))
    }

    /// The class of a client, and the scope of answers to it.
    pub fn locate(&self, _client: IpAddr) -> Located {
        self.located
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
        let kind = match &self.fixed {
            Some(Fixed::Cname(target)) => SteeredKind::Cname { target, ttl: self.ttl },
            Some(Fixed::ServFail) => SteeredKind::ServFail,
            None => match family {
                Family::V4 => self.records(1, self.v4.iter().map(Ipv4Addr::octets), owner, out),
                Family::V6 => self.records(28, self.v6.iter().map(Ipv6Addr::octets), owner, out),
            },
        };
        Steered { kind, ede: self.ede, region: Some(0) }
    }

    fn records<const N: usize>(
        &self,
        rtype: u16,
        addresses: impl Iterator<Item = [u8; N]>,
        owner: u16,
        out: &mut [u8],
    ) -> SteeredKind<'_> {
        let (mut count, mut length) = (0, 0);
        for address in addresses {
            let mut put = |octets: &[u8]| {
                let place = out.get_mut(length..length + octets.len())?;
                place.copy_from_slice(octets);
                length += octets.len();
                Some(())
            };
            let fixed = [owner, rtype, 1, (self.ttl >> 16) as u16, self.ttl as u16, N as u16];
            if put(fixed.map(u16::to_be_bytes).as_flattened())
                .and_then(|()| put(&address))
                .is_none()
            {
                return SteeredKind::NoSpace;
            }
            count += 1;
        }
        if count == 0 {
            return SteeredKind::NoData { ttl_max: self.ttl };
        }
        SteeredKind::Records { count, length }
    }
}
