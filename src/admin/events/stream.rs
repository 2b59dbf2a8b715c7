//! `/api/v1/events`: what happens, as server-sent events (the text/event-stream of HTML).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use tokio::time::{Interval, interval};
use tokio_stream::Stream;

use super::Told;
use crate::admin::Admin;
use crate::admin::listener::Peer;
use crate::admin::problem::Problem;

/// A sign of life goes out this often, so that a reader that is gone is noticed.
const BEAT: Duration = Duration::from_secs(10);
/// After this a reader has to come again, so that it shows anew what it may do.
pub(in crate::admin) const LASTS: Duration = Duration::from_secs(600);
/// What readers that lost the stream are to wait, in milliseconds.
const RETRY: u32 = 1_000;

/// Tells what happens from now on, and what a reader that comes back has missed.
pub(in crate::admin) async fn stream(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let Some(subscription) = admin.events.subscribe(last) else {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many readers of events");
        let wait = HeaderValue::from(LASTS.as_secs());
        let problem = problem.hint("close some, or wait").header(header::RETRY_AFTER, wait);
        return problem.into_response();
    };
    peer.stay(LASTS);
    // Whoever comes for the first time has to read the state, too.
    let resync = subscription.resync.map(|id| format!("id: {id}\nevent: resync\ndata: {{}}\n"));
    let first = format!("retry: {RETRY}\n{}\n", resync.unwrap_or_default());
    let text = Text { first: Some(first), told: subscription.told, beat: interval(BEAT) };
    let kind = HeaderValue::from_static("text/event-stream");
    let mut response = Body::from_stream(text).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The body of the reply, part by part.
struct Text {
    first: Option<String>,
    told: mpsc::Receiver<Arc<Told>>,
    beat: Interval,
}

impl Stream for Text {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first.into())));
        }
        match self.told.poll_recv(context) {
            Poll::Ready(told) => Poll::Ready(told.map(|told| Ok(told.to_string().into()))),
            Poll::Pending => {
                std::task::ready!(self.beat.poll_tick(context));
                Poll::Ready(Some(Ok(Bytes::from_static(b":\n\n"))))
            }
        }
    }
}
