//! DNS: the answer engine and the transports that call it.

mod cookie;
mod counters;
mod desk;
mod draws;
mod edns;
pub mod engine;
mod io;
pub mod limit;
mod socket;
mod tcp;
mod udp;
mod wire;
mod writer;
#[cfg(feature = "xdp")]
mod xdp;

pub use cookie::Standing;
pub use counters::{Counters, TcpCounters, Totals};
pub use draws::{Draws, Random};
pub use engine::{Answer, Facts, Peer, Reply, Transport, answer};
pub use tcp::{TcpLimits, TcpServer, TcpSockets};
pub use udp::{UdpServer, UdpSockets};
pub use wire::Parsed;
