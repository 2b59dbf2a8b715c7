//! Zone transfers with Knot DNS, NSD and BIND at the other end.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

#[path = "transfer/fetched.rs"]
mod fetched;
#[path = "transfer/out.rs"]
mod out;
#[path = "transfer/peers.rs"]
mod peers;
mod support;
#[path = "transfer/tls.rs"]
mod tls;
