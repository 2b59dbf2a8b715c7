//! Any request of DNS over HTTPS: it asks a query that fits, or is refused, and whatever is asked
//! gets a response that HTTP allows.

use data_encoding::BASE64URL_NOPAD;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use meridian::dns::Transport;
use meridian::dns::http::{self as doh, Asked, QUERY_MAX};

use super::dns_answer::WORLD;
use super::dns_support::{ask, sound};

/// The input is a method, a URI and a media type, a line each, then a body.
pub fn run(input: &[u8]) {
    let mut lines = input.splitn(4, |octet| *octet == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (method, uri, kind, body) = (line(), line(), line(), line());
    let Ok(uri) = http::Uri::try_from(uri) else { return };
    let request = Request::builder().method(method).uri(uri.clone()).header(CONTENT_TYPE, kind);
    let Ok(request) = request.header(CONTENT_LENGTH, body.len()).body(()) else { return };
    match doh::read_head(&request) {
        Ok(Asked::Query(query)) => {
            assert_eq!(request.method(), Method::GET);
            let written = format!("dns={}", BASE64URL_NOPAD.encode(&query));
            let variables = uri.query().unwrap_or_default();
            assert!(variables.split('&').any(|variable| variable == written), "not what was asked");
            respond(&query);
        }
        Ok(Asked::Body) => {
            assert_eq!(request.method(), Method::POST);
            respond(body);
        }
        Err(status) => assert!(status.is_client_error(), "{status}"),
    }
}

fn respond(query: &[u8]) {
    assert!(query.len() <= QUERY_MAX, "a query of {} octets", query.len());
    sound::check(&WORLD, query);
    let (Some(reply), facts) = ask(&WORLD, query, Transport::Https) else { return };
    let head = doh::head(&reply, &facts);
    assert_eq!(head.status(), StatusCode::OK);
    let fresh = head.headers()[CACHE_CONTROL].to_str().unwrap();
    let seconds: u32 = fresh.rsplit_once("max-age=").unwrap().1.parse().unwrap();
    let message = sound::decode(&reply);
    let least = message.answers.iter().map(|record| record.ttl).min();
    // RFC 8484 section 5.1: never fresh for longer than the answer lives.
    assert!(least.is_none_or(|ttl| seconds <= ttl), "{seconds} s, {least:?} in the answer");
    assert_eq!(fresh.starts_with("private, "), facts.scope > 0, "{fresh}");
}
