//! Requests of routes that keep replies: answered from the shelf, or fetched for all who ask.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AGE, AUTHORIZATION, CONTENT_LENGTH, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use prometheus::IntCounter;
use tokio::task::spawn_local;
use tokio::time::timeout_at;

use super::activity::Activity;
use super::body::{Content, Rest};
use super::cache::{
    self, Control, Found, Head, Kept, Lead, Outcome, Shelf, Shelves, Stored, Turn, Use,
    is_not_modified, make_conditional, renew,
};
use super::exchange::{Client, Exchange};
use super::failure::Failure;
use super::request_body::{Onward, RequestBody};
use super::tries::{Forwarded, Tries, copy};
use super::view::RouteView;
use super::worker::Worker;
use crate::clock;
use crate::metrics::ProxyMetrics;
use crate::model::CacheRules;

/// What the shelf did for a request (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Times that a request waits for another one whose client then leaves.
const WAITS_MAX: u32 = 3;

/// The shelf of a route, and what is counted of it.
#[derive(Debug)]
pub(super) struct RouteCache {
    pub(super) shelf: Arc<Shelf>,
    counts: [IntCounter; Via::ALL.len()],
}

impl RouteCache {
    /// Those of the route of this name.
    pub(super) fn new(
        route: &str,
        rules: &CacheRules,
        shelves: &Shelves,
        metrics: &ProxyMetrics,
    ) -> Self {
        let count = |via: Via| metrics.cache.requests.with_label_values(&[route, via.as_str()]);
        Self { shelf: shelves.of(route, rules.size, metrics), counts: Via::ALL.map(count) }
    }

    fn count(&self, via: Via) {
        if let Some(counter) = self.counts.get(via as usize) {
            counter.inc();
        }
    }
}

/// The way a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// From the shelf, fresh.
    Hit,
    /// From the shelf, while it is fetched anew.
    Stale,
    /// From the shelf, since the origin failed.
    Failing,
    /// From the shelf, after the origin said that it is still right.
    Renewed,
    /// From another request's fetch.
    Joined,
    /// From the origin, and kept.
    Miss,
    /// From the origin, and not for the shelf.
    Pass,
}

impl Via {
    const ALL: [Self; 7] = [
        Self::Hit,
        Self::Stale,
        Self::Failing,
        Self::Renewed,
        Self::Joined,
        Self::Miss,
        Self::Pass,
    ];

    /// The label in metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Failing => "stale_if_error",
            Self::Renewed => "revalidated",
            Self::Joined => "joined",
            Self::Miss => "miss",
            Self::Pass => "pass",
        }
    }

    /// The field's value (RFC 9211 section 2).
    fn status(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Hit | Self::Stale => "meridian; hit",
            Self::Failing => "meridian; hit; fwd=stale; detail=origin-failed",
            Self::Renewed => "meridian; hit; fwd=stale; fwd-status=304",
            Self::Joined => "meridian; fwd=miss; collapsed",
            Self::Miss => "meridian; fwd=miss; stored",
            Self::Pass => "meridian; fwd=bypass",
        })
    }
}

/// A request that the shelf may answer.
pub(super) struct Cached<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) route: &'a Rc<RouteView>,
    pub(super) cache: &'a RouteCache,
    pub(super) rules: &'a CacheRules,
    pub(super) tries: &'a Tries<'a>,
    /// What its reply is found by.
    pub(super) key: String,
}

/// Whether the shelf has a say in a request. What asks for a part, or under a condition that only
/// the origin can judge, goes there as it is.
pub(super) fn is_concerned(method: &Method, headers: &HeaderMap) -> bool {
    let beside = [AUTHORIZATION, RANGE, IF_MATCH, IF_UNMODIFIED_SINCE];
    (method == Method::GET || method == Method::HEAD)
        && !beside.iter().any(|name| headers.contains_key(name))
}

/// A reply and the way it came.
pub(super) type Answer = (Response<Content>, Via);

