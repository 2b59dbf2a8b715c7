//! Connections of HTTP/2 to endpoints: each is shared by many requests of one thread.

use std::cell::Cell;
use std::rc::Rc;

use hyper::client::conn::http2::SendRequest;

use super::request_body::RequestBody;
use crate::clock::Tick;

/// Requests that one connection has at a time, however many its endpoint allows: a lost packet
/// holds them all up.
const STREAMS_MAX: usize = 100;

/// One connection.
#[derive(Debug)]
pub(super) struct Shared {
    send: SendRequest<RequestBody>,
    usage: Rc<Usage>,
    /// Without a request it is closed at this time.
    until: Tick,
}

/// How a connection is used; its driver and its streams know of it.
#[derive(Debug)]
pub(super) struct Usage {
    streams: Cell<usize>,
    /// As many as its endpoint allows now (RFC 9113 section 5.1.2).
    pub(super) allowed: Cell<usize>,
}

/// The right to one request over a shared connection; over when it is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) send: SendRequest<RequestBody>,
    usage: Rc<Usage>,
}

impl Usage {
    /// A new connection, which allows `allowed` streams until its endpoint has said more.
    pub(super) fn new(allowed: usize) -> Self {
        Self { streams: Cell::new(0), allowed: Cell::new(allowed) }
    }
}

impl Shared {
    pub(super) fn new(send: SendRequest<RequestBody>, usage: Rc<Usage>, until: Tick) -> Self {
        Self { send, usage, until }
    }

    /// A stream, which keeps the connection until `until` at least; `None`: it is closed, or has
    /// as many as it may have.
    pub(super) fn stream(&mut self, until: Tick) -> Option<Stream> {
        let streams = self.usage.streams.get();
        if self.send.is_closed() || streams >= self.usage.allowed.get().min(STREAMS_MAX) {
            return None;
        }
        self.usage.streams.set(streams + 1);
        self.until = self.until.max(until);
        Some(Stream { send: self.send.clone(), usage: self.usage.clone() })
    }

    /// Whether it need not be kept.
    pub(super) fn is_over(&self, now: Tick) -> bool {
        self.send.is_closed() || self.usage.streams.get() == 0 && self.until < now
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.usage.streams.set(self.usage.streams.get() - 1);
    }
}
