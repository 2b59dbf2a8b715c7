//! Forwarding: a request goes to an endpoint of its route, and the reply comes back.

use std::cell::Cell;
use std::convert::Infallible;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;

use http::header::{ALT_SVC, COOKIE, EXPECT, HOST};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::balance::Key;
use super::body::{Content, ReplyBody};
use super::cache::{invalidates, key};
use super::cached::{Cached, is_concerned};
use super::challenge;
use super::exchange::{Client, Exchange};
use super::failure::{self, Failure};
use super::guard::Verdict;
use super::head::{self, Authority, Peer, Told, Trace};
use super::identity;
use super::refused::Refused;
use super::request_body::{Onward, Progress, RequestBody};
use super::router::Target;
use super::source::Source;
use super::spared::Spared;
use super::tries::{Forwarded, Tries};
use super::tunnel;
use super::upgrade::{self, Upgrade};
use super::view::{RouteView, View};
use super::worker::Worker;
use crate::model::{ClientCertificate, Prioritized, Priority, Route};

/// A request as it came. It goes through many hands, so what moves is its address.
struct Asked {
    parts: request::Parts,
    body: Source,
}

/// Answers a request, whatever becomes of it.
pub(super) fn answer(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<impl Into<Source>>,
) -> impl Future<Output = Result<Response<ReplyBody>, Infallible>> {
    let (parts, body) = request.into_parts();
    answered(worker, client, Box::new(Asked { parts, body: body.into() }))
}

async fn answered(
    worker: Rc<Worker>,
    client: Rc<Client>,
    mut asked: Box<Asked>,
) -> Result<Response<ReplyBody>, Infallible> {
    let mut exchange = Box::new(Exchange::new(client.clone()));
    let is_grpc = failure::is_grpc(&asked.parts);
    let head = asked.parts.method == Method::HEAD;
    let by = (client.address, client.secure);
    if let Some(log) = &worker.shared.access_log {
        exchange.record = log.begin(&asked.parts, by, worker.random_share());
    }
    if let Some(traces) = &worker.shared.traces {
        traces.begin(&mut asked.parts, by, &worker, &mut exchange.record);
    }
    let forwarded = Spared::new(forward(&worker, &client, asked, &mut exchange)).await;
    let failure = match forwarded {
        Ok(Ok(mut reply)) => {
            if client.secure
                && let Some(alternative) = &worker.shared.alternative
            {
                // That of an endpoint is about itself.
                reply.headers_mut().insert(ALT_SVC, alternative.clone());
            }
            exchange.replied(reply.status());
            if let Some(upgrade) = exchange.upgrade.take_if(|asked| asked.has_changed(&reply)) {
                return Ok(tunnel::open(&worker, &client, *upgrade, reply, exchange));
            }
            return Ok(reply.map(|content| ReplyBody::new(content, exchange)));
        }
        Ok(Err(failure)) => failure,
        Err(_) => Failure::Panic,
    };
    debug!(client = %client.address, cause = failure.cause(), "a request is not forwarded");
    exchange.failed(&worker.shared.metrics.proxy, failure);
    exchange.in_flight = None;
    Ok(if is_grpc { failure.grpc_reply(exchange) } else { failure.reply(exchange, head) })
}

/// What is known of a request whose head is that of the next hop.
struct Received {
    route: Rc<RouteView>,
    authority: Option<Authority<'static>>,
    told: Told,
    priority: Option<Priority>,
}

/// Finds the route of a request, judges whether it may go on, and makes its head that of the next
/// hop.
fn receive(
    worker: &Worker,
    client: &Client,
    view: &View,
    asked: &mut Asked,
    exchange: &mut Exchange,
) -> Result<Received, Failure> {
    let Asked { parts, body } = asked;
    let mut accept = None;
    if parts.method == Method::CONNECT {
        accept = upgrade::unfold(parts, worker.long_random());
        join_cookies(&mut parts.headers);
    }
    let (route, authority) = find(view, parts, client.secure)?;
    exchange.route = Some(route.clone());
    #[cfg(feature = "failpoints")]
    super::failpoint::reach(&parts.uri);
    let rule = route.route.client_certificate;
    if view.proxy.client_ca.is_some() || rule != ClientCertificate::Off {
        let session = client.session.as_ref();
        identity::present(rule, session, authority.as_ref(), &mut parts.headers)?;
    }
    if view.proxy.limits.body.is_some_and(|most| body.size_hint().lower() > most) {
        return Err(Failure::BodyTooLong);
    }
    let peer = Peer {
        address: client.address,
        written: &client.written,
        secure: client.secure,
        host: authority.as_ref(),
        trusted: &view.proxy.trusted_proxies,
    };
    // A tunnel is made of a connection that nobody shares.
    let changes = body.is_end_stream() && !route.route.upstream.way.http2;
    let tunnels = accept.is_some();
    let (told, trace, upgrade) = prepare(worker, parts, &peer, (changes, accept))?;
    if tunnels && upgrade.is_none() {
        return Err(Failure::Refused(Refused::Connect));
    }
    exchange.upgrade = upgrade.map(Box::new);
    if let Some(record) = &mut exchange.record {
        record.client = told.client;
        record.trace = record.trace.or(Some(trace.id));
    }
    let protection = &route.route.protection;
    if let Some(limit) = &protection.rate_limit {
        let (rates, name) = (&worker.shared.rates, &route.route.name);
        rates.allow(name, limit, &parts.headers, told.client)?;
    }
    let priority = protection.priority.as_ref().map(|rule| priority(rule, &parts.headers, &peer));
    Ok(Received { route, authority, told, priority })
}

