//! Services: owner names answered through a policy.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{ClientSubnet, Flattened, Method, PoolId, Primary, RegionId};
use crate::diagnostic::Location;
use crate::name::Name;

/// A zone and the files it comes from.
#[derive(Clone, Debug)]
pub struct ZoneFiles {
    /// The apex.
    pub origin: Name,
    /// The master file; that of a zone with a primary is in the state folder, as last fetched.
    pub master: PathBuf,
    /// Where the zone is fetched from; `None`: the master file is the operator's.
    pub primary: Option<Primary>,
    /// What transfers to others hold for the steered names.
    pub flattened: Flattened,
    /// The steered names, by owner.
    pub services: Vec<Service>,
}

/// An owner name answered through a policy.
#[derive(Clone, Debug)]
pub struct Service {
    /// The name in the configuration: `www`, `@`, `*.eu`.
    pub name: String,
    /// The owner name; its first label may be `*` (RFC 4592).
    pub owner: Name,
    /// Where it is defined, for mistakes that only show together with the master file.
    pub at: Location,
    /// Pools; a later one counts only while the earlier have no region up.
    pub pools: Vec<PoolId>,
    /// The methods, in order.
    pub policy: Vec<Method>,
    /// Most addresses in one answer; `None`: all that tie (the default of `rotate`).
    pub answers: Option<u16>,
    /// Bounds of the answer's TTL.
    pub ttl: TtlRange,
    /// What is answered while nothing is up.
    pub all_down: AllDown,
    /// How a region that was gone comes back.
    pub failback: Failback,
    /// Whose client subnets it goes by, of those that the node believes.
    pub client_subnet: ClientSubnet,
    /// What its HTTPS records say; `None`: it answers none.
    pub https: Option<Https>,
    /// A direct name: it answers all endpoints that the first of its pools has in this region,
    /// whatever their health.
    pub only: Option<RegionId>,
}

/// What the HTTPS records of a service say beside its addresses (RFC 9460 section 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Https {
    /// The protocols that its servers speak, by their ALPN identifiers; never empty.
    pub alpn: Vec<String>,
    /// Where they listen; `None`: at the port of the URL.
    pub port: Option<u16>,
}

/// How a region that was gone for a service comes back into its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Failback {
    /// At once.
    #[default]
    Auto,
    /// After so long without a new loss.
    Delay(Duration),
    /// With a part that grows over this time.
    Ramp(Duration),
    /// When an operator says so.
    Manual,
}

/// Bounds of a steered answer's TTL, whole seconds, `min` at most `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlRange {
    /// Never below.
    pub min: Duration,
    /// Never above.
    pub max: Duration,
}

/// What a service answers while nothing in its pools is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllDown {
    /// Every endpoint.
    All,
    /// What would be answered if everything were up.
    First,
    /// What was up last.
    LastGood,
    /// No records, with SOA.
    NoData,
    /// SERVFAIL.
    ServFail,
    /// These addresses.
    Address(Vec<IpAddr>),
    /// A CNAME to this name.
    Cname(Name),
}

impl fmt::Display for AllDown {
    /// As in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("\"all\""),
            Self::First => f.write_str("\"first\""),
            Self::LastGood => f.write_str("\"last-good\""),
            Self::NoData => f.write_str("\"nodata\""),
            Self::ServFail => f.write_str("\"servfail\""),
            Self::Address(addresses) => write!(f, "{{ address = {addresses:?} }}"),
            Self::Cname(target) => write!(f, "{{ cname = \"{target}\" }}"),
        }
    }
}
