//! Meridian: a DNS-based global server load balancer.
//!
//! Files become a [`model::Model`], the model and what probes see become an immutable snapshot,
//! and a query is answered from one snapshot alone. ARCHITECTURE.md shows the whole.

// Layers, lowest first; a module imports from lower layers only (tests/tidy.rs).
pub mod clock;
pub mod diagnostic;
pub mod durable;
pub mod handed;
pub mod http3;
pub mod listening;
pub mod metrics;
pub mod name;
mod outbound;
pub mod place;
pub mod prefix;
pub mod proxy_header;
mod rows;
pub mod spool;
pub mod tls;
#[cfg(test)]
mod written;

pub mod model;

pub mod config;
pub mod geo;
pub mod zone;

pub mod acme;
pub mod health;
pub mod latency;
pub mod load;

pub mod steering;

pub mod snapshot;

pub mod cluster;
pub mod dns;
pub mod drill;
pub mod probe;
pub mod proxy;

pub mod admin;

pub mod cli;