async fn forward(
    worker: &Rc<Worker>,
    client: &Client,
    mut asked: Box<Asked>,
    exchange: &mut Exchange,
) -> Result<Response<Content>, Failure> {
    if let Some(reply) = challenge::reply(worker, &asked.parts) {
        return Ok(reply);
    }
    let view = worker.view();
    let received = receive(worker, client, &view, &mut asked, exchange)?;
    let Received { route, authority, told, priority } = received;
    let parts = &mut asked.parts;
    // By what the client asked for, whatever the endpoint is asked for.
    let key = route.cache.as_ref().map(|_| key(told.secure, authority.as_ref(), &parts.uri));
    let shaping = match &route.shaping {
        Some(shaping) => Some((shaping, shaping.request(parts, told, authority.as_ref())?)),
        None => None,
    };
    if let Some((shaping, pending)) = &shaping
        && let Some(own) = shaping.own(pending)
    {
        return own.map(|reply| reply.map(Content::own));
    }
    let way = &route.route.upstream.way;
    if way.http2 {
        address(parts, way.tls.is_some())?;
    }
    let timeouts = route.route.timeouts;
    let Asked { parts, body } = *asked;
    let body = onward(body, &parts.method, &route, &view, exchange);
    let begun = Instant::from_std(exchange.begun);
    let last = route.route.protection.total.map(|total| begun + total);
    let ready = if body.is_empty() {
        begun
    } else {
        // Most requests have no body; they need no room for it.
        Box::pin(awaited(&body, last)).await?;
        tokio::time::Instant::now()
    };
    let tries = Tries {
        worker,
        route: &route,
        key: Key::client(told.client),
        held: shaping.as_ref().and_then(|(_, pending)| pending.held),
        end: ready + timeouts.request,
        last,
        idempotent: parts.method.is_idempotent(),
        priority,
        offered: exchange.upgrade.as_ref().map(|upgrade| upgrade.offered.clone()),
        accept: exchange.upgrade.as_ref().and_then(|upgrade| upgrade.accept.clone()),
        ends: client.spoken_for(told.client),
        current: Cell::new(None),
    };
    let request = Box::new(Request::from_parts(parts, body));
    let reply = if exchange.upgrade.is_some() {
        change(client, tries.run(request, exchange).await?, exchange)?
    } else {
        reply(&tries, &route, key, request, exchange).await?
    };
    Ok(match shaping {
        Some((shaping, pending)) if reply.status() != StatusCode::SWITCHING_PROTOCOLS => {
            shaping.reply(&pending, reply, worker, &route, exchange)
        }
        _ => reply,
    })
}

/// The body of a request as it goes on.
fn onward(
    body: Source,
    method: &Method,
    route: &RouteView,
    view: &View,
    exchange: &mut Exchange,
) -> RequestBody {
    if body.is_end_stream() {
        return RequestBody::empty();
    }
    let progress = Rc::new(Progress::default());
    exchange.progress = Some(progress.clone());
    let keep = is_tried_again(route, method);
    RequestBody::new(body, &view.proxy.limits, route.route.timeouts.idle, progress, keep)
}

/// Waits for a body that has to be whole before an endpoint is asked; until `last` at most.
async fn awaited(body: &RequestBody, last: Option<Instant>) -> Result<(), Failure> {
    let Some(awaited) = body.awaited() else { return Ok(()) };
    match last {
        None => awaited.await,
        Some(last) => timeout_at(last, awaited).await.unwrap_or(Err(Failure::Timeout)),
    }
}

/// Whether a request with a body may go to a second endpoint: where the first may have looked at it
/// only if its method allows it (RFC 9110 section 9.2.2), otherwise over HTTP/2 alone, whose
/// endpoints say that they have not.
fn is_tried_again(route: &RouteView, method: &Method) -> bool {
    let Route { retry, upstream, .. } = &*route.route;
    retry.attempts > 1 && (method.is_idempotent() || upstream.way.http2)
}

