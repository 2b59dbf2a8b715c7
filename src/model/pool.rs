//! Pools and the endpoints in them.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use super::{MonitorId, RegionId};
use crate::name::Name;

/// Index into [`super::Fleet::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u16);

/// Index into [`super::Fleet::endpoints`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

/// Endpoints that share monitors, grouped by region.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The name in the configuration.
    pub name: String,
    /// An endpoint is up while all of these say so; with none it is always up.
    pub monitors: Vec<MonitorId>,
    /// A region counts as up while at least this share of its weight is up, from 0 to 1.
    pub min_up: f64,
    /// Requests a second that a region can take; one that is not named takes what comes.
    pub capacity: Vec<(RegionId, u32)>,
    /// The pool's endpoints, as a range of [`super::Fleet::endpoints`].
    pub endpoints: Range<u32>,
}

impl Pool {
    /// Requests a second that a region can take; `None`: nobody has said.
    pub fn capacity(&self, region: RegionId) -> Option<u32> {
        let known = self.capacity.iter().find(|(other, _)| *other == region);
        known.map(|(_, capacity)| *capacity)
    }
}

/// One address that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pool it is in.
    pub pool: PoolId,
    /// Where it is.
    pub region: RegionId,
    /// What is answered.
    pub address: Address,
    /// Where it is probed, when elsewhere than `address`.
    pub probe: Option<ProbeAddress>,
    /// Its share among tied endpoints; 0: only when all others are gone.
    pub weight: u32,
    /// Failure domain: of one group at most one endpoint stands in an answer of several.
    pub group: Option<String>,
    /// Pools without which, in its region, it serves nobody; empty: none.
    pub depends_on: Vec<PoolId>,
}

/// What a service answers for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A fixed address: one A or AAAA record.
    Ip(IpAddr),
    /// A hostname, resolved in the background or answered as CNAME.
    Host(Name),
}

impl fmt::Display for Address {
    /// An IP address, or a hostname with a final dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Host(name) => name.fmt(f),
        }
    }
}

/// Where an endpoint is probed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProbeAddress {
    /// Address or hostname.
    pub address: Address,
    /// Port, instead of the monitor's.
    pub port: Option<u16>,
}
