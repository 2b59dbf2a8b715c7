//! `/api/v1/reports`: what others say of endpoints, for monitors of kind `feed`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Admin;
use super::access::Who;
use super::api::{document, read, unreadable};
use super::audit::Note;
use super::problem::Problem;
use crate::clock;
use crate::model::{Check, Fleet, MonitorId, Pool};
use crate::probe::Bulletin;

/// What became of a report.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reported {
    /// Number of endpoints of which something was said.
    pub reports: usize,
}

/// Takes in reports of one monitor, all or none.
pub(super) async fn report(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    monitor: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(Path(monitor)) = monitor else { return unreadable().into_response() };
    let said = body.as_ref().map(Bytes::clone).unwrap_or_default();
    let taken = read(&headers, body).and_then(|bulletin| take(&admin, &monitor, bulletin));
    match taken {
        Ok(reported) => {
            // Feeds repeat themselves every few seconds; what they said before is on record.
            if let Some(before) = admin.said.replace(&monitor, &said) {
                let after = serde_json::from_slice(&said).unwrap_or_default();
                let reason = format!("monitor {monitor}");
                admin.desk.note(Note { who, what: "reports", before, after, reason }).await;
            }
            document(StatusCode::OK, &reported, None)
        }
        Err(problem) => problem.into_response(),
    }
}

/// What was reported last for each monitor; the feeds bound how many there are.
///
/// A short lock, taken once a report.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<BTreeMap<String, Bytes>>);

impl Said {
    /// Notes what is said now; gives what was said before, if it was something else.
    fn replace(&self, monitor: &str, said: &Bytes) -> Option<Value> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.insert(monitor.to_owned(), said.clone());
        let changed = before.as_ref() != Some(said);
        let before = before.and_then(|before| serde_json::from_slice(&before).ok());
        changed.then(|| before.unwrap_or_default())
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