/// The reply to a request, kept or of an endpoint; `key` is there where the route keeps replies.
async fn reply(
    tries: &Tries<'_>,
    route: &Rc<RouteView>,
    key: Option<String>,
    request: Onward,
    exchange: &mut Exchange,
) -> Result<Response<Content>, Failure> {
    let kept = route.cache.as_ref().zip(route.route.cache.as_ref()).zip(key);
    let Some(((cache, rules), key)) = kept else { return passed(tries, request, exchange).await };
    if is_concerned(request.method(), request.headers()) {
        let cached = Cached { worker: tries.worker, route, cache, rules, tries, key };
        return match cached.look(&request, exchange.client())? {
            Break(answer) => Ok(cached.counted(answer)),
            // What is on the shelf needs no room for what has to be fetched.
            Continue(asked) => Box::pin(cached.reply(asked, request, exchange)).await,
        };
    }
    let method = request.method().clone();
    let reply = passed(tries, request, exchange).await?;
    if invalidates(&method, reply.status()) {
        cache.shelf.forget(&key);
    }
    Ok(reply)
}

/// The reply of an endpoint, as it comes.
async fn passed(
    tries: &Tries<'_>,
    request: Onward,
    exchange: &mut Exchange,
) -> Result<Response<Content>, Failure> {
    Ok(tries.run(request, exchange).await?.map(Content::passed))
}

/// The reply to a request that asked for another protocol, which it has got or not.
fn change(
    client: &Client,
    reply: Forwarded,
    exchange: &Exchange,
) -> Result<Response<Content>, Failure> {
    if !exchange.upgrade.as_ref().is_some_and(|upgrade| upgrade.has_changed(&reply)) {
        return Ok(reply.map(Content::passed));
    }
    match client.guard.get().and_then(Verdict::refused) {
        // Octets of the new protocol came before it was agreed on.
        Some(refused) => Err(Failure::Refused(refused)),
        None => Ok(reply.map(|_| Content::Own(None))),
    }
}

/// How much a request matters.
fn priority(rule: &Prioritized, headers: &HeaderMap, peer: &Peer<'_>) -> Priority {
    match rule {
        Prioritized::Fixed(priority) => *priority,
        Prioritized::Header { name, from_all } => {
            let believed =
                *from_all || peer.trusted.iter().any(|prefix| prefix.contains(peer.address));
            let value = headers.get(name).filter(|_| believed);
            value.map_or(Priority::Normal, |value| Priority::read(value.as_bytes()))
        }
    }
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

/// Makes the head of a request that of the next hop, and says who asks and in which trace.
fn prepare(
    worker: &Worker,
    parts: &mut request::Parts,
    peer: &Peer<'_>,
    (changes, accept): (bool, Option<HeaderValue>),
) -> Result<(head::Told, Trace, Option<Upgrade>), Failure> {
    let left = head::leave_request(&mut parts.headers, parts.version);
    let mut hop = left.map_err(Failure::Refused)?;
    let upgrade = upgrade::asked(parts, &mut hop, changes, accept);
    let headers = &mut parts.headers;
    hop.enter(headers);
    // The library answers it when the body is first asked for; the endpoint is not waited for.
    headers.remove(EXPECT);
    let told = head::forward(headers, peer);
    let trace = Trace::ensure(headers, (worker.long_random(), worker.random()));
    if !headers.contains_key(HOST) {
        let host = peer.host.map(ToString::to_string).unwrap_or_default();
        let host = HeaderValue::from_str(&host).map_err(|_| Failure::Malformed)?;
        headers.insert(HOST, host);
    }
    if parts.version >= Version::HTTP_2 {
        join_cookies(headers);
    }
    parts.version = Version::HTTP_11;
    // RFC 9112 section 3.2.1: an origin is asked in origin form, whatever the client wrote.
    parts.uri = match parts.uri.path_and_query() {
        Some(target) => Uri::from(target.clone()),
        None => Uri::from_static("/"),
    };
    Ok((told, trace, upgrade))
}

/// Names the authority as HTTP/2 does: in the target, and nowhere else (RFC 9113 section 8.3.1).
fn address(parts: &mut request::Parts, secure: bool) -> Result<(), Failure> {
    let host = parts.headers.remove(HOST).ok_or(Failure::Refused(Refused::NoHost))?;
    let mut target = std::mem::take(&mut parts.uri).into_parts();
    target.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    let authority = http::uri::Authority::try_from(host.as_bytes());
    target.authority = Some(authority.map_err(|_| Failure::Malformed)?);
    parts.uri = Uri::from_parts(target).map_err(|_| Failure::Malformed)?;
    parts.version = Version::HTTP_2;
    Ok(())
}

/// RFC 9113 section 8.2.3, RFC 9114 section 4.2.1: cookies that came apart are one field again
/// before they go on over HTTP/1.1.
fn join_cookies(headers: &mut HeaderMap) {
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if parts.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}
