//! Probes: when they run, and what each kind of check does.

mod guard;
#[cfg(test)]
mod sample;
mod target;

pub use guard::Guard;
pub use target::{Target, Targets, hostnames};
