//! Bodies on their way through: bounded in length and in the time between two parts.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h3::error::StreamError;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::cache::{Part, Reader};
use super::compress::Encoder;
use super::exchange::Exchange;
use super::failure::Failure;
use super::load::InFlight;
use super::pace::Pace;
use super::pool::{ConnectionKey, Sender};
use super::source::Source;
use super::worker::Worker;
use crate::clock;

/// Why a body did not come to its end.
#[derive(Debug)]
pub(super) enum BodyFault {
    /// It is longer than is allowed.
    TooLong,
    /// The next part did not come in time.
    Slow,
    /// The time for all of it is over.
    Late,
    /// The connection it came over broke, or its framing.
    Broken(hyper::Error),
    /// Its stream of HTTP/3 broke off.
    Stopped(StreamError),
    /// It is not as long as was told.
    Length,
    /// The fetch that it was read from broke off.
    Cut,
    /// It cannot be compressed.
    Unencoded(std::io::Error),
}

impl BodyFault {
    /// What the client is told, where a reply has not begun.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::TooLong => Failure::BodyTooLong,
            Self::Slow => Failure::BodySlow,
            Self::Late => Failure::Timeout,
            Self::Broken(_) | Self::Stopped(_) | Self::Length | Self::Cut => Failure::Malformed,
            Self::Unencoded(_) => Failure::BadReply,
        }
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the body is too long"),
            Self::Slow => f.write_str("the next part of the body did not come in time"),
            Self::Late => f.write_str("the body did not come to its end in time"),
            Self::Broken(error) => write!(f, "the body broke off: {error}"),
            Self::Stopped(error) => write!(f, "the body broke off: {error}"),
            Self::Length => f.write_str("the body is not as long as its length says"),
            Self::Cut => f.write_str("the body broke off"),
            Self::Unencoded(error) => write!(f, "the body cannot be compressed: {error}"),
        }
    }
}

impl std::error::Error for BodyFault {}

/// A body as it comes, with a clock that runs while nothing does.
pub(super) struct Timed {
    inner: Source,
    idle: Duration,
    /// Made when the first part is not there yet; most bodies need none.
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
    /// How fast it must come; `None`: as it likes.
    pace: Option<Box<Pace>>,
    /// When it must have ended; `None`: whenever it does.
    end: Option<tokio::time::Instant>,
}

impl Timed {
    /// This body, which may rest for so long.
    pub(super) fn new(inner: impl Into<Source>, idle: Duration) -> Self {
        let inner = inner.into();
        Self { inner, idle, timer: None, armed: false, pace: None, end: None }
    }

    /// The body of a request, which may have to come at some pace.
    pub(super) fn paced(inner: Source, idle: Duration, pace: Option<Box<Pace>>) -> Self {
        Self { pace, ..Self::new(inner, idle) }
    }

    /// Whether nothing more will come.
    pub(super) fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    /// What is known of its length.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }

    /// The next part.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let late = self.end.is_some_and(|end| tokio::time::Instant::now() >= end);
        if late && !self.inner.is_end_stream() {
            return Poll::Ready(Some(Err(BodyFault::Late)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.armed = false;
            if let (Some(pace), Some(Ok(frame))) = (&mut self.pace, &frame) {
                pace.came(frame.data_ref().map_or(0, Bytes::len), clock::now());
            }
            return Poll::Ready(frame);
        }
        let paced = self.pace.as_mut().map(|pace| pace.waits(clock::now()));
        let left = self.end.map(|end| end.saturating_duration_since(tokio::time::Instant::now()));
        let idle = [paced, left].into_iter().flatten().fold(self.idle, Duration::min);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !std::mem::replace(&mut self.armed, true) {
            timer.as_mut().reset(tokio::time::Instant::now() + idle);
        }
        ready!(timer.as_mut().poll(context));
        let late = self.end.is_some_and(|end| tokio::time::Instant::now() >= end);
        Poll::Ready(Some(Err(if late { BodyFault::Late } else { BodyFault::Slow })))
    }
}

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("armed", &self.armed).finish_non_exhaustive()
    }
}

