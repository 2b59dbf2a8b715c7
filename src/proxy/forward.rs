//! Forwarding: a request goes to an endpoint of its route, and the reply comes back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::{COOKIE, EXPECT, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::balance::Key;
use super::body::{Lease, Progress, ReplyBody, RequestBody};
use super::exchange::{Client, Exchange};
use super::failure::Failure;
use super::guard::Expected;
use super::head::{self, Authority, Peer, Trace};
use super::load::InFlight;
use super::pool::{Sender, connect};
use super::router::Target;
use super::spared::Spared;
use super::view::{NoPlace, Place, RouteView, View};
use super::worker::Worker;
use crate::clock;
use crate::model::Balance;

/// Stale connections that a request may meet before it is given a new one: those that an endpoint
/// closed all at once.
const STALE_MAX: u32 = 3;

/// Answers a request, whatever becomes of it.
pub(super) async fn answer(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let mut exchange = Exchange::new(client.clone());
    let forwarded = Spared::new(forward(&worker, &client, request, &mut exchange)).await;
    let failure = match forwarded {
        Ok(Ok((reply, lease))) => {
            exchange.replied(reply.status());
            return Ok(reply.map(|body| ReplyBody::passed(body, lease, exchange)));
        }
        Ok(Err(failure)) => failure,
        Err(_) => Failure::Panic,
    };
    debug!(client = %client.address, cause = failure.cause(), "a request is not forwarded");
    exchange.failed(&worker.shared.metrics.proxy, failure);
    exchange.in_flight = None;
    Ok(failure.reply(exchange))
}

/// The reply of an endpoint, and the connection it comes over.
type Forwarded = (Response<Incoming>, Lease);

