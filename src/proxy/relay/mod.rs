//! Relays: connections and datagrams that pass through as they come, to the endpoints of a pool.

mod face;
pub mod flows;
pub mod hello;
mod sockets;
mod table;
mod tcp;
mod udp;

pub(super) use sockets::{RelaySockets, datagrams};
pub(super) use table::Relays;
pub(super) use tcp::{count_from_zero, serve as serve_connection};
pub(super) use udp::UdpTask;
