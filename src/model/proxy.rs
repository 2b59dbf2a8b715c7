//! The proxy of a node: where it listens, whom it believes, what it allows.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::prefix::Prefix;

/// `[proxy]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Addresses of HTTP in the clear.
    pub http: Vec<SocketAddr>,
    /// Threads, each with its own sockets and connections; 0: one per core.
    pub workers: usize,
    /// Peers whose X-Forwarded-For and Forwarded are believed.
    pub trusted_proxies: Vec<Prefix>,
    /// What is under way at the end gets this long.
    pub drain: Duration,
    /// What clients may ask for.
    pub limits: ProxyLimits,
}

impl Proxy {
    /// Whether what this peer says of the client before it is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|prefix| prefix.contains(peer))
    }
}

/// `[proxy.limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyLimits {
    /// Connections of all clients together.
    pub connections: usize,
    /// Connections of one client address that is no trusted proxy.
    pub per_client: usize,
    /// From the first octet of a request to the end of its head.
    pub header_timeout: Duration,
    /// A connection without a request is closed after this.
    pub idle: Duration,
    /// Header fields of a request.
    pub headers: usize,
    /// Octets of a request's head.
    pub header_size: usize,
    /// Octets of a request's target.
    pub target: usize,
    /// Octets of a request's body; `None`: any number.
    pub body: Option<u64>,
}
