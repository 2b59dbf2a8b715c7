//! Probes: when they run, and what each kind of check does.

mod allowance;
mod certificate;
mod checker;
mod dns;
mod exec;
mod failure;
mod feed;
mod grpc;
mod http;
mod icmp;
mod resolve;
mod resolvers;
mod route;
#[cfg(test)]
mod sample;
mod schedule;
mod scheduler;
mod target;
mod tcp;
mod tls;
mod tls_check;

pub use checker::Checker;
pub use feed::{Bulletin, Feeds, Report, State};
pub use icmp::refusal as icmp_refusal;
pub use resolve::{Found, LookUp, NameServer, keep_resolved};
pub use resolvers::{Rounds, sound};
pub use scheduler::{ProbeResult, Scheduler};
pub use target::{Target, Targets, hostnames};
pub use tls::Tls;

use route::{Limit, Route};
