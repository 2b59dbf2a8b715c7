//! Connections to endpoints that wait for a request, or are shared by some; each thread has its
//! own.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use hyper::client::conn::http2;
use rustls::pki_types::ServerName;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::guard::{Expected, Guard, Verdict};
use super::request_body::{Onward, Progress, RequestBody};
use super::shared::{Shared, Stream, Usage};
use crate::clock::{self, Tick};
use crate::model::Way;
use crate::proxy_header::Ends;

/// Connections that may wait at one address, for each thread: as many as a burst of requests over
/// some dozen connections of HTTP/2 leaves behind. Those that the next one does not need grow old.
const IDLE_MAX: usize = 1_024;
/// Addresses, ways and clients whose connections may wait, for each thread: only connections that
/// speak for one client make many.
const KEYS_MAX: usize = 4_096;

/// The connections used last, among which one is looked for that is ready.
const READY_AMONG: usize = 16;

/// What connections are kept by: any with the same key will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConnectionKey {
    address: SocketAddr,
    /// 0: HTTP/1.1 in the clear, for whomever.
    way: u64,
}

impl ConnectionKey {
    /// Of connections to this address by this way, whose certificate is for this name.
    pub(super) fn new(address: SocketAddr, way: &Way, name: Option<&ServerName<'_>>) -> Self {
        let mixed = || {
            let mut hasher = DefaultHasher::new();
            (way.identity, name).hash(&mut hasher);
            // Never that of the plain way.
            hasher.finish() | 1
        };
        Self { address, way: if way.identity == 0 { 0 } else { mixed() } }
    }

    /// The same for one client alone.
    pub(super) fn of(self, ends: &Ends) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.way, ends.source, ends.destination).hash(&mut hasher);
        Self { way: hasher.finish() | 1, ..self }
    }
}

/// What one request is sent by.
#[derive(Debug)]
pub(super) enum Sender {
    /// A connection of HTTP/1.1.
    Own(Own),
    /// A stream of HTTP/2.
    Stream(Stream),
}

/// The head of a reply, or why there is none.
pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// A connection that has one request at a time.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) send: SendRequest<RequestBody>,
    /// What its guard makes of the replies.
    pub(super) verdict: Verdict,
}

impl Sender {
    /// Says what is about to be asked; `false`: the reply before has not ended.
    pub(super) fn await_reply(&self, expected: Expected) -> bool {
        let Self::Own(own) = self else { return true };
        own.verdict.with(|guard| match guard {
            Guard::Response(guard) => guard.await_reply(expected),
            Guard::Request(_) | Guard::Http2(_) => false,
        })
    }

    /// Sends a request; the reply's head, or why there is none. `None`: it did not come
    /// [in time](in_time).
    pub(super) async fn send(
        &mut self,
        request: Onward,
        progress: Option<&Progress>,
        patience: (Instant, Duration),
    ) -> Option<Sent> {
        match self {
            Self::Own(own) => {
                let sent = pin!(own.send.try_send_request(*request));
                in_time(sent, progress, patience).await
            }
            Self::Stream(stream) => {
                let sent = pin!(stream.send.try_send_request(*request));
                in_time(sent, progress, patience).await
            }
        }
    }

    /// Whether what came back was refused.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Own(own) if own.verdict.refused().is_some())
    }
}

impl Own {
    fn is_closed(&self) -> bool {
        self.send.is_closed() || self.verdict.refused().is_some()
    }
}

/// The connections of one thread.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// The one used last stands last, and is used first: the others may grow old and go.
    waiting: RefCell<HashMap<ConnectionKey, Vec<Waiting>>>,
    shared: RefCell<HashMap<ConnectionKey, Vec<Shared>>>,
    /// Shared connections that are being made.
    making: RefCell<HashSet<ConnectionKey>>,
    made: Notify,
}

#[derive(Debug)]
struct Waiting {
    own: Own,
    /// As the route it was last used for allows.
    until: Tick,
}

