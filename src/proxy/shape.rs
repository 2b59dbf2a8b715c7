//! What a route does with the heads of requests and replies: edits, other paths, replies of its
//! own, the cookie of a client's endpoint, and which bodies become shorter.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Response, Uri, request};
use prometheus::IntCounter;

use super::body::Content;
use super::compress::{self, Wish};
use super::exchange::Exchange;
use super::failure::Failure;
use super::head::{self, Authority, Told, Trace};
use super::sticky::Sticky;
use super::view::RouteView;
use super::worker::Worker;
use crate::metrics::ProxyMetrics;
use crate::model::{
    Action, Edits, Encoding, Model, Placeholder, Redirect, Respond, Rewrite, Route,
};

/// What one route does, made once for each thread.
#[derive(Debug)]
pub(super) struct Shaping {
    route: Arc<Route>,
    sticky: Option<Sticky>,
    /// Replies that were compressed, in the order of [`Encoding::ALL`]; empty: none are.
    compressed: Vec<IntCounter>,
    /// What placeholders stand for, whatever the request.
    region: String,
    node: String,
    pool: String,
}

/// What is kept of a request until its reply has come.
#[derive(Debug)]
pub(super) struct Pending {
    /// What placeholders stand for; `None`: there are none.
    facts: Option<Box<Facts>>,
    /// The endpoint that the client's cookie names.
    pub(super) held: Option<u64>,
    /// Whether the client's own connection is encrypted.
    secure: bool,
    /// What the client reads; `None`: nothing is compressed.
    wish: Option<Wish>,
    head: bool,
}

/// What placeholders stand for in one request.
#[derive(Debug)]
struct Facts {
    client: IpAddr,
    secure: bool,
    host: String,
    path: String,
    query: Option<String>,
    trace: u128,
}

impl Shaping {
    /// What a route does; `None`: nothing.
    pub(super) fn of(route: &Arc<Route>, model: &Model, metrics: &ProxyMetrics) -> Option<Self> {
        let shape = &route.shape;
        let idle = route.pool().is_some()
            && shape.request.is_empty()
            && shape.response.is_empty()
            && shape.rewrite.is_none()
            && shape.sticky.is_none()
            && shape.compress.is_none();
        if idle {
            return None;
        }
        let pool = route.pool().map(|pool| model.fleet.pool(pool).name.clone());
        let count = |encoding: Encoding| {
            metrics.compressed.with_label_values(&[route.name.as_str(), encoding.name()])
        };
        Some(Self {
            sticky: shape.sticky.as_ref().map(|own| Sticky::new(&own.name, &own.secrets)),
            compressed: shape.compress.iter().flat_map(|_| Encoding::ALL).map(count).collect(),
            route: route.clone(),
            region: model.fleet.region(model.node.region).name.clone(),
            node: model.node.name.clone(),
            pool: pool.unwrap_or_default(),
        })
    }

    /// Shapes the head of a request, ready otherwise for its next hop.
    pub(super) fn request(
        &self,
        parts: &mut request::Parts,
        told: Told,
        authority: Option<&Authority<'_>>,
    ) -> Result<Pending, Failure> {
        let shape = &self.route.shape;
        let redirects = matches!(self.route.action, Action::Redirect(_));
        let facts = if redirects || !shape.request.is_empty() || !shape.response.is_empty() {
            Some(Box::new(Facts::of(parts, told, authority)?))
        } else {
            None
        };
        let pending = Pending {
            facts,
            held: self.sticky.as_ref().and_then(|sticky| sticky.read(&parts.headers)),
            secure: told.secure,
            wish: shape.compress.as_ref().map(|_| Wish::of(&parts.headers)),
            head: parts.method == Method::HEAD,
        };
        if let Some(rewrite) = &shape.rewrite {
            rewritten(&mut parts.uri, rewrite)?;
        }
        self.edit(&shape.request, &mut parts.headers, &pending, None);
        if parts.headers.contains_key(HOST) { Ok(pending) } else { Err(Failure::Malformed) }
    }

    /// The reply of a route without a pool; `None`: the route has one.
    pub(super) fn own(&self, pending: &Pending) -> Option<Result<Response<Bytes>, Failure>> {
        let mut reply = match &self.route.action {
            Action::Pool(_) => return None,
            Action::Redirect(redirect) => match pending.redirect(redirect) {
                Ok(reply) => reply,
                Err(failure) => return Some(Err(failure)),
            },
            Action::Respond(respond) => response(respond),
        };
        self.edit(&self.route.shape.response, reply.headers_mut(), pending, None);
        if pending.head {
            // What the length says stays true of GET (RFC 9110 section 9.3.2).
            reply.body_mut().clear();
        }
        Some(Ok(reply))
    }

