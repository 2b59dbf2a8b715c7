//! Probes: when they run, and what each kind of check does.

mod guard;
mod resolve;
#[cfg(test)]
mod sample;
mod schedule;
mod scheduler;
mod target;

pub use guard::Guard;
pub use resolve::{Found, LookUp, NameServer, keep_resolved};
pub use scheduler::{ProbeResult, Scheduler};
pub use target::{Target, Targets, hostnames};
