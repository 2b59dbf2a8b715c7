//! DNS: the answer engine and the transports that call it.

mod cookie;
mod counters;
mod draws;
mod edns;
pub mod engine;
pub mod limit;
mod socket;
mod tcp;
pub mod transfer;
pub mod tsig;
mod udp;
mod wire;
mod writer;

pub use cookie::Standing;
pub use counters::{Counters, TcpCounters, Totals, TransferCounters};
pub use draws::{Draws, Random};
pub use engine::{Answer, Facts, Peer, Reply, Transport, answer};
pub use tcp::{TcpLimits, TcpServer, TcpSockets};
pub use udp::{UdpServer, UdpSockets};
pub use wire::Parsed;
