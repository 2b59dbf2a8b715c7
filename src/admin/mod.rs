//! The admin listener: liveness, readiness and metrics over HTTP.

mod families;
mod scrape;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::dns::Counters;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;

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
    /// Whether queries are answered; false before the first probe round and while draining.
    pub ready: Arc<AtomicBool>,
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
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(admin);
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

/// The process runs.
async fn livez() -> &'static str {
    "alive\n"
}

/// Queries are answered.
async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
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
