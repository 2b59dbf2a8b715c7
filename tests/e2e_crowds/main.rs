//! Clients that hold what they can get: idle, half-sent and write-only connections of thousands
//! against a server in a process of its own. They keep nobody out and cost little memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Test.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.
#![allow(clippy::print_stdout)] // The figures, for whoever wants to see them.

#[path = "../transports/clients.rs"]
mod clients;
mod greedy;
mod held;
mod node;
#[path = "../support/mod.rs"]
mod support;

use support::certificates;
