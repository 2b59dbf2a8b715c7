//! `/api/v1/reports`: what others say of endpoints, for monitors of kind `feed`.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::api::{document, read};
use super::problem::Problem;
use crate::clock;
use crate::model::{Check, Fleet, MonitorId, Pool};
use crate::probe::Bulletin;

/// What became of a report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reported {
    /// Number of endpoints of which something was said.
    pub reports: usize,
}

/// Takes in reports of one monitor, all or none.
pub(super) async fn report(
    State(admin): State<Admin>,
    Path(monitor): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let taken = read(&headers, body).and_then(|bulletin| take(&admin, &monitor, bulletin));
    match taken {
        Ok(reported) => document(StatusCode::OK, &reported, None),
        Err(problem) => problem.into_response(),
    }
}

fn take(admin: &Admin, monitor: &str, bulletin: Bulletin) -> Result<Reported, Problem> {
    let snapshot = admin.snapshot.load();
    let model = snapshot.state.as_ref().map(|state| &state.loaded.model);
    let model = model.filter(|model| model.node.probe.is_some()).ok_or_else(|| {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this node does not probe");
        problem.hint("send reports to nodes with [probe]")
    })?;
    let fleet = &model.fleet;
    let pools = watched(fleet, monitor)?;
    let endpoints = pools.iter().flat_map(|pool| fleet.endpoints_of(pool));
    if let Some(endpoint) = bulletin.stranger(endpoints.map(|(_, one)| &one.address)) {
        let what = format!("monitor `{monitor}` watches no endpoint `{endpoint}`");
        let problem = Problem::new(StatusCode::BAD_REQUEST, what);
        return Err(problem.hint("endpoints are named by their `address`; nothing was taken"));
    }
    let reports = admin.feeds.announce(monitor, bulletin, clock::unix_seconds());
    let reports = reports.map_err(|why| Problem::new(StatusCode::INSUFFICIENT_STORAGE, why))?;
    Ok(Reported { reports })
}

/// The pools that a monitor of kind `feed` watches.
fn watched<'a>(fleet: &'a Fleet, monitor: &str) -> Result<Vec<&'a Pool>, Problem> {
    let found = (0..).map(MonitorId).zip(&fleet.monitors).find(|(_, other)| other.name == monitor);
    let Some((id, _)) = found.filter(|(_, found)| matches!(found.check, Check::Feed(_))) else {
        let what = format!("there is no monitor `{monitor}` of kind feed");
        let hint = "monitors are defined in fleet.toml";
        return Err(Problem::new(StatusCode::NOT_FOUND, what).hint(hint));
    };
    Ok(fleet.pools.iter().filter(|pool| fleet.watched(pool).contains(&id)).collect())
}
