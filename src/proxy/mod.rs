//! The regional proxy: what is decided about connections, requests and endpoints.

pub mod admission;
pub mod balance;
pub mod budget;
pub mod cache;
pub mod eject;
pub mod guard;
pub mod head;
pub mod rate;
pub mod refused;
pub mod sticky;
