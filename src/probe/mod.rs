//! Probes: when they run, and what each kind of check does.

mod checker;
mod failure;
mod guard;
mod http;
mod resolve;
#[cfg(test)]
mod sample;
mod schedule;
mod scheduler;
mod target;
mod tcp;
mod tls;

pub use checker::Checker;
pub use guard::Guard;
pub use resolve::{Found, LookUp, NameServer, keep_resolved};
pub use scheduler::{ProbeResult, Scheduler};
pub use target::{Target, Targets, hostnames};
pub use tls::Tls;
