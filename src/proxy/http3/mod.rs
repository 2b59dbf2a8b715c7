//! HTTP/3 (RFC 9114): connections of QUIC, each request on a stream of its own.
//!
//! Each thread has a socket of its own at each address, as with TCP; the kernel gives all datagrams
//! between two addresses to the same one. What a request is and what becomes of it is the same as
//! over other connections (`forward`); here are the handshake, the streams and their limits.

mod connection;
mod fruitless;
mod listener;
mod reply;
mod request;
mod stay;
mod upload;

pub(super) use listener::{Quic, QuicLimits};
pub(super) use upload::Upload;
