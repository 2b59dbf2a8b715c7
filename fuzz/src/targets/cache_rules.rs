//! Any fields of a request and its response: what is one client's is not kept, and what is kept
//! only ever gets older.

use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, IF_NONE_MATCH, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use meridian::model::CacheRules;
use meridian::proxy::cache::{
    Control, Exchange, Stored, Use, is_not_modified, make_conditional, renew,
};

/// Nothing but what origins say.
const RULES: CacheRules = CacheRules {
    size: 1 << 20,
    object: 1 << 16,
    stale_while_revalidate: Duration::ZERO,
    stale_if_error: Duration::ZERO,
    collapse: true,
    obey_requests: false,
};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: u64 = 784_111_777;

/// The input is fields of a request, an empty line, and fields of a response, a line each.
pub fn run(input: &[u8]) {
    let mut heads = [HeaderMap::new(), HeaderMap::new()];
    let mut at = 0;
    for line in input.split(|octet| *octet == b'\n').take(60) {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else {
            at = 1;
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            heads[at].append(name, value);
        }
    }
    let [request, response] = heads;
    validate(&request, &response);
    let exchange = Exchange {
        method: &Method::GET,
        request: &request,
        status: StatusCode::OK,
        response: &response,
        sent: NOW - 1,
        received: NOW,
    };
    for rules in [
        RULES,
        CacheRules {
            stale_while_revalidate: Duration::from_secs(10),
            stale_if_error: Duration::from_secs(20),
            obey_requests: true,
            ..RULES
        },
    ] {
        let Ok(stored) = Stored::new(&exchange, &rules) else { continue };
        let control = Control::read(&response);
        assert!(!control.private && !control.no_store, "{control:?}");
        assert!(!request.contains_key(AUTHORIZATION) && !response.contains_key(SET_COOKIE));
        assert!(stored.variant.matches(&request), "{:?}", stored.variant);
        age(&stored, &rules, &control);
    }
}

/// Follows a kept response over time.
fn age(stored: &Stored, rules: &CacheRules, control: &Control) {
    let rank = |found: Use| match found {
        Use::Fresh => 0,
        Use::Refresh => 1,
        Use::Ask { if_error: true } => 2,
        Use::Ask { if_error: false } => 3,
        Use::Unavailable => panic!("nobody asked for that"),
    };
    let mut last = 0;
    for after in [0, 1, 5, 9, 10, 30, 59, 60, 61, 100, 1000, 1 << 31, 1 << 40] {
        let found = rank(stored.serve(&HeaderMap::new(), rules, NOW + after));
        assert!(found >= last, "younger after {after} s");
        last = found;
        assert!(NOW + after <= stored.useless() || found == 3, "useless after {after} s");
        if control.no_cache {
            assert_eq!(found, 3, "it must be asked about");
        }
    }
}

/// A request made conditional by a response is answered with 304 by the same response.
fn validate(request: &HeaderMap, response: &HeaderMap) {
    let mut conditional = request.clone();
    if make_conditional(&mut conditional, response) && conditional.contains_key(IF_NONE_MATCH) {
        let tag = conditional[IF_NONE_MATCH].as_bytes();
        // Anything else is no tag (RFC 9110 section 8.8.3), and read as a list.
        let inside = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
        if inside.is_some_and(|inside| !inside.contains(&b'"')) {
            assert!(is_not_modified(&conditional, response), "{tag:?}");
        }
    }
    let mut renewed = response.clone();
    renew(&mut renewed, request);
    assert_eq!(renewed.get(SET_COOKIE), response.get(SET_COOKIE));
}
