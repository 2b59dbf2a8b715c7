//! Connections to endpoints that wait for a request; each thread has its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{spawn_local, yield_now};

use super::body::RequestBody;
use super::guard::{Bounds, Expected, Guard, Guarded, ResponseGuard, Verdict};
use crate::clock::Tick;

/// Connections that may wait at one address, for each thread: more than a busy one needs.
const IDLE_MAX: usize = 256;
/// Longest head of a reply.
const HEAD_MAX: usize = 256 << 10;
/// Fields of a reply's head: as many as the parser keeps without asking for memory.
const FIELDS_MAX: usize = 100;

/// What requests are sent by, over one connection.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) send: SendRequest<RequestBody>,
    /// What its guard makes of the replies.
    pub(super) verdict: Verdict,
}

impl Sender {
    /// Says what is about to be asked; `false`: the reply before has not ended.
    pub(super) fn await_reply(&self, expected: Expected) -> bool {
        self.verdict.with(|guard| match guard {
            Guard::Response(guard) => guard.await_reply(expected),
            Guard::Request(_) => false,
        })
    }

    fn is_closed(&self) -> bool {
        self.send.is_closed() || self.verdict.refused().is_some()
    }
}

/// The connections of one thread that wait for a request.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// The one used last stands last, and is used first: the others may grow old and go.
    waiting: RefCell<HashMap<SocketAddr, Vec<Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    sender: Sender,
    /// As the route it was last used for allows.
    until: Tick,
}

impl Pool {
    /// A connection that waits at this address and seems to be alive.
    pub(super) async fn take(&self, address: SocketAddr, now: Tick) -> Option<Sender> {
        loop {
            let waiting = self.waiting.borrow_mut().get_mut(&address)?.pop()?;
            let Waiting { sender, until } = waiting;
            if sender.is_closed() || until < now {
                continue;
            }
            if !sender.send.is_ready() {
                // Its task may not have run since the last reply came to its end.
                yield_now().await;
            }
            if sender.send.is_ready() {
                return Some(sender);
            }
        }
    }

    /// Keeps a connection whose last reply has been read to its end.
    pub(super) fn keep(&self, address: SocketAddr, sender: Sender, idle: Duration, now: Tick) {
        if sender.is_closed() {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        let waiting = waiting.entry(address).or_default();
        if waiting.len() < IDLE_MAX {
            waiting.push(Waiting { sender, until: now + idle });
        }
    }

    /// Closes what has waited for too long, or has been closed by its endpoint.
    pub(super) fn sweep(&self, now: Tick) {
        self.waiting.borrow_mut().retain(|_, waiting| {
            waiting.retain(|one| one.until >= now && !one.sender.is_closed());
            !waiting.is_empty()
        });
    }
}

/// Connects to an endpoint. A task of this thread drives the connection until its end.
pub(super) async fn connect(address: SocketAddr) -> io::Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    // Heads and the ends of bodies must not wait for more to come.
    stream.set_nodelay(true)?;
    let bounds = Bounds { head: HEAD_MAX, fields: FIELDS_MAX, ..Bounds::default() };
    let stream = Guarded::new(stream, Guard::Response(ResponseGuard::new(bounds)));
    let verdict = stream.verdict();
    let mut builder = http1::Builder::new();
    builder.max_header_size(HEAD_MAX);
    let made = builder.handshake(TokioIo::new(stream)).await;
    let (send, connection) = made.map_err(io::Error::other)?;
    spawn_local(async move {
        // What goes wrong is told to whoever sent the request.
        let _ = connection.await;
    });
    Ok(Sender { send, verdict })
}
