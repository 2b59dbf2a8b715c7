//! Overrides and status as JSON.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Admin;
use super::access::Who;
use super::keeper::{Done, Order, Refused};
use super::problem::Problem;
use super::status::{OverrideStatus, Status};
use crate::clock;
use crate::health::overrides::{self, Draft, Loss, OverrideSet, Scope, Target};

/// Longest query string: a few names and addresses.
const QUERY_MAX: usize = 4_096;

/// What a client writes to set an override.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// up, down or drain.
    pub action: String,
    /// Region, pool or endpoint.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Who wants it; without it whoever the token is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// For how long, in seconds; either this or `until_cleared`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// It has no end.
    #[serde(default)]
    pub until_cleared: bool,
    /// fleet or node.
    #[serde(default)]
    pub scope: Scope,
    /// Whether the rules of `[safety]` may be broken.
    #[serde(default)]
    pub anyway: bool,
    /// The drill that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
}

/// All overrides, as the API lists them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Listing {
    /// Changes with every write, which may name it in `If-Match`.
    pub revision: u64,
    /// The overrides, the oldest first.
    pub overrides: Vec<OverrideStatus>,
}

/// What became of a write.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// Revision of the set after it.
    pub revision: u64,
    /// The overrides that were set or cleared.
    pub overrides: Vec<OverrideStatus>,
    /// Number of endpoints that a set override is about.
    pub endpoints: usize,
    /// Whether it survives a restart of this node.
    pub saved: bool,
    /// Services that have less now than `[safety]` asks for, as it was ordered.
    pub below_minimum: Vec<String>,
}

pub(super) async fn status(State(admin): State<Admin>, Extension(who): Extension<Who>) -> Response {
    let role = who.role.as_str().to_owned();
    document(StatusCode::OK, &Status { role, ..Status::of(&admin) }, None)
}

pub(super) async fn list(State(admin): State<Admin>) -> Response {
    let set = admin.desk.overrides();
    let listing = Listing { revision: set.revision(), overrides: listed(&set) };
    document(StatusCode::OK, &listing, Some(set.revision()))
}

/// All overrides of a set.
pub(super) fn listed(set: &OverrideSet) -> Vec<OverrideStatus> {
    let now = clock::now();
    set.entries().iter().map(|entry| OverrideStatus::of(entry, now)).collect()
}

pub(super) async fn set(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let order = read(&headers, body).and_then(|wish| draft(wish, &who)).map(Order::Set);
    match order {
        Ok(order) => carry_out(&admin, order, who, &headers, StatusCode::CREATED).await,
        Err(problem) => problem.into_response(),
    }
}

/// Why an override is cleared, which may be told in the body.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Clearing {
    /// In words.
    #[serde(default)]
    reason: String,
}

pub(super) async fn clear(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    which: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(Path(which)) = which else { return unreadable().into_response() };
    let empty = body.as_ref().is_ok_and(Bytes::is_empty);
    let clearing = if empty { Ok(Clearing::default()) } else { read(&headers, body) };
    match clearing {
        Ok(Clearing { reason }) => {
            let order = Order::Clear { which, reason };
            carry_out(&admin, order, who, &headers, StatusCode::OK).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn carry_out(
    admin: &Admin,
    order: Order,
    who: Who,
    headers: &HeaderMap,
    status: StatusCode,
) -> Response {
    let basis = match basis(headers) {
        Ok(basis) => basis,
        Err(problem) => return problem.into_response(),
    };
    match admin.desk.order(order, who, basis).await {
        Ok(done) => document(status, &written(&done), Some(done.set.revision())),
        Err(refused) => refusal(refused).into_response(),
    }
}

fn written(done: &Done) -> Written {
    let entry = |changed: &overrides::Override| match done
        .set
        .entries()
        .iter()
        .find(|entry| entry.what == *changed)
    {
        Some(entry) => OverrideStatus::of(entry, clock::now()),
        None => OverrideStatus { what: changed.clone(), left_seconds: None },
    };
    let mut below_minimum: Vec<String> =
        done.losses.iter().map(|loss| loss.service.clone()).collect();
    below_minimum.dedup();
    Written {
        revision: done.set.revision(),
        overrides: done.changed.iter().map(entry).collect(),
        endpoints: done.endpoints,
        saved: done.saved,
        below_minimum,
    }
}

/// A path whose last part is no text.
pub(super) fn unreadable() -> Problem {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "the path is not UTF-8");
    problem.hint("encode what is no plain character as %XX")
}

/// A JSON body. Its type must be told: pages of other sites can send other types without asking.
pub(super) fn read<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not JSON");
        return Err(problem.hint("send it as `application/json`"));
    }
    let body = body.map_err(|rejection| {
        Problem::new(rejection.status(), "the body cannot be read").hint("1 MiB at most")
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, format!("the body is not as expected: {error}"))
    })
}

