//! Replies that the proxy gives itself, since no endpoint gave one.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::ReplyBody;
use super::exchange::Exchange;
use super::refused::Refused;

/// What tells a reply of the proxy from one of an endpoint, and why it is there.
const CAUSE: HeaderName = HeaderName::from_static("x-meridian-cause");
/// When a client may ask again that could not be served: after some rounds of probes.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a request got no reply from an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Failure {
    /// The request means nothing, or more than one thing.
    Refused(Refused),
    /// The request is not one that can be passed on.
    Malformed,
    /// Its target is too long.
    TargetTooLong,
    /// Its body is too long.
    BodyTooLong,
    /// Its body did not come in time.
    BodySlow,
    /// No route is for it.
    NoRoute,
    /// No endpoint is up.
    Unavailable,
    /// Every endpoint has as many requests as it may have.
    Overloaded,
    /// No connection could be made.
    Connect,
    /// The connection broke before the reply began.
    Reset,
    /// What came back is no reply.
    BadReply,
    /// No reply came in time.
    Timeout,
    /// A fault of the proxy itself.
    Panic,
}

impl Failure {
    /// The word in the reply, in metrics and in the log.
    pub(super) fn cause(self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.cause(),
            Self::Malformed => "malformed",
            Self::TargetTooLong => "target-too-long",
            Self::BodyTooLong => "body-too-long",
            Self::BodySlow => "body-slow",
            Self::NoRoute => "no-route",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::BadReply => "bad-reply",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
        }
    }

    /// The status that tells the client.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Refused(refused) => refused.status(),
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodySlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Unavailable | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Connect | Self::Reset | Self::BadReply => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the client's connection cannot go on, since the rest of the request is not read.
    fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::Malformed
                | Self::BodyTooLong
                | Self::BodySlow
                | Self::TargetTooLong
        )
    }

    /// The reply.
    pub(super) fn reply(self, exchange: Exchange) -> Response<ReplyBody> {
        let status = self.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let text = format!("{} {reason}: {}\n", status.as_u16(), self.cause());
        let mut reply = Response::new(ReplyBody::own(Bytes::from(text), exchange));
        *reply.status_mut() = status;
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CAUSE, HeaderValue::from_static(self.cause()));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if self.ends_connection() {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}