async fn forward(
    worker: &Rc<Worker>,
    client: &Client,
    request: Request<Incoming>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Failure> {
    let view = worker.view();
    let (mut parts, body) = request.into_parts();
    let (route, authority) = find(&view, &parts, client.secure)?;
    exchange.route = Some(route.clone());
    let limits = &view.proxy.limits;
    if limits.body.is_some_and(|most| body.size_hint().lower() > most) {
        return Err(Failure::BodyTooLong);
    }
    let peer = Peer {
        address: client.address,
        secure: client.secure,
        host: authority.as_ref(),
        trusted: &view.proxy.trusted_proxies,
    };
    let told = prepare(worker, &mut parts, &peer)?;
    let body = if body.is_end_stream() {
        RequestBody::empty()
    } else {
        let progress = Rc::new(Progress::default());
        exchange.progress = Some(progress.clone());
        RequestBody::new(body, limits.body, route.route.timeouts.idle, progress)
    };
    let idempotent = parts.method.is_idempotent() && body.is_empty();
    let tries = Tries {
        worker,
        route: &route,
        key: Key::client(told.client),
        end: tokio::time::Instant::now() + route.route.timeouts.request,
        idempotent,
    };
    tries.run(Request::from_parts(parts, body), exchange).await
}

/// The route of a request, and whom it is for.
fn find(
    view: &View,
    parts: &request::Parts,
    secure: bool,
) -> Result<(Rc<RouteView>, Option<Authority<'static>>), Failure> {
    let length = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > view.proxy.limits.target {
        return Err(Failure::TargetTooLong);
    }
    let asked = head::read(parts, secure).map_err(Failure::Refused)?;
    let target = Target {
        host: asked.authority.as_ref().map_or("", |authority| &authority.host),
        path: &asked.path,
        method: &parts.method,
        headers: &parts.headers,
    };
    let found = view.router().find(&target).and_then(|index| view.route(index));
    let route = found.ok_or(Failure::NoRoute)?.clone();
    let authority = asked.authority.map(|authority| Authority {
        host: authority.host.into_owned().into(),
        port: authority.port,
    });
    Ok((route, authority))
}

/// Makes the head of a request that of the next hop, and says who asks.
fn prepare(
    worker: &Worker,
    parts: &mut request::Parts,
    peer: &Peer<'_>,
) -> Result<head::Told, Failure> {
    let headers = &mut parts.headers;
    let mut hop = head::leave_request(headers, parts.version).map_err(Failure::Refused)?;
    hop.upgrade = None;
    hop.enter(headers);
    // The library answers it when the body is first asked for; the endpoint is not waited for.
    headers.remove(EXPECT);
    let told = head::forward(headers, peer);
    Trace::ensure(headers, (u128::from(worker.random()) << 64 | 1, worker.random()));
    if !headers.contains_key(HOST) {
        let host = peer.host.map(ToString::to_string).unwrap_or_default();
        let host = HeaderValue::from_str(&host).map_err(|_| Failure::Malformed)?;
        headers.insert(HOST, host);
    }
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    parts.version = Version::HTTP_11;
    // RFC 9112 section 3.2.1: an origin is asked in origin form, whatever the client wrote.
    parts.uri = match parts.uri.path_and_query() {
        Some(target) => Uri::from(target.clone()),
        None => Uri::from_static("/"),
    };
    Ok(told)
}

/// RFC 9113 section 8.2.3: cookies that came apart are one field again before they go on over
/// HTTP/1.1.
fn join_cookies(headers: &mut HeaderMap) {
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if parts.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// The tries of one request.
struct Tries<'a> {
    worker: &'a Rc<Worker>,
    route: &'a RouteView,
    key: Key,
    /// When it must have its reply; later by the time that its body takes to come.
    end: Instant,
    /// Whether it may be sent twice.
    idempotent: bool,
}

/// What came of one try.
enum Outcome {
    Reply(Response<Incoming>),
    /// Nothing of the request was sent.
    Unsent(Request<RequestBody>),
    /// The connection broke.
    Broke(Failure),
}

impl Tries<'_> {
    async fn run(
        &self,
        request: Request<RequestBody>,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Failure> {
        let retry = &self.route.route.retry;
        self.route.budget.borrow_mut().request(clock::now());
        let mut request = request;
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut failed = None;
        let mut stale = 0;
        loop {
            let now = clock::now();
            let random = self.worker.random();
            let place = match self.route.pick(&tried, self.key, now, random) {
                Ok(place) => place,
                // What was tried last says more than that nothing is left.
                Err(no_place) => return Err(failed.unwrap_or_else(|| no_place.into())),
            };
            exchange.in_flight = Some(InFlight::new(place.load.clone()));
            let fresh = stale >= STALE_MAX;
            let (mut sender, reused) = match self.connection(place, fresh).await {
                Ok(found) => found,
                Err(failure) => {
                    tried.push(place.address);
                    if !retry.on_connect || !self.again(tried.len()) {
                        return Err(failure);
                    }
                    failed = Some(failure);
                    continue;
                }
            };
            let spare = self.idempotent.then(|| copy(&request));
            let sent = clock::stopwatch();
            let outcome = self.send(&mut sender, request, exchange.progress.as_deref()).await?;
            let failure = match (outcome, spare) {
                (Outcome::Reply(reply), spare) => {
                    let took = sent.elapsed();
                    place.load.took.observe(took.as_secs_f64());
                    if self.route.route.balance == Balance::LeastResponseTime {
                        place.load.observe(took, clock::now());
                    }
                    let status = reply.status().as_u16();
                    match spare {
                        Some(spare)
                            if retry.on_status.contains(&status) && self.again(tried.len() + 1) =>
                        {
                            request = spare;
                            tried.push(place.address);
                            continue;
                        }
                        _ => return self.finish(reply, sender, place.address),
                    }
                }
                (Outcome::Unsent(unsent), _) => {
                    request = unsent;
                    stale += 1;
                    if reused {
                        continue;
                    }
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
                (Outcome::Broke(failure), None) => return Err(failure),
            };
            tried.push(place.address);
            let wanted =
                if failure == Failure::Connect { retry.on_connect } else { retry.on_reset };
            if !wanted || !self.again(tried.len()) {
                return Err(failure);
            }
            failed = Some(failure);
        }
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
    async fn connection(&self, place: &Place, fresh: bool) -> Result<(Sender, bool), Failure> {
        if !fresh && let Some(sender) = self.worker.pool.take(place.address, clock::now()).await {
            return Ok((sender, true));
        }
        let left = self.end.saturating_duration_since(tokio::time::Instant::now());
        let patience = self.route.route.timeouts.connect.min(left);
        match timeout(patience, connect(place.address)).await {
            Ok(Ok(sender)) => {
                place.load.connected.inc();
                Ok((sender, false))
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

    /// Sends a request and waits for the head of its reply.
    async fn send(
        &self,
        sender: &mut Sender,
        request: Request<RequestBody>,
        progress: Option<&Progress>,
    ) -> Result<Outcome, Failure> {
        let left = self.end.saturating_duration_since(tokio::time::Instant::now());
        let patience = self.route.route.timeouts.response.min(left);
        let head = request.method() == Method::HEAD;
        if !sender.await_reply(Expected { head, upgrade: false }) {
            return Ok(Outcome::Unsent(request));
        }
        let sent = sender.send.try_send_request(request);
        let Some(sent) = in_time(sent, progress, patience).await else {
            return Err(Failure::Timeout);
        };
        match sent {
            Ok(reply) => Ok(Outcome::Reply(reply)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Ok(Outcome::Unsent(unsent)),
                None if sender.verdict.refused().is_some() => Ok(Outcome::Broke(Failure::BadReply)),
                None => Ok(Outcome::Broke(why(error.error(), progress))),
            },
        }
    }

    /// The reply as it goes on to the client.
    fn finish(
        &self,
        mut reply: Response<Incoming>,
        sender: Sender,
        address: SocketAddr,
    ) -> Result<Forwarded, Failure> {
        // Nobody asked for another protocol.
        if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::BadReply);
        }
        head::leave_response(reply.headers_mut()).map_err(|_| Failure::BadReply)?;
        *reply.version_mut() = Version::HTTP_11;
        let idle = self.route.route.timeouts.idle;
        let worker = self.worker.clone();
        Ok((reply, Lease { worker, sender, address, idle }))
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

/// Why a request that was sent has no reply.
fn why(error: &hyper::Error, progress: Option<&Progress>) -> Failure {
    match progress.map_or(0, |progress| progress.fault.get()) {
        413 => Failure::BodyTooLong,
        408 => Failure::BodySlow,
        400 => Failure::Malformed,
        _ if error.is_parse() => Failure::BadReply,
        _ => Failure::Reset,
    }
}

/// The same request once more; it has no body.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Waits for the reply to a request, for `patience` after the end of its body; `None`: it did not
/// come. While the body is under way it has a clock of its own.
async fn in_time<F: Future>(
    sent: F,
    progress: Option<&Progress>,
    patience: Duration,
) -> Option<F::Output> {
    let mut sent = pin!(sent);
    let mut timer = pin!(sleep(patience));
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
