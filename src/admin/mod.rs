//! The admin listener: liveness, readiness, metrics and the API over HTTP.

mod access;
mod ageing;
mod api;
mod audit;
mod board;
mod cache;
mod dashboard;
mod drift;
mod drills;
mod events;
mod explain;
mod families;
mod flows;
mod history;
mod keeper;
mod listener;
mod load;
mod openapi;
mod problem;
mod readiness;
mod reports;
mod routes;
mod scrape;
mod status;
mod votes;
mod webhook;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::cluster::Attendant;
use crate::dns::Counters;
use crate::metrics::Metrics;
use crate::probe::Feeds;
use crate::proxy::cache::Shelves;
use crate::snapshot::Snapshot;
use crate::{model, tls};

use access::{Failures, guard};
use history::{History, remember};
use listener::{Bounded, Limits, Peer};

pub use ageing::watch_ages;
pub use api::{Listing, Wish, Written};
pub use audit::{AuditFile, Broken, examine_audit};
pub use board::Board;
pub use cache::{Purge, Purged};
pub use drift::watch_drift;
pub use drills::{DrillHistory, DrillKept, DrillPlan, DrillWish, NodePlace};
pub use events::{Events, Happening, RegionState};
pub use explain::{Asked, Explanation, Question, mnemonic, regions};
pub use keeper::{Desk, Keeper, Overriding};
pub use listener::Socket;
pub use load::LoadReport;
pub use openapi::openapi;
pub use readiness::Phase;
pub use reports::Reported;
use reports::Said;
pub use scrape::scrape;
pub use status::{
    CertificateStatus, EndpointStatus, LoadStatus, OverrideStatus, PeerStatus, PlanStatus,
    PoolStatus, RegionStatus, Residual, Share, Status, VoteStatus, ZoneStatus,
};
pub use webhook::tell as tell_webhook;

/// Longest body of a request; the longest override is far below.
const BODY_MAX: usize = 1 << 20;

/// What the admin listener shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The snapshot that answers are given from.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The counters of the DNS workers; `None`: this node answers no DNS.
    pub counters: Option<Arc<Counters>>,
    /// The counters of the process.
    pub metrics: Arc<Metrics>,
    /// What the node is doing.
    pub phase: watch::Receiver<Phase>,
    /// Where overrides are set and seen.
    pub desk: Desk,
    /// Where reports of monitors go.
    pub feeds: Arc<Feeds>,
    /// The replies that the proxy keeps.
    pub shelves: Arc<Shelves>,
    /// What happens.
    pub events: Arc<Events>,
    /// Who else is there.
    pub peers: watch::Receiver<Vec<Attendant>>,
    /// What the listener was opened with.
    pub settings: Arc<model::Admin>,
    history: Arc<History>,
    failures: Arc<Failures>,
    said: Arc<Said>,
}

/// What an [`Admin`] has of its fields from other parts of the node.
type Shared = (Arc<Feeds>, Arc<Shelves>, Arc<Events>, watch::Receiver<Vec<Attendant>>);

impl Admin {
    /// All that the listener shows and does.
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        counters: Option<Arc<Counters>>,
        metrics: Arc<Metrics>,
        phase: watch::Receiver<Phase>,
        desk: Desk,
        (feeds, shelves, events, peers): Shared,
        settings: model::Admin,
    ) -> Self {
        let settings = Arc::new(settings);
        let (history, failures, said) = (Arc::default(), Arc::default(), Arc::default());
        Self {
            snapshot,
            counters,
            metrics,
            phase,
            desk,
            feeds,
            shelves,
            events,
            peers,
            settings,
            history,
            failures,
            said,
        }
    }
}

/// Serves until `shutdown`.
///
/// # Errors
/// When TLS cannot be set up, or the listener fails for good.
pub async fn serve(socket: Socket, admin: Admin, shutdown: CancellationToken) -> io::Result<()> {
    serve_within(socket, admin, Limits::default(), shutdown).await
}

async fn serve_within(
    socket: Socket,
    admin: Admin,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let tls = acceptor(&admin).map_err(io::Error::other)?;
    let events = admin.events.clone();
    let remembering = remember(admin.clone());
    let guarded = routes::router(false)
        .fallback(routes::nothing)
        .method_not_allowed_fallback(routes::unsuited)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(admin.clone(), guard));
    let routes =
        routes::router(true).merge(guarded).layer(map_response(last_reply)).with_state(admin);
    let routes = routes.into_make_service_with_connect_info::<Peer>();
    let listener = Bounded::new(socket, tls, limits);
    let ended = async move {
        shutdown.cancelled().await;
        // Readers of events would stay for minutes.
        events.close();
    };
    tokio::select! {
        served = axum::serve(listener, routes).with_graceful_shutdown(ended) => served,
        never = remembering => match never {},
    }
}

/// How the listener speaks TLS. A client shows a certificate where authorities are given; it may
/// go without where it may show a token instead.
fn acceptor(admin: &Admin) -> Result<Option<TlsAcceptor>, String> {
    let Some(own) = &admin.settings.tls else { return Ok(None) };
    let clients = own.client_ca.clone().map(|roots| (roots, admin.settings.tokens.is_some()));
    let shown =
        Arc::new(Shown { admin: admin.clone(), first: own.certificate.certified().clone() });
    let config = tls::server_config_for(shown, &[b"http/1.1"], clients);
    config.map(|config| Some(TlsAcceptor::from(Arc::new(config)))).map_err(|e| e.to_string())
}

/// The certificate of the configuration as it is at the time of a handshake.
#[derive(Debug)]
struct Shown {
    admin: Admin,
    /// That of the start, for as long as there is no other.
    first: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let snapshot = self.admin.snapshot.load();
        let state = snapshot.state.as_ref();
        let admin = state.and_then(|state| state.loaded.model.node.admin.as_ref());
        let current = admin.and_then(|admin| admin.tls.as_ref());
        Some(current.map_or(&self.first, |tls| tls.certificate.certified()).clone())
    }
}

/// Each connection has one request, since its time is limited as a whole.
async fn last_reply(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The process runs.
async fn livez() -> &'static str {
    "alive\n"
}

/// Whether queries should be sent here.
async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    let (ready, text) = readiness::readiness(*admin.phase.borrow(), &admin.snapshot.load());
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

/// Prometheus text format 0.0.4.
async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    match scrape(&admin) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text),
        Err(error) => {
            tracing::error!(%error, "cannot render the metrics");
            let text = format!("cannot render the metrics: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], text)
        }
    }
}

#[cfg(test)]
mod tests;
