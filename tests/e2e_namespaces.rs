//! A fleet of three regions in network namespaces, with links between the regions that delay, lose,
//! reorder and cut; takes root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.
#![allow(clippy::print_stdout)] // Shown when a test fails.

#[path = "namespaces/bus.rs"]
mod bus;
#[path = "namespaces/emulator.rs"]
mod emulator;
#[path = "namespaces/emulator_test.rs"]
mod emulator_test;
#[path = "namespaces/fleet.rs"]
mod fleet;
#[path = "namespaces/link.rs"]
mod link;
#[path = "namespaces/namespace.rs"]
mod namespace;
#[path = "namespaces/nearness.rs"]
mod nearness;
#[path = "namespaces/record.rs"]
mod record;
#[path = "namespaces/region.rs"]
mod region;
#[path = "namespaces/scenarios.rs"]
mod scenarios;
#[path = "namespaces/stepped.rs"]
mod stepped;
mod support;
#[path = "namespaces/tun.rs"]
mod tun;
#[path = "namespaces/writers.rs"]
mod writers;
