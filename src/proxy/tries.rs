//! Tries: the endpoints that a request goes to, one after the other, until one has replied.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::balance::Key;
use super::body::{Lease, Passing};
use super::dial::Dial;
use super::exchange::Exchange;
use super::failure::Failure;
use super::guard::Expected;
use super::head;
use super::hedge::Hedging;
use super::load::InFlight;
use super::place::Place;
use super::pool::{ConnectionKey, Sender};
use super::request_body::{Onward, Progress, RequestBody};
use super::traces::Attempt;
use super::upgrade;
use super::view::{NoPlace, RouteView};
use super::worker::Worker;
use crate::clock::{self, Tick};
use crate::model::Priority;
use crate::proxy_header::Ends;

/// Stale connections that a request may meet before it is given a new one: those that an endpoint
/// closed all at once.
const STALE_MAX: u32 = 3;

/// The reply of an endpoint.
pub(super) type Forwarded = Response<Box<Passing>>;

/// The tries of one request.
pub(super) struct Tries<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) route: &'a RouteView,
    /// Whom it is for, for balances that go by it.
    pub(super) key: Key,
    /// The place that the client had before; `None`: none that is known.
    pub(super) held: Option<u64>,
    /// When it must have its reply; later by the time that its body takes to come.
    pub(super) end: Instant,
    /// When its reply must have come to the end; `None`: whenever it does.
    pub(super) last: Option<Instant>,
    /// Whether it may be sent twice.
    pub(super) idempotent: bool,
    /// How much it matters; `None`: its route does not tell.
    pub(super) priority: Option<Priority>,
    /// The protocols that it offers to change to.
    pub(super) offered: Option<HeaderValue>,
    /// What must answer the key of a WebSocket over HTTP/2.
    pub(super) accept: Option<HeaderValue>,
    /// Whom the proxy speaks for, for endpoints that are told in a PROXY header.
    pub(super) ends: Ends,
    /// Where it is tried now; `None`: nowhere yet.
    pub(super) current: Cell<Option<SocketAddr>>,
}

/// What came of one try.
pub(super) enum Outcome {
    /// The head of a reply came.
    Reply(Response<Incoming>),
    /// Nothing of the request was sent.
    Unsent(Onward),
    /// The endpoint did not look at it, and takes no more for now.
    Declined(Onward),
    /// The connection broke.
    Broke(Failure),
}

