//! `cache` of a route: which replies its proxy keeps, and for how long.

use std::time::Duration;

/// What a route adds to what origins say of their replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheRules {
    /// Octets that all kept replies take together.
    pub size: u64,
    /// Octets of the longest body that is kept.
    pub object: u64,
    /// How long a reply may be used stale while it is fetched anew, where the origin says nothing.
    pub stale_while_revalidate: Duration,
    /// How long it may be used stale when the origin fails, likewise.
    pub stale_if_error: Duration,
    /// Whether requests for what is being fetched wait for it instead of going on.
    pub collapse: bool,
    /// Whether a request's own directives count. They are preferences of a client, and any
    /// client could send the whole crowd's requests to the origin by them.
    pub obey_requests: bool,
}
