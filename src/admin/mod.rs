//! The admin listener: liveness, readiness and metrics over HTTP.

mod families;
mod listener;
mod readiness;
mod scrape;
mod votes;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dns::Counters;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;

use listener::{Bounded, Limits};

pub use readiness::Phase;
pub use scrape::scrape;

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
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve_within(listener, admin, Limits::default(), shutdown).await
}

async fn serve_within(
    listener: TcpListener,
    admin: Admin,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(map_response(last_reply))
        .with_state(admin);
    let listener = Bounded::new(listener, limits);
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
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
