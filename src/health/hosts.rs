//! What the hostnames of endpoints resolve to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::name::Name;

/// The addresses of one hostname, each list sorted and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// From its A records.
    pub v4: Vec<Ipv4Addr>,
    /// From its AAAA records.
    pub v6: Vec<Ipv6Addr>,
    /// The TTL they came with, the longest seen: a resolver's cache counts it down. `None`: none is
    /// known.
    pub ttl: Option<Duration>,
    /// Why the last look-up failed; the addresses are then those of the last one that did not.
    pub failure: Option<Arc<str>>,
}

impl Resolved {
    /// Whether no look-up has ever told what the name resolves to.
    pub fn is_unknown(&self) -> bool {
        self.failure.is_some() && self.v4.is_empty() && self.v6.is_empty()
    }

    /// All addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v4 = self.v4.iter().copied().map(IpAddr::V4);
        v4.chain(self.v6.iter().copied().map(IpAddr::V6))
    }
}

/// What each hostname resolves to; a hostname whose first look-up is still under way is absent.
pub type HostAddresses = BTreeMap<Name, Resolved>;
