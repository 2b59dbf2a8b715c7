//! Links between network namespaces that delay, lose, reorder and cut; takes root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.

#[path = "namespaces/emulator.rs"]
mod emulator;
#[path = "namespaces/emulator_test.rs"]
mod emulator_test;
#[path = "namespaces/link.rs"]
mod link;
#[path = "namespaces/namespace.rs"]
mod namespace;
#[path = "namespaces/tun.rs"]
mod tun;
