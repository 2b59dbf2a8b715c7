//! One request and its reply, counted when it is over.

use std::cell::{OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};

use super::access_log::Record;
use super::activity::Activity;
use super::failure::Failure;
use super::guard::Verdict;
use super::head;
use super::identity::Session;
use super::load::InFlight;
use super::request_body::Progress;
use super::traces::Spans;
use super::tunnel::Tunnel;
use super::unread::Counted;
use super::upgrade::Upgrade;
use super::view::RouteView;
use crate::clock;
use crate::metrics::ProxyMetrics;
use crate::proxy_header::Ends;

/// What metrics call the route of requests that have none.
const NO_ROUTE: &str = "none";

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Client {
    /// The address that the connection comes from, or whom a proxy speaks for.
    pub(super) address: IpAddr,
    /// The same as fields have it.
    pub(super) written: HeaderValue,
    /// Both ends of the connection.
    pub(super) ends: Ends,
    /// Whether it speaks TLS.
    pub(super) secure: bool,
    /// What it showed in its handshake, where certificates are asked for.
    pub(super) session: Option<Session>,
    /// What the connection is doing.
    pub(super) activity: Arc<Activity>,
    /// The guard before its octets; none over HTTP/2.
    pub(super) guard: OnceCell<Verdict>,
    /// What its octets are from when HTTP has ended.
    pub(super) tunnel: RefCell<Option<Tunnel>>,
}

impl Client {
    /// A client that has just connected.
    pub(super) fn new(ends: Ends, secure: bool, activity: Arc<Activity>) -> Self {
        let session = None;
        let (guard, tunnel) = (OnceCell::new(), RefCell::new(None));
        let address = ends.source.ip().to_canonical();
        let written = head::written(address);
        Self { address, written, ends, secure, session, activity, guard, tunnel }
    }

    /// Both ends of the connection, if this address is at one, or else who is known of it.
    pub(super) fn spoken_for(&self, address: IpAddr) -> Ends {
        let source = self.ends.source;
        let known = source.ip().to_canonical() == address;
        let source = if known { source } else { SocketAddr::new(address, 0) };
        Ends { source, ..self.ends }
    }
}

/// One request and its reply; over when it is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Rc<Client>,
    /// When its head had come.
    pub(super) begun: Instant,
    /// Its route; `None`: none is known.
    pub(super) route: Option<Rc<RouteView>>,
    /// The endpoint that works on it.
    pub(super) in_flight: Option<InFlight>,
    /// How far the request's body has come; `None`: there is none.
    pub(super) progress: Option<Rc<Progress>>,
    /// The endpoint that was tried last; `None`: none was.
    pub(super) endpoint: Option<SocketAddr>,
    /// What is written down of it; `None`: nothing.
    pub(super) record: Option<Box<Record>>,
    /// The protocol that it asks to change to; `None`: to none.
    pub(super) upgrade: Option<Box<Upgrade>>,
    /// Whether it has become a tunnel, whose time is nobody's waiting.
    is_tunnel: bool,
    /// Where its reply is counted as one that its client has not read; `None`: it is not.
    unread: Option<Counted>,
    octets: u64,
}

impl Exchange {
    /// A request whose head has come.
    pub(super) fn new(client: Rc<Client>) -> Self {
        client.activity.begin();
        let begun = clock::stopwatch();
        let (route, in_flight, progress, upgrade) = (None, None, None, None);
        let (endpoint, record, is_tunnel, unread, octets) = (None, None, false, None, 0);
        Self {
            client,
            begun,
            route,
            in_flight,
            progress,
            endpoint,
            record,
            upgrade,
            is_tunnel,
            unread,
            octets,
        }
    }

    /// Who asked.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Its spans; `None`: it is part of no recorded trace.
    pub(super) fn spans(&self) -> Option<&Rc<Spans>> {
        self.record.as_ref()?.spans.as_ref()
    }

    /// An endpoint replied with this status.
    pub(super) fn replied(&mut self, status: StatusCode) {
        if let Some(record) = &mut self.record {
            record.ended.status = Some(status.as_u16());
        }
        if let Some(route) = &self.route {
            route.counters.replied(status.as_u16());
        }
    }

    /// The proxy replies itself.
    pub(super) fn failed(&mut self, metrics: &ProxyMetrics, failure: Failure) {
        let status = failure.status_on(self.route.as_ref().map(|view| &*view.route));
        self.replied(status);
        if let Some(record) = &mut self.record {
            record.ended.cause = Some(failure.cause());
        }
        let route = self.route.as_ref().map_or(NO_ROUTE, |view| view.route.name.as_str());
        metrics.failures.with_label_values(&[route, failure.cause()]).inc();
    }

    /// An endpoint is tried.
    pub(super) fn tried(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
        if let Some(record) = &mut self.record {
            record.ended.tries += 1;
        }
    }

    /// The head of a reply came after this time.
    pub(super) fn heard(&mut self, took: Duration) {
        if let Some(record) = &mut self.record {
            record.ended.endpoint_duration = Some(took);
        }
    }

    /// The reply came to its end.
    pub(super) fn completed(&mut self) {
        if let Some(record) = &mut self.record {
            record.ended.complete = true;
        }
    }

    /// The source of the reply broke off.
    pub(super) fn broken(&mut self) {
        if let Some(record) = &mut self.record {
            record.ended.broken = true;
        }
    }

    /// The protocol has changed: the request has its reply, and stays under way.
    pub(super) fn tunnels(&mut self) {
        self.observe(self.begun.elapsed());
        self.is_tunnel = true;
    }

    /// Whether its reply has something for the client, which has yet to ask for more.
    pub(super) fn offers(&mut self, something: bool) {
        if let Some(unread) = self.client.activity.unread() {
            if something {
                self.unread = Some(unread.waits(self.unread));
            } else {
                unread.leaves(self.unread.take());
            }
        }
    }

    fn observe(&self, took: Duration) {
        if let Some(route) = &self.route {
            route.counters.duration.observe(took.as_secs_f64());
        }
    }

    /// Octets of the reply's body went out.
    pub(super) fn sent(&mut self, octets: usize) {
        self.octets += octets as u64;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = clock::stopwatch();
        let took = now.saturating_duration_since(self.begun);
        self.offers(false);
        if let Some(route) = &self.route {
            let counters = &route.counters;
            if !self.is_tunnel {
                self.observe(took);
            }
            if self.octets > 0 {
                counters.sent.inc_by(self.octets);
            }
            if let Some(progress) = &self.progress {
                counters.received.inc_by(progress.octets.get());
            }
        }
        if let Some(mut record) = self.record.take() {
            let ended = &mut record.ended;
            ended.route = self.route.as_ref().map(|view| view.route.name.clone());
            ended.endpoint = self.endpoint;
            ended.duration = took;
            ended.received = self.progress.as_ref().map_or(0, |progress| progress.octets.get());
            ended.sent = self.octets;
            record.end();
        }
        self.client.activity.end(clock::at(now));
    }
}
