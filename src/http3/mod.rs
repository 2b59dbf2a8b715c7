//! What an HTTP/3 server (RFC 9114) puts between its libraries of QUIC and of HTTP: streams, and
//! what each of them may bring.

mod bridge;
mod frames;

pub(crate) use bridge::{Bounds, Bridge, Gate, Receiving, Request, Sending, Stopped, Stream};
pub use frames::{Frames, TooMuch};
