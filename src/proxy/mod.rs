//! The regional proxy: what is decided about connections, requests and endpoints, and the threads
//! that carry it out.

mod activity;
pub mod admission;
pub mod balance;
mod body;
pub mod budget;
pub mod cache;
mod channel;
mod connection;
pub mod eject;
mod exchange;
mod failure;
mod forward;
pub mod guard;
pub mod head;
mod load;
mod pool;
pub mod rate;
pub mod refused;
mod router;
mod seats;
mod server;
mod shown;
mod sockets;
mod spared;
pub mod sticky;
mod view;
mod worker;

pub use router::{Router, Target};
pub use server::ProxyServer;
pub use sockets::ProxySockets;