impl Tries<'_> {
    /// The first reply that is not to be tried again, or why there is none.
    pub(super) async fn run(
        &self,
        request: Onward,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Failure> {
        // Few requests are hedged or have an end of their own; the others need no room for it.
        match (self.hedging(&request), self.last) {
            (None, None) => self.try_all(request, exchange).await,
            (hedging, last) => Box::pin(self.bounded(hedging, last, request, exchange)).await,
        }
    }

    async fn bounded(
        &self,
        hedging: Option<&Hedging>,
        last: Option<Instant>,
        request: Onward,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Failure> {
        let tried = async {
            match hedging {
                None => self.try_all(request, exchange).await,
                Some(hedging) => self.hedged(hedging, request, exchange).await,
            }
        };
        match last {
            None => tried.await,
            Some(last) => timeout_at(last, tried).await.unwrap_or(Err(Failure::Timeout)),
        }
    }

    pub(super) async fn try_all(
        &self,
        mut request: Onward,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Failure> {
        let retry = &self.route.route.retry;
        self.route.budget.borrow_mut().request(clock::at(exchange.begun));
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut failed = None;
        let mut stale = 0;
        loop {
            // What was tried before has its place back first.
            exchange.in_flight = None;
            let now = clock::now();
            let taken = self.place(&tried, request.headers_mut(), now).await;
            // What was tried last says more than that nothing is left.
            let (place, in_flight) = taken.map_err(|no_place| failed.unwrap_or(no_place))?;
            let mut span = self.goes_to(place, in_flight, &mut request, exchange);
            let (mut sender, reused) = match self.connection(place, stale >= STALE_MAX, now).await {
                Ok(found) => found,
                Err(failure) => {
                    failed = Some(self.tried(place, span.failed(failure), &mut tried)?);
                    continue;
                }
            };
            let sent = clock::stopwatch();
            let asked = self.ask(&mut sender, request, exchange.progress.as_deref(), sent).await;
            span.came(&asked);
            let (outcome, spare) = asked.map_err(|failure| self.noted(place, failure))?;
            let failure = match (outcome, spare) {
                (Outcome::Reply(reply), spare) => {
                    let took = sent.elapsed();
                    self.heard(place, &reply, took);
                    exchange.heard(took);
                    let bad = retry.on_status.contains(&reply.status().as_u16());
                    let Some(spare) = spare.filter(|_| bad && self.again(tried.len() + 1)) else {
                        let finished = self.finish(reply, sender, self.key_of(place));
                        return finished.map_err(|failure| self.noted(place, failure));
                    };
                    request = spare;
                    tried.push(place.address);
                    continue;
                }
                (Outcome::Unsent(unsent), _) => {
                    request = unsent;
                    stale += 1;
                    if reused {
                        continue;
                    }
                    Failure::Connect
                }
                (Outcome::Declined(unsent), _) => {
                    request = unsent;
                    Failure::Connect
                }
                (Outcome::Broke(_), Some(spare)) if reused && stale < STALE_MAX => {
                    // RFC 9112 section 9.3.1: the endpoint may have closed it in this moment.
                    request = spare;
                    stale += 1;
                    continue;
                }
                (Outcome::Broke(failure), Some(spare)) => {
                    request = spare;
                    failure
                }
                (Outcome::Broke(failure), None) => return Err(self.noted(place, failure)),
            };
            failed = Some(self.tried(place, failure, &mut tried)?);
        }
    }

    /// The next try is at this place; gives its span, which the head of the request then names.
    fn goes_to(
        &self,
        place: &Place,
        in_flight: InFlight,
        request: &mut Onward,
        exchange: &mut Exchange,
    ) -> Attempt {
        exchange.in_flight = Some(in_flight);
        exchange.tried(place.address);
        self.current.set(Some(place.address));
        self.attempt(exchange.spans(), place, request, false)
    }

    /// A failure at a place, of which its route has heard.
    pub(super) fn noted(&self, place: &Place, failure: Failure) -> Failure {
        self.route.note(place, Err(failure));
        failure
    }

    /// Sends a request; what came of it, and a copy where it may be sent twice and can be.
    pub(super) async fn ask(
        &self,
        sender: &mut Sender,
        request: Onward,
        progress: Option<&Progress>,
        now: std::time::Instant,
    ) -> Result<(Outcome, Option<Onward>), Failure> {
        // A stream may be handed back unread, whatever its request is.
        let copied = self.idempotent || self.is_shared();
        let body = if copied { request.body().again() } else { None };
        let mut spare = body.map(|body| copy(&request, body));
        let outcome = self.send(sender, request, (progress, now), &mut spare).await?;
        Ok((outcome, spare.filter(|spare| self.idempotent && spare.body().is_whole())))
    }

    /// A place has replied after this time.
    pub(super) fn heard(&self, place: &Place, reply: &Response<Incoming>, took: Duration) {
        place.load.took.observe(took.as_secs_f64());
        if let Some(hedging) = &self.route.hedging {
            hedging.heard(took);
        }
        self.route.note(place, Ok(reply.status()));
        if self.route.measures {
            place.load.observe(took, clock::now());
        }
    }

    /// A try at a place failed; the error is that there is no other one.
    fn tried(
        &self,
        place: &Place,
        failure: Failure,
        tried: &mut Vec<SocketAddr>,
    ) -> Result<Failure, Failure> {
        self.route.note(place, Err(failure));
        tried.push(place.address);
        let retry = &self.route.route.retry;
        let wanted = if failure == Failure::Connect { retry.on_connect } else { retry.on_reset };
        if wanted && self.again(tried.len()) { Ok(failure) } else { Err(failure) }
    }

    /// Whether there may be another try after so many.
    fn again(&self, tried: usize) -> bool {
        let most = self.route.route.retry.attempts as usize;
        let again = tried < most
            && tokio::time::Instant::now() < self.end
            && self.route.budget.borrow_mut().retry(clock::now());
        if again {
            self.route.counters.retries.inc();
        }
        again
    }

    /// A connection to an endpoint, and whether it was there before.
    pub(super) async fn connection(
        &self,
        place: &Place,
        fresh: bool,
        now: Tick,
    ) -> Result<(Sender, bool), Failure> {
        let pool = &self.worker.pool;
        let key = self.key_of(place);
        if !fresh
            && !self.is_shared()
            && let Some(own) = pool.take(key, now).await
        {
            return Ok((Sender::Own(own), true));
        }
        // Handshakes need room that the others, which find a connection, go without.
        Box::pin(self.connect(place, key, fresh)).await
    }

    async fn connect(
        &self,
        place: &Place,
        key: ConnectionKey,
        fresh: bool,
    ) -> Result<(Sender, bool), Failure> {
        let left = self.end.saturating_duration_since(tokio::time::Instant::now());
        let patience = self.route.route.timeouts.connect.min(left);
        match timeout(patience, self.made(place, key, fresh)).await {
            Ok(Ok((sender, reused))) => {
                if !reused {
                    place.load.connected.inc();
                }
                Ok((sender, reused))
            }
            Ok(Err(error)) => {
                debug!(endpoint = %place.address, %error, "cannot connect to an endpoint");
                place.load.unconnected.inc();
                Err(Failure::Connect)
            }
            Err(_) => {
                place.load.unconnected.inc();
                Err(Failure::Connect)
            }
        }
    }

    /// A new connection, or a stream of one that is shared, which may have been there before.
    async fn made(
        &self,
        place: &Place,
        key: ConnectionKey,
        fresh: bool,
    ) -> io::Result<(Sender, bool)> {
        let pool = &self.worker.pool;
        let header = self.route.route.upstream.way.header.map(|version| (version, self.ends));
        let dial = Dial { place, tls: self.route.tls.as_ref(), header };
        if !self.is_shared() {
            return dial.own().await.map(|own| (Sender::Own(own), false));
        }
        let until = clock::now() + self.route.route.timeouts.idle;
        if !fresh && let Some(stream) = pool.stream(key, until).await {
            return Ok((Sender::Stream(stream), true));
        }
        let making = pool.making(key);
        let made = dial.shared().await?;
        let stream = pool.share(key, made, until);
        drop(making);
        let stream = stream.ok_or_else(|| io::Error::other("the endpoint takes no stream"))?;
        Ok((Sender::Stream(stream), false))
    }

    fn is_shared(&self) -> bool {
        self.route.route.upstream.way.http2
    }

    /// What connections to a place are kept by: those that speak for a client are his alone.
    pub(super) fn key_of(&self, place: &Place) -> ConnectionKey {
        match self.route.route.upstream.way.header {
            None => place.key,
            Some(_) => place.key.of(&self.ends),
        }
    }

    /// Sends a request and waits for the head of its reply. A request that its endpoint did not
    /// look at comes back, if need be as the copy in `spare`.
    async fn send(
        &self,
        sender: &mut Sender,
        request: Onward,
        (progress, now): (Option<&Progress>, std::time::Instant),
        spare: &mut Option<Onward>,
    ) -> Result<Outcome, Failure> {
        let now = Instant::from_std(now);
        let left = self.end.saturating_duration_since(now);
        let patience = self.route.route.timeouts.response.min(left);
        let head = request.method() == Method::HEAD;
        if !sender.await_reply(Expected { head, upgrade: self.offered.is_some() }) {
            return Ok(Outcome::Unsent(request));
        }
        let Some(sent) = sender.send(request, progress, (now, patience)).await else {
            return Err(Failure::Timeout);
        };
        match sent {
            Ok(reply) => Ok(Outcome::Reply(reply)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Ok(Outcome::Unsent(Box::new(unsent))),
                None if sender.is_refused() => Ok(Outcome::Broke(Failure::BadReply)),
                None => Ok(match unread(error.error()) {
                    Some(unread) => {
                        let whole = spare.take_if(|spare| spare.body().is_whole());
                        whole.map(|spare| match unread {
                            Unread::Connection => Outcome::Unsent(spare),
                            Unread::Stream => Outcome::Declined(spare),
                        })
                    }
                    None => None,
                }
                .unwrap_or_else(|| Outcome::Broke(why(error.error(), progress)))),
            },
        }
    }

    /// The reply as it goes on to the client.
    pub(super) fn finish(
        &self,
        mut reply: Response<Incoming>,
        sender: Sender,
        key: ConnectionKey,
    ) -> Result<Forwarded, Failure> {
        let hop = head::leave_response(reply.headers_mut()).map_err(|_| Failure::BadReply)?;
        upgrade::judge(&mut reply, &hop, self.offered.as_ref(), self.accept.as_ref())?;
        *reply.version_mut() = Version::HTTP_11;
        let idle = self.route.route.timeouts.idle;
        let worker = self.worker.clone();
        let lease = Lease { worker, sender, key, idle };
        Ok(reply.map(|body| Passing::new(body, lease, self.last)))
    }
}

impl From<NoPlace> for Failure {
    fn from(no_place: NoPlace) -> Self {
        match no_place {
            NoPlace::Down => Self::Unavailable,
            NoPlace::Full => Self::Overloaded,
        }
    }
}

/// What an endpoint of HTTP/2 did not look at.
enum Unread {
    /// The connection takes no more.
    Connection,
    /// This stream was too much.
    Stream,
}

/// Whether an endpoint says that it did nothing with a request (RFC 9113 section 8.7).
fn unread(error: &hyper::Error) -> Option<Unread> {
    let cause = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    if cause.is_go_away() && cause.is_remote() {
        Some(Unread::Connection)
    } else if cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM) {
        Some(Unread::Stream)
    } else {
        None
    }
}

/// Why a request that was sent has no reply.
fn why(error: &hyper::Error, progress: Option<&Progress>) -> Failure {
    let broken = if error.is_parse() { Failure::BadReply } else { Failure::Reset };
    progress.and_then(|progress| progress.fault.get()).unwrap_or(broken)
}

/// The same request once more, with this body.
pub(super) fn copy(request: &Request<RequestBody>, body: RequestBody) -> Onward {
    let mut copy = Box::new(Request::new(body));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}
