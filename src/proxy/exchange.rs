//! One request and its reply, counted when it is over.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use super::activity::Activity;
use super::body::Progress;
use super::failure::Failure;
use super::load::InFlight;
use super::view::RouteView;
use crate::clock;
use crate::metrics::ProxyMetrics;

/// What metrics call the route of requests that have none.
const NO_ROUTE: &str = "none";

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Client {
    /// The address that the connection comes from.
    pub(super) address: IpAddr,
    /// Whether it speaks TLS.
    pub(super) secure: bool,
    /// What the connection is doing.
    pub(super) activity: Arc<Activity>,
}

/// One request and its reply; over when it is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Rc<Client>,
    begun: Instant,
    /// Its route; `None`: none is known.
    pub(super) route: Option<Rc<RouteView>>,
    /// The endpoint that works on it.
    pub(super) in_flight: Option<InFlight>,
    /// How far the request's body has come; `None`: there is none.
    pub(super) progress: Option<Rc<Progress>>,
    octets: u64,
}

impl Exchange {
    /// A request whose head has come.
    pub(super) fn new(client: Rc<Client>) -> Self {
        client.activity.begin();
        let begun = clock::stopwatch();
        Self { client, begun, route: None, in_flight: None, progress: None, octets: 0 }
    }

    /// An endpoint replied with this status.
    pub(super) fn replied(&self, status: StatusCode) {
        if let Some(route) = &self.route {
            route.counters.replied(status.as_u16());
        }
    }

    /// The proxy replies itself.
    pub(super) fn failed(&self, metrics: &ProxyMetrics, failure: Failure) {
        self.replied(failure.status());
        let route = self.route.as_ref().map_or(NO_ROUTE, |view| view.route.name.as_str());
        metrics.failures.with_label_values(&[route, failure.cause()]).inc();
    }

    /// Octets of the reply's body went out.
    pub(super) fn sent(&mut self, octets: usize) {
        self.octets += octets as u64;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(route) = &self.route {
            let counters = &route.counters;
            counters.duration.observe(self.begun.elapsed().as_secs_f64());
            if self.octets > 0 {
                counters.sent.inc_by(self.octets);
            }
            if let Some(progress) = &self.progress {
                counters.received.inc_by(progress.octets.get());
            }
        }
        self.client.activity.end(clock::now());
    }
}
