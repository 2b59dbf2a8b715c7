//! The regional proxy: what is decided about connections, requests and endpoints, and the threads
//! that carry it out.

mod activity;
pub mod balance;
mod body;
mod channel;
mod connection;
mod exchange;
mod failure;
mod forward;
pub mod head;
mod load;
mod pool;
pub mod refused;
mod router;
mod seats;
mod server;
mod sockets;
mod spared;
mod view;
mod worker;

pub use router::{Router, Target};
pub use server::ProxyServer;
pub use sockets::ProxySockets;
