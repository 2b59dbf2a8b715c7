//! Files that certificate authorities ask for, before any route.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response};

use super::body::Content;
use super::worker::Worker;

/// Where authorities look (RFC 8555 section 8.3).
const FOLDER: &str = "/.well-known/acme-challenge/";

/// The reply to an authority; `None`: the request is for the routes, as are those for files of
/// others, who may order certificates behind them.
pub(super) fn reply(worker: &Worker, request: &Parts) -> Option<Response<Content>> {
    let token = request.uri.path().strip_prefix(FOLDER)?;
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return None;
    }
    let snapshot = worker.shared.snapshot.load();
    let answers = snapshot.issuance.challenges.answers()?;
    let content = Bytes::copy_from_slice(answers.file(token)?.as_bytes());
    let mut reply = Response::new(Content::own(content));
    let kind = HeaderValue::from_static("application/octet-stream");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    Some(reply)
}
