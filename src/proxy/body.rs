//! Bodies on their way through: bounded in length and in the time between two parts.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::exchange::Exchange;
use super::pool::Sender;
use super::worker::Worker;
use crate::clock::{self, Tick};

/// Why a body did not come to its end.
#[derive(Debug)]
pub(super) enum BodyFault {
    /// It is longer than is allowed.
    TooLong,
    /// The next part did not come in time.
    Slow,
    /// The connection it came over broke, or its framing.
    Broken(hyper::Error),
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the body is too long"),
            Self::Slow => f.write_str("the next part of the body did not come in time"),
            Self::Broken(error) => write!(f, "the body broke off: {error}"),
        }
    }
}

impl std::error::Error for BodyFault {}

/// A body as it comes, with a clock that runs while nothing does.
struct Timed {
    inner: Incoming,
    idle: Duration,
    /// Made when the first part is not there yet; most bodies need none.
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Timed {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.armed = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyFault::Broken)));
        }
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !std::mem::replace(&mut self.armed, true) {
            timer.as_mut().reset(tokio::time::Instant::now() + idle);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyFault::Slow)))
    }
}

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("armed", &self.armed).finish_non_exhaustive()
    }
}

/// How far a request's body has come, for whoever waits for the reply.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// When its end went out; `None`: it has not.
    pub(super) ended: Cell<Option<Tick>>,
    /// The status that says what is wrong with it; 0: nothing.
    pub(super) fault: Cell<u16>,
    /// Octets that went out.
    pub(super) octets: Cell<u64>,
}

/// The body of a request on its way to an endpoint.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None`: there is no body.
    body: Option<(Timed, Rc<Progress>)>,
    /// Octets that may still come.
    left: u64,
}

impl RequestBody {
    /// No body.
    pub(super) fn empty() -> Self {
        Self { body: None, left: 0 }
    }

    /// The body of a client's request.
    pub(super) fn new(
        inner: Incoming,
        most: Option<u64>,
        idle: Duration,
        progress: Rc<Progress>,
    ) -> Self {
        let timed = Timed { inner, idle, timer: None, armed: false };
        Self { body: Some((timed, progress)), left: most.unwrap_or(u64::MAX) }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_none()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let left = self.left;
        let Some((timed, progress)) = &mut self.body else { return Poll::Ready(None) };
        let frame = match ready!(timed.poll_frame(context)) {
            None => {
                progress.ended.set(Some(clock::now()));
                return Poll::Ready(None);
            }
            Some(Ok(frame)) => frame,
            Some(Err(fault)) => {
                progress.fault.set(if matches!(fault, BodyFault::Slow) { 408 } else { 400 });
                return Poll::Ready(Some(Err(fault)));
            }
        };
        let octets = frame.data_ref().map_or(0, Bytes::len) as u64;
        progress.octets.set(progress.octets.get() + octets);
        if timed.inner.is_end_stream() {
            progress.ended.set(Some(clock::now()));
        }
        let Some(left) = left.checked_sub(octets) else {
            progress.fault.set(413);
            return Poll::Ready(Some(Err(BodyFault::TooLong)));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|(timed, _)| timed.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), |(timed, _)| timed.inner.size_hint())
    }
}

/// The connection that a reply comes over; kept for the next request when the reply has ended.
pub(super) struct Lease {
    pub(super) worker: Rc<Worker>,
    pub(super) sender: Sender,
    pub(super) address: std::net::SocketAddr,
    /// How long it may wait.
    pub(super) idle: Duration,
}

impl Lease {
    fn give_back(self) {
        self.worker.pool.keep(self.address, self.sender, self.idle, clock::now());
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The body of a reply on its way to the client.
#[derive(Debug)]
pub(super) struct ReplyBody {
    content: Content,
    /// Over when the body is.
    exchange: Exchange,
}

#[derive(Debug)]
enum Content {
    /// A text of ours.
    Own(Option<Bytes>),
    /// What an endpoint sends. The lease is `None` when the connection has been given back.
    Passed(Timed, Option<Lease>),
}

impl ReplyBody {
    /// A text of ours.
    pub(super) fn own(text: Bytes, exchange: Exchange) -> Self {
        let text = (!text.is_empty()).then_some(text);
        Self { content: Content::Own(text), exchange }
    }

    /// What an endpoint sends over the connection of `lease`.
    pub(super) fn passed(inner: Incoming, lease: Lease, exchange: Exchange) -> Self {
        let idle = lease.idle;
        let timed = Timed { inner, idle, timer: None, armed: false };
        let mut body = Self { content: Content::Passed(timed, Some(lease)), exchange };
        body.give_back_at_end();
        body
    }

    /// Keeps the connection for the next request once all has come.
    fn give_back_at_end(&mut self) {
        if let Content::Passed(timed, lease) = &mut self.content
            && timed.inner.is_end_stream()
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let frame = match &mut self.content {
            Content::Own(text) => {
                let text = text.take();
                text.map(|text| Ok(Frame::data(text)))
            }
            Content::Passed(timed, lease) => {
                let frame = ready!(timed.poll_frame(context));
                if frame.is_none()
                    && let Some(lease) = lease.take()
                {
                    lease.give_back();
                }
                frame
            }
        };
        if let Some(Ok(frame)) = &frame {
            self.exchange.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        self.give_back_at_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(text) => text.is_none(),
            Content::Passed(timed, _) => timed.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Content::Passed(timed, _) => timed.inner.size_hint(),
        }
    }
}