impl Pool {
    /// A connection that waits under this key and seems to be alive.
    pub(super) async fn take(&self, key: ConnectionKey, now: Tick) -> Option<Own> {
        loop {
            let Waiting { own, until } = next(self.waiting.borrow_mut().get_mut(&key)?)?;
            if own.is_closed() || until < now {
                continue;
            }
            if !own.send.is_ready() {
                // Its task may not have run since the last reply came to its end.
                yield_now().await;
            }
            if own.send.is_ready() {
                return Some(own);
            }
        }
    }

    /// Keeps a connection whose last reply has been read to its end.
    pub(super) fn keep(&self, key: ConnectionKey, sender: Sender, idle: Duration, now: Tick) {
        let Sender::Own(own) = sender else { return };
        if own.is_closed() {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= KEYS_MAX && !waiting.contains_key(&key) {
            return;
        }
        let waiting = waiting.entry(key).or_default();
        if waiting.len() < IDLE_MAX {
            waiting.push(Waiting { own, until: now + idle });
        }
    }

    /// A stream of a connection that has room; it may wait until `until` afterwards. Where one is
    /// being made, waits for that: a burst of requests makes one connection, not many.
    pub(super) async fn stream(&self, key: ConnectionKey, until: Tick) -> Option<Stream> {
        loop {
            let mut made = std::pin::pin!(self.made.notified());
            made.as_mut().enable();
            if let Some(shared) = self.shared.borrow_mut().get_mut(&key)
                && let Some(stream) = shared.iter_mut().find_map(|one| one.stream(until))
            {
                return Some(stream);
            }
            if !self.making.borrow().contains(&key) {
                return None;
            }
            made.await;
        }
    }

    /// Says that a shared connection is being made, until what this gives is dropped.
    pub(super) fn making(&self, key: ConnectionKey) -> Making<'_> {
        self.making.borrow_mut().insert(key);
        Making { pool: self, key }
    }

    /// Keeps a connection to be shared, and gives its first stream.
    pub(super) fn share(
        &self,
        key: ConnectionKey,
        (send, usage): (http2::SendRequest<RequestBody>, Rc<Usage>),
        until: Tick,
    ) -> Option<Stream> {
        let mut shared = Shared::new(send, usage, until);
        let stream = shared.stream(until);
        self.shared.borrow_mut().entry(key).or_default().push(shared);
        stream
    }

    /// Closes what has waited for too long, or has been closed by its endpoint.
    pub(super) fn sweep(&self, now: Tick) {
        self.waiting.borrow_mut().retain(|_, waiting| {
            waiting.retain(|one| one.until >= now && !one.own.is_closed());
            !waiting.is_empty()
        });
        self.shared.borrow_mut().retain(|_, shared| {
            shared.retain(|one| !one.is_over(now));
            !shared.is_empty()
        });
    }
}

/// The one that is to be used next.
fn next(waiting: &mut Vec<Waiting>) -> Option<Waiting> {
    // Where many requests come at once, the tasks of the last ones may not have run since their
    // replies came to an end.
    let latest = waiting.iter().enumerate().rev().take(READY_AMONG);
    let ready = latest.map(|(at, one)| (at, one.own.send.is_ready())).find(|(_, ready)| *ready);
    match ready {
        Some((at, _)) => Some(waiting.remove(at)),
        None => waiting.pop(),
    }
}

/// A shared connection that is being made.
#[derive(Debug)]
pub(super) struct Making<'a> {
    pool: &'a Pool,
    key: ConnectionKey,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.pool.making.borrow_mut().remove(&self.key);
        self.pool.made.notify_waiters();
    }
}

/// Waits for the reply to a request, for `patience` after `begun` and after the end of its body;
/// `None`: it did not come. While the body is under way it has a clock of its own.
async fn in_time<F: Future>(
    mut sent: Pin<&mut F>,
    progress: Option<&Progress>,
    (begun, patience): (Instant, Duration),
) -> Option<F::Output> {
    let mut timer = pin!(sleep_until(begun + patience));
    loop {
        tokio::select! {
            biased;
            reply = &mut sent => return Some(reply),
            () = &mut timer => {}
        }
        let ended = progress?.ended.get();
        let passed = ended.map_or(Duration::ZERO, |ended| clock::now().since(ended));
        if passed >= patience {
            return None;
        }
        timer.as_mut().reset(tokio::time::Instant::now() + patience.saturating_sub(passed));
    }
}
