//! The sample backends: two in each region, which live or die as they are told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Serialize;
use tokio::net::TcpListener;

/// Last octet of 127.0.0.0/24 and region.
const BACKENDS: [(u8, &str); 6] =
    [(11, "eu"), (12, "eu"), (21, "us"), (22, "us"), (31, "ap"), (32, "ap")];

/// A sample backend and the region it stands for.
#[derive(Serialize)]
pub(super) struct SampleBackend {
    region: &'static str,
    /// Where it answers.
    pub(super) address: SocketAddr,
}

/// All of them.
pub(super) fn all(port: u16) -> Vec<SampleBackend> {
    let backend = |(octet, region)| {
        let address = SocketAddr::from(([127, 0, 0, octet], port));
        SampleBackend { region, address }
    };
    BACKENDS.into_iter().map(backend).collect()
}

/// Those of one region.
pub(super) fn of(region: &str, port: u16) -> Vec<SocketAddr> {
    let own = all(port).into_iter().filter(|backend| backend.region == region);
    own.map(|backend| backend.address).collect()
}

/// One sample backend.
struct Backend {
    address: IpAddr,
    region: &'static str,
    healthy: AtomicBool,
}

/// Starts them on the runtime that this is called on; they end with it.
///
/// # Errors
/// When an address is taken.
pub(super) async fn start_backends(port: u16) -> Result<(), String> {
    for SampleBackend { region, address } in all(port) {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            format!("error: cannot listen on {address}: {error} (name another port: --backends)")
        })?;
        let healthy = AtomicBool::new(true);
        let backend = Arc::new(Backend { address: address.ip(), region, healthy });
        let routes = Router::new()
            .route("/", get(greet))
            .route("/health/ready", get(ready))
            .route("/fail", post(async |state| set_healthy(&state, false)))
            .route("/recover", post(async |state| set_healthy(&state, true)))
            .with_state(backend);
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }
    Ok(())
}

async fn greet(State(backend): State<Arc<Backend>>) -> (StatusCode, String) {
    let (address, region) = (backend.address, backend.region);
    if backend.healthy.load(Ordering::Relaxed) {
        (StatusCode::OK, format!("{address} in {region}\n"))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{address} in {region} is out of order\n"))
    }
}

async fn ready(State(backend): State<Arc<Backend>>) -> (StatusCode, &'static str) {
    if backend.healthy.load(Ordering::Relaxed) {
        (StatusCode::OK, "{\"status\":\"ok\"}\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"failing\"}\n")
    }
}

fn set_healthy(State(backend): &State<Arc<Backend>>, healthy: bool) -> String {
    backend.healthy.store(healthy, Ordering::Relaxed);
    let state = if healthy { "serves again" } else { "is out of order now" };
    format!("{} in {} {state}\n", backend.address, backend.region)
}