    /// Shapes a reply, of an endpoint or a kept one.
    pub(super) fn reply(
        &self,
        pending: &Pending,
        mut reply: Response<Content>,
        worker: &Worker,
        view: &RouteView,
        exchange: &Exchange,
    ) -> Response<Content> {
        // What is kept for everyone binds nobody to the endpoint that it came from.
        let endpoint = exchange.endpoint.filter(|_| reply.body().is_passed());
        if let Some(sticky) = &self.sticky
            && let Some(id) = endpoint.and_then(|endpoint| view.number(endpoint))
            && pending.held != Some(id)
            && let Some(cookie) = sticky.bind(id, pending.secure)
        {
            reply.headers_mut().append(SET_COOKIE, cookie);
        }
        self.edit(&self.route.shape.response, reply.headers_mut(), pending, endpoint);
        let settings = self.route.shape.compress.as_ref().filter(|_| !pending.head);
        let Some((settings, wish)) = settings.zip(pending.wish.as_ref()) else { return reply };
        let facts = (reply.status(), reply.body().size_hint().exact());
        let all = &worker.compressions;
        let encoder = compress::encode(reply.headers_mut(), facts, settings, wish, all);
        let encoding = encoder.as_ref().map(|encoder| encoder.encoding());
        let counts = Encoding::ALL.into_iter().zip(&self.compressed);
        if let Some((_, counter)) = counts.into_iter().find(|(own, _)| Some(*own) == encoding) {
            counter.inc();
        }
        reply.map(|content| content.encoded(encoder))
    }

    fn edit(
        &self,
        edits: &Edits,
        headers: &mut HeaderMap,
        pending: &Pending,
        endpoint: Option<SocketAddr>,
    ) {
        let Some(facts) = pending.facts.as_ref().filter(|_| !edits.is_empty()) else { return };
        edits.apply(headers, |placeholder, to| match placeholder {
            Placeholder::Region => to.push_str(&self.region),
            Placeholder::Node => to.push_str(&self.node),
            Placeholder::Route => to.push_str(&self.route.name),
            Placeholder::Pool => to.push_str(&self.pool),
            Placeholder::Endpoint => {
                if let Some(endpoint) = endpoint {
                    let _ = write!(to, "{endpoint}");
                }
            }
            of_request => facts.write(of_request, to),
        });
    }
}

impl Pending {
    fn redirect(&self, redirect: &Redirect) -> Result<Response<Bytes>, Failure> {
        let facts = self.facts.as_deref().ok_or(Failure::Malformed)?;
        // Without a host, what follows in the target would be taken for one.
        if facts.host.is_empty() && redirect.to.holds(Placeholder::Host) {
            return Err(Failure::Malformed);
        }
        let to = redirect.to.fill(|placeholder, to| facts.write(placeholder, to));
        let text = redirect.status.canonical_reason().unwrap_or_default();
        let text = Bytes::from(format!("{} {text}\n", redirect.status.as_u16()));
        let mut reply = Response::new(Bytes::new());
        *reply.status_mut() = redirect.status;
        reply.headers_mut().insert(LOCATION, to.ok_or(Failure::Malformed)?);
        fill(&mut reply, HeaderValue::from_static("text/plain; charset=utf-8"), text);
        Ok(reply)
    }
}

/// A reply that is the same each time.
fn response(respond: &Respond) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = respond.status;
    if !respond.body.is_empty() {
        fill(&mut reply, respond.content_type.clone(), respond.body.clone());
    }
    reply
}

fn fill(reply: &mut Response<Bytes>, kind: HeaderValue, body: Bytes) {
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    *reply.body_mut() = body;
}

/// Gives a target, in origin form, another path.
fn rewritten(uri: &mut Uri, rewrite: &Rewrite) -> Result<(), Failure> {
    let Some(target) = uri.path_and_query().filter(|target| target.path() != "*") else {
        return Ok(());
    };
    let replaced = match rewrite {
        Rewrite::Prefix(prefix, with) => {
            head::replace_prefix(target, prefix, with).ok_or(Failure::Malformed)?
        }
        Rewrite::Path(path) => head::replace_path(target, path).map_err(Failure::Refused)?,
        Rewrite::Groups(regex, with) => {
            let path = head::canonical(target.path()).map_err(Failure::Refused)?;
            let found = regex.captures(&path).ok_or(Failure::Malformed)?;
            let mut made = String::new();
            found.expand(with, &mut made);
            head::replace_path(target, &made).map_err(Failure::Refused)?
        }
    };
    *uri = Uri::from(replaced);
    Ok(())
}

impl Facts {
    fn of(
        parts: &request::Parts,
        told: Told,
        authority: Option<&Authority<'_>>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            client: told.client,
            secure: told.secure,
            host: authority.map_or_else(String::new, |authority| authority.host.to_string()),
            path: head::encoded(parts.uri.path()).map_err(Failure::Refused)?,
            query: parts.uri.query().map(str::to_owned),
            trace: Trace::read(&parts.headers).map_or(0, |trace| trace.id),
        })
    }

    fn write(&self, placeholder: Placeholder, to: &mut String) {
        match placeholder {
            Placeholder::ClientIp => {
                let _ = write!(to, "{}", self.client);
            }
            Placeholder::Host => to.push_str(&self.host),
            Placeholder::Scheme => to.push_str(if self.secure { "https" } else { "http" }),
            Placeholder::Path => to.push_str(&self.path),
            Placeholder::Query => {
                let Some(query) = &self.query else { return };
                to.push('?');
                for octet in query.bytes() {
                    // RFC 3986 section 3.4: what clients send beyond it is encoded.
                    if octet.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&octet) {
                        to.push(char::from(octet));
                    } else {
                        let _ = write!(to, "%{octet:02X}");
                    }
                }
            }
            Placeholder::TraceId => {
                let _ = write!(to, "{:032x}", self.trace);
            }
            // Not of the request.
            Placeholder::Region
            | Placeholder::Node
            | Placeholder::Route
            | Placeholder::Pool
            | Placeholder::Endpoint => {}
        }
    }
}
