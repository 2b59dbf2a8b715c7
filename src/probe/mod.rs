//! Probes: when they run, and what each kind of check does.

mod guard;
#[cfg(test)]
mod sample;
mod schedule;
mod scheduler;
mod target;

pub use guard::Guard;
pub use scheduler::{ProbeResult, Scheduler};
pub use target::{Target, Targets, hostnames};