/// Why the origin is to be asked.
pub(super) struct Asked {
    /// What is kept, and whether it may be used should the origin fail.
    old: Option<(Arc<Kept>, bool)>,
    /// Whether the reply would be for this request alone.
    alone: bool,
}

impl Cached<'_> {
    /// What the shelf has for a request that [`is_concerned`]: a reply, or nothing that is good
    /// without the origin.
    pub(super) fn look(
        &self,
        request: &Request<RequestBody>,
        client: &Client,
    ) -> Result<ControlFlow<Answer, Asked>, Failure> {
        let now = clock::unix_seconds();
        let Found { kept, alone } = self.cache.shelf.find(&self.key, request.headers(), now);
        let Some(kept) = kept else {
            let only_kept = Control::read(request.headers()).only_if_cached;
            return if only_kept {
                Err(Failure::NotKept)
            } else {
                Ok(Continue(Asked { old: None, alone }))
            };
        };
        match kept.stored.serve(request.headers(), self.rules, now) {
            Use::Fresh => Ok(Break(give(&kept, request, Via::Hit, now))),
            Use::Refresh => {
                self.refresh(&kept, request, client);
                Ok(Break(give(&kept, request, Via::Stale, now)))
            }
            Use::Ask { if_error } => Ok(Continue(Asked { old: Some((kept, if_error)), alone })),
            Use::Unavailable => Err(Failure::NotKept),
        }
    }

    /// The reply of an answer, which is counted.
    pub(super) fn counted(&self, (reply, via): Answer) -> Response<Content> {
        self.cache.count(via);
        reply
    }

    /// Answers a request for which the origin is to be asked.
    pub(super) async fn reply(
        &self,
        asked: Asked,
        request: Onward,
        exchange: &mut Exchange,
    ) -> Result<Response<Content>, Failure> {
        self.answer(asked, request, exchange).await.map(|answer| self.counted(answer))
    }

    async fn answer(
        &self,
        asked: Asked,
        request: Onward,
        exchange: &mut Exchange,
    ) -> Result<Answer, Failure> {
        let fetches = request.method() == Method::GET && request.body().is_empty();
        let mut asked = asked;
        for _ in 0..WAITS_MAX {
            let Asked { old, alone } = asked;
            if alone || !fetches {
                break;
            }
            let object = self.rules.object;
            let fill = match self.cache.shelf.turn(&self.key, object, self.rules.collapse) {
                Turn::Lead(lead) => return self.fetch(lead, old, request, exchange).await,
                Turn::Join(fill) => fill,
            };
            let outcome = timeout_at(self.tries.end, fill.outcome()).await;
            match outcome.map_err(|_| Failure::Timeout)? {
                Outcome::Given(head, reader) if head.stored.variant.matches(request.headers()) => {
                    let now = clock::unix_seconds();
                    let headers = fields(&head.headers, &head.stored, Via::Joined, now);
                    let content = Content::Filled(reader, None);
                    return Ok((response(head.status, headers, content), Via::Joined));
                }
                Outcome::Failed(failure) => {
                    let old = old.filter(|(_, if_error)| *if_error);
                    let now = clock::unix_seconds();
                    let stale = old.map(|(kept, _)| give(&kept, &request, Via::Failing, now));
                    return stale.ok_or(failure);
                }
                Outcome::Left => {}
                Outcome::Given(..) | Outcome::Alone => break,
            }
            asked = match self.look(&request, exchange.client())? {
                Break(answer) => return Ok(answer),
                Continue(asked) => asked,
            };
        }
        let forwarded = self.tries.run(request, exchange).await?;
        Ok((forwarded.map(Content::passed), Via::Pass))
    }

    /// Asks the origin; `old` is what is kept, and whether it may be used should the origin fail.
    async fn fetch(
        &self,
        lead: Lead,
        old: Option<(Arc<Kept>, bool)>,
        mut request: Onward,
        exchange: &mut Exchange,
    ) -> Result<Answer, Failure> {
        // The origin is asked on behalf of all who may come; a client's conditions are judged here.
        let asked = copy(&request, RequestBody::empty());
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
            request.headers_mut().remove(name);
        }
        let (old, if_error) = old.map_or((None, false), |(kept, if_error)| (Some(kept), if_error));
        let conditional =
            old.as_ref().is_some_and(|kept| make_conditional(request.headers_mut(), &kept.headers));
        let sent = clock::unix_seconds();
        let reply = match self.tries.run(request, exchange).await {
            Ok(forwarded) => forwarded,
            Err(failure) => {
                lead.failed(failure);
                let stale = old.filter(|_| if_error);
                let now = clock::unix_seconds();
                let stale = stale.map(|kept| give(&kept, &asked, Via::Failing, now));
                return stale.ok_or(failure);
            }
        };
        let times = (sent, clock::unix_seconds());
        match old {
            Some(kept) if conditional && reply.status() == StatusCode::NOT_MODIFIED => {
                let kept = self.renewed(lead, &kept, &asked, &reply, times);
                // Its connection goes back.
                drop(reply.map(Content::passed));
                Ok(give(&kept, &asked, Via::Renewed, times.1))
            }
            // RFC 5861 section 4.
            Some(kept) if if_error && matches!(reply.status().as_u16(), 500 | 502..=504) => {
                lead.failed(Failure::Unavailable);
                Ok(give(&kept, &asked, Via::Failing, times.1))
            }
            _ => Ok(self.fetched(lead, &asked, reply, times, exchange)),
        }
    }

    /// A reply has come, and is kept if it may be.
    fn fetched(
        &self,
        lead: Lead,
        asked: &Request<RequestBody>,
        reply: Forwarded,
        times: (u64, u64),
        exchange: &mut Exchange,
    ) -> Answer {
        let stored = self.judge(asked, reply.status(), reply.headers(), times);
        let length = reply.body().timed.size_hint().exact();
        let fits = length.is_none_or(|length| length <= self.rules.object);
        let Some(stored) = stored.filter(|_| fits) else {
            lead.alone(times.1);
            return (reply.map(Content::passed), Via::Pass);
        };
        let (parts, mut passing) = reply.into_parts();
        let headers = fields(&parts.headers, &stored, Via::Miss, times.1);
        let not_modified =
            parts.status == StatusCode::OK && is_not_modified(asked.headers(), &parts.headers);
        let head = Head { stored, status: parts.status, headers: parts.headers };
        let reader = lead.given(head, length.is_some());
        let rest = Rc::new(RefCell::new(None));
        // It goes on for whoever else waits for it, whatever time this client's request has left.
        passing.unbind();
        let in_flight = exchange.in_flight.take();
        spawn_local(fill(Rest { first: None, passing, in_flight }, lead, rest.clone()));
        let reply = if not_modified {
            unchanged(headers)
        } else {
            response(parts.status, headers, Content::Filled(reader, Some(rest)))
        };
        (reply, Via::Miss)
    }

    /// The origin says that what is kept is still right.
    fn renewed(
        &self,
        lead: Lead,
        kept: &Kept,
        asked: &Request<RequestBody>,
        reply: &Forwarded,
        times: (u64, u64),
    ) -> Arc<Kept> {
        let mut headers = kept.headers.clone();
        renew(&mut headers, reply.headers());
        let stored = self.judge(asked, kept.status, &headers, times);
        let keeps = stored.is_some();
        let kept = Kept {
            stored: stored.unwrap_or_else(|| kept.stored.clone()),
            status: kept.status,
            headers,
            body: kept.body.clone(),
        };
        if keeps {
            return lead.renewed(kept);
        }
        // It is no longer for all.
        self.cache.shelf.forget(&self.key);
        lead.alone(times.1);
        Arc::new(kept)
    }

    /// Whether a reply may be kept; `times` are when its request went and its head came.
    fn judge(
        &self,
        asked: &Request<RequestBody>,
        status: StatusCode,
        response: &HeaderMap,
        (sent, received): (u64, u64),
    ) -> Option<Stored> {
        let (method, request) = (asked.method(), asked.headers());
        let exchange = cache::Exchange { method, request, status, response, sent, received };
        Stored::new(&exchange, self.rules).ok()
    }

    /// Fetches anew what is kept, unless somebody does already.
    fn refresh(&self, kept: &Arc<Kept>, request: &Request<RequestBody>, client: &Client) {
        let Turn::Lead(lead) = self.cache.shelf.turn(&self.key, self.rules.object, true) else {
            return;
        };
        let (worker, route) = (self.worker.clone(), self.route.clone());
        let (kept, request, key) =
            (kept.clone(), copy(request, RequestBody::empty()), self.key.clone());
        let (balance_key, priority) = (self.tries.key, self.tries.priority);
        // No client waits for it, and none is counted.
        let activity = Arc::new(Activity::new(clock::now()));
        let client = Client::new(client.ends, client.secure, activity);
        let ends = self.tries.ends;
        spawn_local(async move {
            let (Some(cache), Some(rules)) = (&route.cache, &route.route.cache) else { return };
            let end = tokio::time::Instant::now() + route.route.timeouts.request;
            let (worker, route) = (&worker, &route);
            let tries = Tries {
                worker,
                route,
                key: balance_key,
                held: None,
                end,
                last: None,
                idempotent: true,
                priority,
                offered: None,
                accept: None,
                ends,
                current: Cell::new(None),
            };
            let cached = Cached { worker, route, cache, rules, tries: &tries, key };
            let mut exchange = Exchange::new(Rc::new(client));
            // What is kept stays when this fails.
            let _ = cached.fetch(lead, Some((kept, false)), request, &mut exchange).await;
        });
    }
}