/// The connection that a reply comes over; kept for the next request when the reply has ended.
pub(super) struct Lease {
    pub(super) worker: Rc<Worker>,
    pub(super) sender: Sender,
    pub(super) key: ConnectionKey,
    /// How long it may wait.
    pub(super) idle: Duration,
}

impl Lease {
    /// Keeps the connection for the next request.
    pub(super) fn give_back(self) {
        self.worker.pool.keep(self.key, self.sender, self.idle, clock::now());
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A body as an endpoint sends it.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) timed: Timed,
    /// The connection that it comes over; `None`: it has been given back.
    pub(super) lease: Option<Lease>,
}

impl Passing {
    /// What comes over the connection of `lease`, and must have come to its end by then.
    pub(super) fn new(
        inner: Incoming,
        lease: Lease,
        end: Option<tokio::time::Instant>,
    ) -> Box<Self> {
        let timed = Timed { end, ..Timed::new(inner, lease.idle) };
        Box::new(Self { timed, lease: Some(lease) })
    }

    /// It may come to its end whenever it does.
    pub(super) fn unbind(&mut self) {
        self.timed.end = None;
    }

    /// Keeps the connection for the next request.
    pub(super) fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

/// The body of a reply on its way to the client.
#[derive(Debug)]
pub(super) struct ReplyBody {
    content: Content,
    /// Over when the body is; `None`: the request goes on as a tunnel.
    exchange: Option<Box<Exchange>>,
}

/// Where the body of a reply comes from.
#[derive(Debug)]
pub(super) enum Content {
    /// A text of ours, or a kept one.
    Own(Option<Bytes>),
    /// What an endpoint sends.
    Passed(Box<Passing>),
    /// What is being fetched for the shelf, and where the rest lies if it is too long for it.
    Filled(Reader, Option<Rc<RefCell<Option<Rest>>>>),
    /// One of these, which becomes shorter.
    Encoded(Box<Encoded>),
}

/// A body that is encoded as it passes.
#[derive(Debug)]
pub(super) struct Encoded {
    content: Content,
    encoder: Box<Encoder>,
    /// Whether the endpoint's connection had a turn since the last part.
    waited: bool,
    /// What comes behind the body.
    trailers: Option<Frame<Bytes>>,
}

/// The next part of a body, if it is there.
type Next = Poll<Option<Result<Frame<Bytes>, BodyFault>>>;

/// What an endpoint still sends of a reply that is too long to be kept.
#[derive(Debug)]
pub(super) struct Rest {
    /// What came last.
    pub(super) first: Option<Bytes>,
    pub(super) passing: Box<Passing>,
    pub(super) in_flight: Option<InFlight>,
}

impl Content {
    /// A text of ours, or a kept one.
    pub(super) fn own(text: Bytes) -> Self {
        Self::Own((!text.is_empty()).then_some(text))
    }

    /// What an endpoint sends.
    pub(super) fn passed(passing: Box<Passing>) -> Self {
        let mut content = Self::Passed(passing);
        content.give_back_at_end();
        content
    }

    /// This content as it comes out of an encoder, if there is one.
    pub(super) fn encoded(self, encoder: Option<Box<Encoder>>) -> Self {
        let Some(encoder) = encoder else { return self };
        let (waited, trailers) = (false, None);
        Self::Encoded(Box::new(Encoded { content: self, encoder, waited, trailers }))
    }

    /// Whether it comes from an endpoint for this request alone.
    pub(super) fn is_passed(&self) -> bool {
        matches!(self, Self::Passed(_) | Self::Filled(_, Some(_)))
    }

    /// The next part; `in_flight` is what an endpoint works on.
    fn poll_next(&mut self, context: &mut Context<'_>, in_flight: &mut Option<InFlight>) -> Next {
        let frame = match self {
            Self::Own(text) => text.take().map(|text| Ok(Frame::data(text))),
            Self::Passed(passing) => {
                let frame = ready!(passing.timed.poll_frame(context));
                if frame.is_none() {
                    passing.give_back();
                }
                frame
            }
            Self::Filled(..) => ready!(self.poll_filled(context, in_flight)),
            Self::Encoded(encoded) => return encoded.poll_next(context, in_flight),
        };
        self.give_back_at_end();
        Poll::Ready(frame)
    }

