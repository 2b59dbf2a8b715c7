//! DNS: the answer engine and the transports that call it.

mod edns;
pub mod engine;
mod wire;
mod writer;

pub use engine::{Answer, Facts, Peer, Reply, Transport, answer};
pub use wire::Parsed;
