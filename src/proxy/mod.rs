//! The regional proxy: what is decided about connections, requests and endpoints.

pub mod balance;
pub mod guard;
pub mod head;
pub mod refused;
