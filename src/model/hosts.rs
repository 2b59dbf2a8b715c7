//! Addresses of hostname endpoints, as last resolved.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::name::Name;

/// What a hostname resolved to; empty lists mean that it has no address of the family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4 addresses, sorted.
    pub v4: Vec<Ipv4Addr>,
    /// IPv6 addresses, sorted.
    pub v6: Vec<Ipv6Addr>,
}

/// The hostnames resolved so far; one that is missing has never been resolved.
pub type HostAddresses = HashMap<Name, Addresses>;
