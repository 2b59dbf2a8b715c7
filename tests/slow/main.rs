//! Clients that hold what they can get: idle, half-sent and write-only connections of thousands
//! against a server in a process of its own. They keep nobody out and cost little memory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Test.

#[path = "../transports/certificates.rs"]
mod certificates;
#[path = "../transports/clients.rs"]
mod clients;
mod greedy;
mod held;
mod node;
#[path = "../support/mod.rs"]
mod support;
