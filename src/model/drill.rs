//! Drills: what is taken out on purpose, for how long, and what is to hold meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use crate::diagnostic::Location;
use crate::name::Name;
use crate::prefix::Prefix;

/// A failover that is tried on the live fleet.
#[derive(Clone, Debug)]
pub struct Drill {
    /// What it is called.
    pub name: String,
    /// What is taken out, as overrides write their targets.
    pub fail: Vec<Written<String>>,
    /// How it is taken out.
    pub how: How,
    /// For how long.
    pub lasts: Duration,
    /// The services that are looked at.
    pub services: Vec<Written<Name>>,
    /// When it is to begin, in seconds since 1970-01-01 UTC; `None`: at once.
    pub starts: Option<u64>,
    /// Where the nodes answer DNS; empty: where the name servers of the zones are.
    pub nodes: Vec<SocketAddr>,
    /// The clients that are asked for; empty: one of each sort that the policies tell apart.
    pub clients: Vec<Prefix>,
    /// How often all of them are asked.
    pub every: Duration,
    /// What is to hold.
    pub expect: Expect,
    /// What ends it early.
    pub abort: Abort,
}

/// A value, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// The value.
    pub value: T,
    /// Its place; `None`: it was an argument.
    pub at: Option<Location>,
}

/// How something is taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// It counts as down.
    #[default]
    Health,
    /// It is answered only when nothing else serves.
    Drain,
}

impl How {
    /// The word in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Drain => "drain",
        }
    }
}

/// What is to hold; what is `None` or false is reported and not judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// Every node answers without what was taken out.
    pub moved_within: Option<Duration>,
    /// No node answers with an error or nothing.
    pub no_errors: bool,
    /// No surviving region has more load than this share of its capacity.
    pub survivor_load: Option<f64>,
    /// After the end answers are as before.
    pub back_within: Option<Duration>,
}

/// What ends a drill early.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Abort {
    /// A surviving region has this share of its capacity as load.
    pub survivor_load: Option<f64>,
    /// One of these no longer serves, as `region:NAME`.
    pub down: Vec<Written<String>>,
}
