//! One request over HTTP/3, from its head to the last octet of its reply.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::header::{CONTENT_LENGTH, EXPECT, TE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::super::exchange::Client;
use super::super::forward;
use super::super::source::Source;
use super::super::worker::Worker;
use super::OF_CONNECTIONS;
use super::reply::{Outgoing, Unsent};
use super::upload::Upload;
use crate::http3::{Bridge, Stopped, Stream};

/// A request as the library hands it over.
pub(super) type Resolver = RequestResolver<Bridge, Bytes>;

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It had its reply.
    Replied,
    /// It brought nothing: a broken head, or a request that was taken back.
    Fruitless,
}

/// Answers what comes on a stream.
pub(super) async fn answer(
    worker: Rc<Worker>,
    client: Rc<Client>,
    resolver: Resolver,
    stopped: Option<Stopped>,
) -> End {
    let limits = worker.view().proxy.limits.clone();
    let resets = &worker.shared.metrics.proxy.http3.resets;
    let (request, stream) = match timeout(limits.header_timeout, resolver.resolve_request()).await {
        Ok(Ok(found)) => found,
        // The library has sent a reply that says so.
        Ok(Err(StreamError::HeaderTooBig { .. })) => return End::Replied,
        Ok(Err(_)) => return End::Fruitless,
        Err(_) => {
            resets.with_label_values(&["header_timeout"]).inc();
            return End::Fruitless;
        }
    };
    if request.headers().len() > limits.headers {
        return too_many_fields(stream).await;
    }
    let Some((request, mut outgoing)) = begin(request, stream, stopped).await else {
        resets.with_label_values(&["malformed"]).inc();
        return End::Fruitless;
    };
    let answered = forward::answer(worker.clone(), client, request);
    let Ok(Ok(reply)) = outgoing.unless_stopped(answered).await else { return End::Fruitless };
    match outgoing.send(reply, limits.idle).await {
        Ok(()) => {
            outgoing.delivered(limits.idle).await;
            End::Replied
        }
        Err(Unsent::Gone) => End::Fruitless,
        Err(Unsent::Broken) => End::Replied,
        Err(Unsent::Unread) => {
            resets.with_label_values(&["stalled"]).inc();
            End::Fruitless
        }
    }
}

/// A request with its body, and the way back; `None`: it is malformed.
async fn begin(
    request: Request<()>,
    mut stream: RequestStream<Stream<Bytes>, Bytes>,
    stopped: Option<Stopped>,
) -> Option<(Request<Source>, Outgoing)> {
    let Ok(length) = length(&request) else {
        stream.stop_sending(Code::H3_MESSAGE_ERROR);
        stream.stop_stream(Code::H3_MESSAGE_ERROR);
        return None;
    };
    let (mut send, receive) = stream.split();
    if expects_continue(request.headers()) {
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::CONTINUE;
        // Whoever cannot be told this cannot be told the reply.
        let _ = send.send_response(interim).await;
    }
    let mut upload = Upload::new(receive, length);
    poll_fn(|context| {
        upload.look(context);
        Poll::Ready(())
    })
    .await;
    let request = request.map(|()| Source::Stream(Box::new(upload)));
    Some((request, Outgoing::new(send, stopped)))
}

/// A request that RFC 9114 section 4.1.2 calls so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// The length that a sound request tells; `None`: it tells none.
fn length(request: &Request<()>) -> Result<Option<u64>, Malformed> {
    let headers = request.headers();
    if OF_CONNECTIONS.iter().any(|name| headers.contains_key(name)) {
        return Err(Malformed);
    }
    let mut coding = headers.get_all(TE).iter();
    if coding.any(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"trailers")) {
        return Err(Malformed);
    }
    // RFC 9114 section 4.3.1: each has a scheme and a path, but for those that ask for a tunnel.
    let uri = request.uri();
    let whole = uri.scheme().is_some() && uri.path_and_query().is_some();
    if !whole && request.method() != Method::CONNECT {
        return Err(Malformed);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(own) = lengths.next() else { return Ok(None) };
    let digits = own.as_bytes();
    let sound = lengths.next().is_none()
        && (1..=18).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| sound).ok_or(Malformed)?;
    text.parse().map(Some).map_err(|_| Malformed)
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Says that a head has more fields than it may have (RFC 6585 section 5).
async fn too_many_fields(mut stream: RequestStream<Stream<Bytes>, Bytes>) -> End {
    let mut reply = Response::new(());
    *reply.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let sent = stream.send_response(reply).await.is_ok() && stream.finish().await.is_ok();
    stream.stop_sending(Code::H3_NO_ERROR);
    if sent { End::Replied } else { End::Fruitless }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_requests_are_known() {
        let (sound, malformed) = (Ok(None), Err(Malformed));
        for (case, uri, fields, expected) in [
            ("a request", "https://a.test/", &[][..], sound),
            ("one with trailers", "https://a.test/", &[("te", "trailers")], sound),
            ("one with a length", "https://a.test/", &[("content-length", "12")], Ok(Some(12))),
            ("two lengths", "https://a.test/", &[("content-length", "1"); 2], malformed),
            ("a signed length", "https://a.test/", &[("content-length", "+1")], malformed),
            ("no length", "https://a.test/", &[("content-length", "")], malformed),
            (
                "a length beyond all",
                "https://a.test/",
                &[("content-length", &"9".repeat(19))],
                malformed,
            ),
            ("a connection field", "https://a.test/", &[("connection", "close")], malformed),
            (
                "a transfer coding",
                "https://a.test/",
                &[("transfer-encoding", "chunked")],
                malformed,
            ),
            ("an upgrade", "https://a.test/", &[("upgrade", "websocket")], malformed),
            ("codings", "https://a.test/", &[("te", "gzip")], malformed),
            ("no scheme", "/x", &[], malformed),
            ("no path", "a.test", &[], malformed),
        ] {
            let mut request = Request::builder().uri(uri);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            assert_eq!(length(&request.body(()).unwrap()), expected, "{case}");
        }
    }
}
