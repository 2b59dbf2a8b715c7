//! What the API says when it does not do what it is asked: `application/problem+json` (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// An error with what to do about it.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// An error of this status; `what` is wrong.
    pub(super) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        let mut members = Map::new();
        let title = status.canonical_reason().unwrap_or("error");
        members.insert("title".to_owned(), title.into());
        members.insert("status".to_owned(), status.as_u16().into());
        members.insert("error".to_owned(), Value::String(what.into()));
        Self { status, members, headers: Vec::new() }
    }

    /// A request that is not understood: `what` is wrong, and what to do about it.
    pub(super) fn bad(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what).hint(hint)
    }

    /// There is nothing yet that could be told of.
    pub(super) fn unready() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "nothing is served yet")
    }

    /// Adds what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        self.with("hint", Value::String(hint.into()))
    }

    /// Adds a member for programs.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// Adds a header field.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Value::Object(self.members).to_string();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
