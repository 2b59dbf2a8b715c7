//! `/api/v1/cache/purge`: forgets replies that the proxy of this node keeps.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::Admin;
use super::access::Who;
use super::api::{document, read};
use super::audit::Note;
use super::problem::Problem;
use crate::proxy::cache::target;

/// What is to be forgotten: all that is named together; nothing named is everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Of one route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Of one host, without its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of paths, with their queries, that begin with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What was forgotten.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Purged {
    /// Number of targets that replies were kept of.
    pub purged: usize,
}

impl Purge {
    fn is_about(&self, key: &str) -> bool {
        let (host, path) = target(key);
        self.host.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(host))
            && self.path.as_ref().is_none_or(|own| path.starts_with(own.as_str()))
    }
}

/// Forgets replies.
pub(super) async fn purge(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let purge: Purge = match read(&headers, body) {
        Ok(purge) => purge,
        Err(problem) => return problem.into_response(),
    };
    let shelves = admin.shelves.clone();
    // It looks at every key.
    let forgotten = tokio::task::spawn_blocking(move || {
        let purged = shelves.purge(purge.route.as_deref(), |key| purge.is_about(key));
        (purge, purged)
    });
    match forgotten.await {
        Ok((purge, Some(purged))) => {
            info!(who = who.name, ?purge, purged, "kept replies are forgotten");
            let after = serde_json::to_value(&purge).unwrap_or_default();
            let (what, before, reason) = ("cache.purge", purged.into(), String::new());
            admin.desk.note(Note { who, what, before, after, reason }).await;
            document(StatusCode::OK, &Purged { purged }, None)
        }
        Ok((purge, None)) => {
            let route = purge.route.unwrap_or_default();
            let what = format!("no route `{route}` of this node keeps replies");
            let problem = Problem::new(StatusCode::NOT_FOUND, what);
            problem.hint("routes with `cache` are named in fleet.toml").into_response()
        }
        Err(_) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the purge broke off").into_response()
        }
    }
}
