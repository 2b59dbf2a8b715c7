//! `[latency]`: what is known of round trips before any was measured, and what is learnt.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::RegionId;
use crate::prefix::Prefix;

/// `[latency]`
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// The rows of `matrix`, by `from` and `to`.
    pub matrix: Vec<Leg>,
    /// Share of answers that go to the runner-up, so that its estimate stays true; 0: none.
    pub explore: f64,
    /// What was not measured for this long is forgotten.
    pub keep: Duration,
    /// Whether the round trips of clients are recorded at all.
    pub learn: bool,
    /// Resolvers that are probed in the place of their clients; `None`: none are.
    pub resolvers: Option<Arc<Resolvers>>,
}

/// Resolvers that are probed in the place of the clients that use them.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolvers {
    /// In the order of the file, each once.
    pub list: Vec<Resolver>,
    /// What they are asked.
    pub kind: ResolverProbe,
    /// The destination port.
    pub port: u16,
    /// Between two probes of the same resolver, at least.
    pub interval: Duration,
    /// A resolver that says nothing for so long is passed over.
    pub timeout: Duration,
    /// Most probes that a node starts in a second.
    pub rate: NonZeroU32,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolver {
    /// Where it is.
    pub address: IpAddr,
    /// Whom it stands for; each a /24 or /48 at most as wide.
    pub clients: Vec<Prefix>,
}

/// How a resolver is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolverProbe {
    /// By a question over UDP.
    Dns,
    /// By the handshake of TCP.
    Tcp,
}

/// The round trip between two regions, as an imported matrix has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leg {
    /// Where clients are.
    pub from: RegionId,
    /// Where endpoints are.
    pub to: RegionId,
    /// In milliseconds, from 0.05 to 10,000.
    pub ms: f64,
}

impl Default for Latency {
    fn default() -> Self {
        let keep = Duration::from_secs(7 * 86_400);
        Self { matrix: Vec::new(), explore: 0.005, keep, learn: true, resolvers: None }
    }
}
