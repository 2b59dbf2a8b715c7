//! The latency map: how long round trips of clients take to each region, by what was measured.
//!
//! Layer 3 and pure: samples and reports go into a [`LatencyMap`], from time to time that becomes
//! [`Estimates`], and a [`Chart`] lays those out for a fleet. Clients are prefixes alone.

mod cell;
mod chart;
mod client;
mod estimates;
mod map;
mod means;
mod refusal;
mod rtt;
#[cfg(test)]
mod sample;
mod saved;
mod store;
mod terrain;
#[cfg(test)]
mod tests;
mod trip;

pub use cell::SAMPLES_MAX;
pub use chart::{Chart, Estimate, Prior, Source, is_known};
pub use client::Client;
pub use estimates::{Estimates, Facts};
pub use map::{Counts, LatencyMap, Measured, Reporter, Way};
pub use refusal::Refusal;
pub use rtt::Rtt;
pub use saved::LENGTH_MAX;
pub use trip::Trip;