/// Fetches the body of a reply, however slow its client is, until it is too long to be kept: the
/// rest is for that client then.
async fn fill(mut from: Rest, mut lead: Lead, rest: Rc<RefCell<Option<Rest>>>) {
    loop {
        match poll_fn(|context| from.passing.timed.poll_frame(context)).await {
            Some(Ok(frame)) => {
                // Trailers are not kept.
                let Ok(part) = frame.into_data() else { continue };
                if !lead.push(&part) {
                    from.first = Some(part);
                    *rest.borrow_mut() = Some(from);
                    lead.too_long(clock::unix_seconds());
                    return;
                }
            }
            // Who waits for it learns so from the end of `lead`.
            Some(Err(_)) => return,
            None => {
                from.passing.give_back();
                lead.finish();
                return;
            }
        }
    }
}

/// A kept reply as one to this request; `now` in seconds since 1970.
fn give(kept: &Kept, request: &Request<RequestBody>, via: Via, now: u64) -> Answer {
    let mut headers = fields(&kept.headers, &kept.stored, via, now);
    if kept.status == StatusCode::OK && is_not_modified(request.headers(), &kept.headers) {
        return (unchanged(headers), via);
    }
    let body = if request.method() == Method::HEAD {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| kept.body.len().into());
        Bytes::new()
    } else {
        kept.body.clone()
    };
    (response(kept.status, headers, Content::own(body)), via)
}

/// The fields of a reply that came this way.
fn fields(headers: &HeaderMap, stored: &Stored, via: Via, now: u64) -> HeaderMap {
    let mut headers = headers.clone();
    if via != Via::Miss {
        headers.insert(AGE, stored.age(now).into());
    }
    headers.insert(CACHE_STATUS, via.status());
    headers
}

fn response(status: StatusCode, headers: HeaderMap, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The client has it already.
fn unchanged(mut headers: HeaderMap) -> Response<Content> {
    headers.remove(CONTENT_LENGTH);
    response(StatusCode::NOT_MODIFIED, headers, Content::own(Bytes::new()))
}
