//! The dashboard of a real node in a real Chromium: what it shows when regions die and come back,
//! what operators can do with it, and whom it lets in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.

#[path = "dashboard/acts.rs"]
mod acts;
#[path = "dashboard/browser.rs"]
mod browser;
#[path = "dashboard/entry.rs"]
mod entry;
#[path = "dashboard/fleet.rs"]
mod fleet;
#[path = "dashboard/flows.rs"]
mod flows;
#[path = "dashboard/outage.rs"]
mod outage;
#[path = "dashboard/peers.rs"]
mod peers;
mod support;