    /// The next part of what is being fetched.
    fn poll_filled(&mut self, context: &mut Context<'_>, in_flight: &mut Option<InFlight>) -> Next {
        let Self::Filled(reader, rest) = self else { return Poll::Ready(None) };
        Poll::Ready(match ready!(reader.poll(context)) {
            Part::Octets(part) => Some(Ok(Frame::data(part))),
            Part::End => None,
            Part::Broken => Some(Err(BodyFault::Cut)),
            Part::TooLong => {
                let rest = rest.as_ref().and_then(|rest| rest.borrow_mut().take());
                match rest {
                    None => Some(Err(BodyFault::Cut)),
                    Some(rest) => {
                        *in_flight = rest.in_flight;
                        *self = Self::Passed(rest.passing);
                        rest.first.map(|part| Ok(Frame::data(part)))
                    }
                }
            }
        })
    }

    /// Keeps the connection for the next request once all has come.
    fn give_back_at_end(&mut self) {
        if let Self::Passed(passing) = self
            && passing.timed.is_end_stream()
        {
            passing.give_back();
        }
    }
}

impl Encoded {
    /// The next part of the content, encoded. What waits inside the encoder goes out once the
    /// endpoint has nothing more for now, so that streams are not held up.
    fn poll_next(&mut self, context: &mut Context<'_>, in_flight: &mut Option<InFlight>) -> Next {
        while !self.encoder.is_done() {
            let encoded = match self.content.poll_next(context, in_flight) {
                Poll::Pending if !self.encoder.is_unflushed() => return Poll::Pending,
                Poll::Pending if !std::mem::replace(&mut self.waited, true) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => self.encoder.flush(),
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Some(Err(fault))),
                Poll::Ready(Some(Ok(frame))) => {
                    self.waited = false;
                    match frame.into_data() {
                        Ok(data) => self.encoder.push(&data),
                        Err(trailers) => {
                            self.trailers = Some(trailers);
                            self.encoder.finish()
                        }
                    }
                }
                Poll::Ready(None) => self.encoder.finish(),
            };
            match encoded {
                Ok(encoded) if encoded.is_empty() => {}
                Ok(encoded) => return Poll::Ready(Some(Ok(Frame::data(encoded)))),
                Err(error) => return Poll::Ready(Some(Err(BodyFault::Unencoded(error)))),
            }
        }
        match self.trailers.take() {
            Some(trailers) => Poll::Ready(Some(Ok(trailers))),
            // The end behind the trailers gives the connection back.
            None => self.content.poll_next(context, in_flight).map(|_| None),
        }
    }
}

impl ReplyBody {
    /// This content; `exchange` is over when it is.
    pub(super) fn new(content: Content, exchange: Box<Exchange>) -> Self {
        let mut body = Self { content, exchange: Some(exchange) };
        body.note_end();
        let waits = !body.is_end_stream();
        if let Some(exchange) = body.exchange.as_mut().filter(|_| waits) {
            exchange.offers(true);
        }
        body
    }

    /// No body, since a tunnel follows.
    pub(super) fn tunnel() -> Self {
        Self { content: Content::Own(None), exchange: None }
    }

    /// Notes it when nothing more will come.
    fn note_end(&mut self) {
        if self.is_end_stream()
            && let Some(exchange) = &mut self.exchange
        {
            exchange.completed();
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
        let Self { content, exchange } = &mut *self;
        let Some(exchange) = exchange else { return Poll::Ready(None) };
        let next = content.poll_next(context, &mut exchange.in_flight);
        exchange.offers(matches!(next, Poll::Ready(Some(Ok(_)))));
        let frame = ready!(next);
        match &frame {
            Some(Ok(frame)) => {
                exchange.sent(frame.data_ref().map_or(0, Bytes::len));
                self.note_end();
            }
            Some(Err(_)) => exchange.broken(),
            None => exchange.completed(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(text) => text.is_none(),
            Content::Passed(passing) => passing.timed.is_end_stream(),
            Content::Filled(..) | Content::Encoded(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

impl Content {
    /// What is known of its length.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Passed(passing) => passing.timed.size_hint(),
            Self::Filled(..) | Self::Encoded(_) => SizeHint::default(),
        }
    }
}
