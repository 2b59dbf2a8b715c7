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

use http::HeaderName;
use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
pub(super) use listener::{Quic, QuicLimits};
pub(super) use upload::Upload;

/// Fields of connections, which make a message of HTTP/3 malformed (RFC 9114 section 4.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
