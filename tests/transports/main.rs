//! The transports with connections: through real sockets, and through the clients people use.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Test.

#[path = "../dns_support/mod.rs"]
mod dns_support;

#[path = "../support/certificates.rs"]
mod certificates;
mod clients;
mod equal;
mod http3;
mod https;
mod kdig;
mod proxy;
mod quic;
mod server;
mod tls;
