//! The engines between nodes: one contract for both, and what a real bus does to its nodes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.

#[path = "cluster/bus.rs"]
mod bus;
#[path = "cluster/command.rs"]
mod command;
#[path = "cluster/contract.rs"]
mod contract;
#[path = "cluster/measured.rs"]
mod measured;
#[path = "cluster/node.rs"]
mod node;
#[path = "cluster/rights.rs"]
mod rights;
mod support;
#[path = "cluster/templates.rs"]
mod templates;
