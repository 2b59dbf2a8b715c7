//! DNS: the answer engine and the transports that call it.

mod bound;
mod certificates;
mod clients;
mod cookie;
mod counters;
mod desk;
mod doq;
mod draws;
mod edns;
pub mod engine;
#[cfg(feature = "failpoints")]
mod failpoint;
pub mod http;
mod http2;
mod http3;
mod hub;
mod io;
pub mod limit;
mod query_log;
mod quic;
mod socket;
mod stream;
pub mod transfer;
mod transport;
pub mod tsig;
mod udp;
mod wire;
mod writer;
#[cfg(feature = "xdp")]
mod xdp;

pub use cookie::Standing;
pub use counters::{Connections, Counters, Totals, TransferCounters};
pub use draws::{Draws, Random};
pub use engine::{Answer, Facts, Peer, Reply, Transport, answer};
pub use hub::Limits;
pub use query_log::{LogNames, LogTotals, LogWriter, QueryLog};
pub use quic::{QuicServer, QuicSockets};
pub use stream::{StreamServer, StreamSockets};
pub use udp::{UdpServer, UdpSockets};
pub use wire::Parsed;
