//! DNS: the answer engine and the transports that call it.

mod cookie;
mod counters;
mod draws;
mod edns;
pub mod engine;
#[cfg(feature = "failpoints")]
mod failpoint;
pub mod limit;
mod query_log;
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
pub use query_log::{LogNames, LogTotals, LogWriter, QueryLog};
pub use tcp::{TcpLimits, TcpServer, TcpSockets};
pub use udp::{UdpServer, UdpSockets};
pub use wire::Parsed;
