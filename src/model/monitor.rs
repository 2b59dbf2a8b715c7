//! Monitors: definitions of checks.

use std::net::IpAddr;
use std::time::Duration;

use super::Check;

/// Index into [`super::Fleet::monitors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonitorId(pub u16);

/// The definition of a check.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// The name in the configuration.
    pub name: String,
    /// What is asked and what must come back.
    pub check: Check,
    /// From where, and over which family.
    pub reach: Reach,
    /// Time between two probes of one endpoint, before jitter.
    pub interval: Duration,
    /// A probe without a result by then has failed; usually below `interval`.
    pub timeout: Duration,
    /// Failures that take an endpoint down, at least 1.
    pub fall: u32,
    /// Successes in a row that bring it up, at least 1.
    pub rise: u32,
    /// How many probing regions must agree that it is down.
    pub vantage: Vantage,
    /// Least time down after repeated flips; zero: no damping.
    pub hold_down: Duration,
}

/// How many of the voting regions must say down, and two at least where two are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// One is enough.
    Any,
    /// More than half.
    Majority,
    /// Every one.
    All,
    /// This many, or all of them if fewer vote; at least 1.
    AtLeast(u16),
}

/// How probes of a monitor reach an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The address they leave from; `None`: what the routes say.
    pub source: Option<IpAddr>,
    /// The address family they keep to.
    pub family: Family,
}

/// An address family, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    /// Whether `address` is of it.
    pub fn holds(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}
