//! DNS over HTTPS (RFC 8484): what a request asks, and the head of its response.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::engine::{Facts, rcode};
use super::wire::lifetime;

/// The one path that is served.
const PATH: &str = "/dns-query";
/// The media type of a DNS message (RFC 8484 section 6).
const MEDIA_TYPE: &str = "application/dns-message";
/// Longest query that is taken; no sound query is nearly as long.
pub const QUERY_MAX: usize = 4096;

/// What the head of a request asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// This query.
    Query(Vec<u8>),
    /// The query that is the body.
    Body,
}

/// Reads the head of a request; `Err`: it is answered with this status.
pub fn read_head<B>(request: &Request<B>) -> Result<Asked, StatusCode> {
    if request.uri().path() != PATH {
        return Err(StatusCode::NOT_FOUND);
    }
    match *request.method() {
        Method::GET => query_of(request.uri().query().unwrap_or_default()).map(Asked::Query),
        Method::POST => {
            let header = |name| request.headers().get(name);
            let kind = header(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            // What follows a semicolon are parameters (RFC 9110 section 8.3.1); none has a meaning.
            let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
            if !kind.trim().eq_ignore_ascii_case(MEDIA_TYPE) {
                return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            }
            let length = header(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            if length.is_some_and(|length: u64| length > QUERY_MAX as u64) {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            Ok(Asked::Body)
        }
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The query in the variable `dns` of a URI (RFC 8484 section 4.1), of which there is one.
fn query_of(variables: &str) -> Result<Vec<u8>, StatusCode> {
    let mut found = variables.split('&').filter_map(|variable| variable.strip_prefix("dns="));
    let (Some(text), None) = (found.next(), found.next()) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let query = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
    if query.len() > QUERY_MAX { Err(StatusCode::URI_TOO_LONG) } else { Ok(query) }
}

/// The head of the response with a reply of the engine.
pub fn head(reply: &[u8], facts: &Facts) -> Response<()> {
    let mut response = refusal(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(reply.len()));
    headers.insert(CACHE_CONTROL, freshness(reply, facts));
    response
}

/// The head of a response without a reply.
pub(super) fn refusal(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    if status != StatusCode::OK {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    response
}

/// How long an HTTP cache may keep a reply: as long as its records live (RFC 8484 section 5.1).
fn freshness(reply: &[u8], facts: &Facts) -> HeaderValue {
    let lasting = matches!(facts.rcode, rcode::NOERROR | rcode::NXDOMAIN);
    let seconds = lifetime(reply).filter(|_| lasting).unwrap_or(0);
    // What depends on where the client is must not reach clients elsewhere through a shared cache.
    let whose = if facts.scope > 0 { "private, " } else { "" };
    let text = format!("{whose}max-age={seconds}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("no-store"))
}

/// A reply as the body of a response, and what is kept as long as it waits to be written.
pub(super) fn body<W: Send + 'static>(reply: &[u8], waiting: W) -> Bytes {
    Bytes::from_owner(Body { reply: reply.into(), _waiting: waiting })
}

/// Octets and a guard that is dropped with them.
struct Body<W> {
    reply: Box<[u8]>,
    _waiting: W,
}

impl<W> AsRef<[u8]> for Body<W> {
    fn as_ref(&self) -> &[u8] {
        &self.reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn requests_are_read_by_the_rules_of_rfc_8484() {
        let plain: &[(&str, &str)] = &[("content-type", "application/dns-message")];
        let long = format!("/dns-query?dns={}", "A".repeat(5464));
        let query = |octets: &[u8]| Ok(Asked::Query(octets.to_vec()));
        for (what, method, uri, headers, expected) in [
            ("a query", "GET", "/dns-query?dns=AAABAA", &[][..], query(&[0, 0, 1, 0])),
            (
                "in a whole URI",
                "GET",
                "https://ns1.example/dns-query?dns=_-8",
                &[],
                query(&[255, 239]),
            ),
            ("beside others", "GET", "/dns-query?a=b&dns=AAAB&ct", &[], query(&[0, 0, 1])),
            ("an empty query", "GET", "/dns-query?dns=", &[], query(&[])),
            ("no query", "GET", "/dns-query", &[], Err(StatusCode::BAD_REQUEST)),
            ("two", "GET", "/dns-query?dns=AAAB&dns=AAAB", &[], Err(StatusCode::BAD_REQUEST)),
            ("padding", "GET", "/dns-query?dns=AA==", &[], Err(StatusCode::BAD_REQUEST)),
            ("other base64", "GET", "/dns-query?dns=+/8", &[], Err(StatusCode::BAD_REQUEST)),
            ("a long query", "GET", &long, &[], Err(StatusCode::URI_TOO_LONG)),
            ("another path", "GET", "/?dns=AAAB", &[], Err(StatusCode::NOT_FOUND)),
            ("a body", "POST", "/dns-query", plain, Ok(Asked::Body)),
            (
                "a body with a parameter",
                "POST",
                "/dns-query",
                &[("content-type", "Application/DNS-Message; a=b"), ("content-length", "4096")],
                Ok(Asked::Body),
            ),
            (
                "JSON",
                "POST",
                "/dns-query",
                &[("content-type", "application/dns-json")],
                Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ),
            ("no type", "POST", "/dns-query", &[], Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            (
                "a long body",
                "POST",
                "/dns-query",
                &[("content-type", "application/dns-message"), ("content-length", "4097")],
                Err(StatusCode::PAYLOAD_TOO_LARGE),
            ),
            ("another method", "PUT", "/dns-query", plain, Err(StatusCode::METHOD_NOT_ALLOWED)),
        ] {
            assert_eq!(read_head(&request(method, uri, headers)), expected, "{what}");
        }
    }

    #[test]
    fn replies_are_fresh_as_long_as_they_live_and_private_where_they_depend_on_the_client() {
        let answer = b"\0\0\x84\0\0\0\0\x02\0\0\0\0\
            \x01a\0\0\x01\0\x01\0\0\x01\x2c\0\x04abcd\xc0\x0c\0\x01\0\x01\0\0\0\x0a\0\x04abcd";
        for (scope, rcode, reply, expected) in [
            (0, 0, &answer[..], "max-age=10"),
            (24, 0, &answer[..], "private, max-age=10"),
            (0, 2, &answer[..], "max-age=0"),
            (0, 0, &answer[..12], "max-age=0"),
        ] {
            let facts = Facts { rcode, scope, ..Facts::default() };
            let head = head(reply, &facts);
            assert_eq!(head.headers()[CACHE_CONTROL], expected);
            assert_eq!(head.headers()[CONTENT_LENGTH], reply.len().to_string());
            assert_eq!(head.headers()[CONTENT_TYPE], "application/dns-message");
        }
        let refused = refusal(StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()[ALLOW], "GET, POST");
    }
}
