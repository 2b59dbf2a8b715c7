//! Replies that the proxy gives itself, since no endpoint gave one.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};

use super::body::{Content, ReplyBody};
use super::exchange::Exchange;
use super::refused::Refused;
use crate::model::{Route, Unavailable};

/// What tells a reply of the proxy from one of an endpoint, and why it is there.
const CAUSE: HeaderName = HeaderName::from_static("x-meridian-cause");
/// When a client may ask again that could not be served: after some rounds of probes.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Whether a request is a call of gRPC, whose clients look for its own status alone.
pub(super) fn is_grpc(request: &Parts) -> bool {
    let is_call = |kind: &HeaderValue| {
        let rest = kind.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    };
    request.version >= Version::HTTP_2 && request.headers.get(CONTENT_TYPE).is_some_and(is_call)
}

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
    /// No place became free in time.
    QueueTimeout,
    /// Others that matter more have the last places.
    Shed,
    /// Too many of the same came; the next may come after so many seconds.
    RateLimited(u32),
    /// No connection could be made.
    Connect,
    /// The connection broke before the reply began.
    Reset,
    /// What came back is no reply.
    BadReply,
    /// No reply came in time.
    Timeout,
    /// The client wants what is kept, and nothing is (RFC 9111 section 5.2.1.7).
    NotKept,
    /// The route is for clients with a certificate.
    CertificateRequired,
    /// The connection was made for another host.
    Misdirected,
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
            Self::QueueTimeout => "queue-timeout",
            Self::Shed => "shed",
            Self::RateLimited(_) => "rate-limited",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::BadReply => "bad-reply",
            Self::Timeout => "timeout",
            Self::NotKept => "not-kept",
            Self::CertificateRequired => "certificate-required",
            Self::Misdirected => "misdirected",
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
            Self::Unavailable | Self::Overloaded | Self::QueueTimeout | Self::Shed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Connect | Self::Reset | Self::BadReply => StatusCode::BAD_GATEWAY,
            Self::Timeout | Self::NotKept => StatusCode::GATEWAY_TIMEOUT,
            Self::CertificateRequired => StatusCode::FORBIDDEN,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
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

    /// The status of gRPC that says the same, by its own table of HTTP statuses.
    fn grpc_status(self) -> &'static str {
        match self.status() {
            // INTERNAL
            StatusCode::BAD_REQUEST => "13",
            // PERMISSION_DENIED
            StatusCode::FORBIDDEN => "7",
            // UNIMPLEMENTED
            StatusCode::NOT_FOUND => "12",
            // UNAVAILABLE, which clients may try again
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => "14",
            // UNKNOWN
            _ => "2",
        }
    }

    /// The reply to a call of gRPC: a head that is the end as well.
    pub(super) fn grpc_reply(self, exchange: Box<Exchange>) -> Response<ReplyBody> {
        let mut reply = Response::new(ReplyBody::new(Content::Own(None), exchange));
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(self.grpc_status()));
        headers.insert("grpc-message", HeaderValue::from_static(self.cause()));
        headers.insert(CAUSE, HeaderValue::from_static(self.cause()));
        reply
    }

    /// What a route would have clients hear; `None`: the usual.
    fn own(self, route: Option<&Route>) -> Option<&Unavailable> {
        let own = route.and_then(|route| route.shape.unavailable.as_ref());
        own.filter(|_| self.status() == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The status that a client of this route gets.
    pub(super) fn status_on(self, route: Option<&Route>) -> StatusCode {
        self.own(route).map_or(self.status(), |own| own.status)
    }

    /// The reply, as its route wants it; without its body to a request by HEAD.
    pub(super) fn reply(self, exchange: Box<Exchange>, head: bool) -> Response<ReplyBody> {
        let route = exchange.route.as_ref().map(|view| view.route.clone());
        let own = self.own(route.as_deref());
        let status = self.status_on(route.as_deref());
        let reason = status.canonical_reason().unwrap_or_default();
        let told = own.is_none_or(|own| own.cause_header);
        let cause = if told { format!(": {}", self.cause()) } else { String::new() };
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        let (kind, text) = own.and_then(|own| own.body.clone()).unwrap_or_else(|| {
            (plain, Bytes::from(format!("{} {reason}{cause}\n", status.as_u16())))
        });
        let length = HeaderValue::from(text.len());
        let text = if head { Bytes::new() } else { text };
        let mut reply = Response::new(ReplyBody::new(Content::own(text), exchange));
        *reply.status_mut() = status;
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CONTENT_LENGTH, length);
        if told {
            headers.insert(CAUSE, HeaderValue::from_static(self.cause()));
        }
        let usual = match self {
            Self::RateLimited(seconds) => Some(HeaderValue::from(seconds)),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_AFTER_SECONDS),
            _ => None,
        };
        let after = match own {
            None => usual,
            Some(own) => own.retry_after.map(|after| HeaderValue::from(after.as_secs())),
        };
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after);
        }
        if self.ends_connection() {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}