fn draft(wish: Wish, who: &Who) -> Result<Draft, Problem> {
    let action = overrides::action(&wish.action);
    let action = action.ok_or_else(|| {
        Problem::bad(format!("unknown action `{}`", wish.action), "expected up, down or drain")
    })?;
    let target: Target = wish
        .target
        .parse()
        .map_err(|error: overrides::TargetError| Problem::bad(error.what, error.hint))?;
    let lasts = match (wish.for_seconds, wish.until_cleared) {
        (Some(seconds), false) => Some(Duration::from_secs(seconds)),
        (None, true) => None,
        (Some(_), true) => {
            return Err(Problem::bad(
                "it has an end and none",
                "either `for_seconds` or `until_cleared`",
            ));
        }
        (None, false) => {
            let hint = "add `for_seconds`, or `until_cleared` if it is to stay";
            return Err(Problem::bad("the end is missing", hint));
        }
    };
    let author = wish.author.unwrap_or_else(|| who.name.clone());
    let Wish { reason, scope, anyway, drill, .. } = wish;
    Ok(Draft { action, target, reason, author, lasts, scope, anyway, drill })
}

/// The revision in `If-Match` (RFC 9110 section 13.1.1); `None`: any.
fn basis(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let revision = tag.and_then(|tag| tag.parse().ok()).map(Some);
    revision.ok_or_else(|| {
        // A tag that we never gave matches nothing.
        let what = format!("`If-Match` names no revision: `{text}`");
        Problem::new(StatusCode::PRECONDITION_FAILED, what).hint("read the overrides anew")
    })
}

fn refusal(refused: Refused) -> Problem {
    match refused {
        Refused::Basis(current) => {
            let what = format!("the overrides have changed, their revision is {current}");
            let problem = Problem::new(StatusCode::PRECONDITION_FAILED, what);
            problem.hint("read them anew").with("revision", current.into())
        }
        Refused::Mistake(mistake) => Problem::bad(mistake.what, mistake.hint),
        Refused::Overlap(drill) => {
            let what = format!("the drill `{drill}` is under way");
            let problem = Problem::new(StatusCode::CONFLICT, what);
            problem.hint("one at a time: wait for its end, or clear its overrides")
        }
        Refused::Unsafe(losses) => unsafe_act(&losses),
        Refused::Unknown => {
            let problem = Problem::new(StatusCode::NOT_FOUND, "there is no such override");
            problem.hint("`meridian force list` shows ids and targets")
        }
        Refused::Unshared(why) => {
            let what = format!("the override does not reach other nodes: {why}");
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, what);
            problem.hint("`--local` sets one on this node alone")
        }
        Refused::Unavailable => {
            let what = "health is not judged on this node now";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).hint("ask another node")
        }
    }
}

/// Losses told in words; of more only the number is.
const LOSSES_MAX: usize = 5;

fn unsafe_act(losses: &[Loss]) -> Problem {
    let mut words: Vec<String> = losses.iter().take(LOSSES_MAX).map(Loss::to_string).collect();
    if let Some(more @ 1..) = losses.len().checked_sub(LOSSES_MAX) {
        words.push(format!("and {more} more of the kind"));
    }
    let all = losses.iter().map(|Loss { service, left, regions, rule }| {
        json!({ "service": service, "left": left, "regions": regions, "rule": rule.key() })
    });
    let all = Value::Array(all.collect());
    let rules = overrides::rules(losses);
    Problem::new(StatusCode::CONFLICT, words.join("; "))
        .hint(format!("{rules} of [safety] forbids it; choose less, or order it with `anyway`"))
        .with("losses", all)
}

/// Keys and values of a query string.
pub(super) fn pairs(query: &str) -> Result<form_urlencoded::Parse<'_>, Problem> {
    if query.len() > QUERY_MAX {
        return Err(Problem::bad("the query is too long", format!("{QUERY_MAX} octets at most")));
    }
    Ok(form_urlencoded::parse(query.as_bytes()))
}

/// The JSON document of what takes its time to be worked out, on a thread for that; `what` says
/// what broke off when it panics.
pub(super) async fn worked_out<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    what: &str,
) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => document(StatusCode::OK, &value, None),
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => {
            let what = format!("{what} broke off");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what).into_response()
        }
    }
}

/// A JSON document; `revision` is its entity tag.
pub(super) fn document(
    status: StatusCode,
    value: &impl Serialize,
    revision: Option<u64>,
) -> Response {
    let text = match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("cannot write the reply: {error}");
            return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what).into_response();
        }
    };
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let tag = revision.and_then(|tag| HeaderValue::try_from(format!("\"{tag}\"")).ok());
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    response
}
