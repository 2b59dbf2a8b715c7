//! Tables of requests and responses: what is kept, for how long, for whom.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::model::CacheRules;
use crate::proxy::head::Authority;

/// Fields from `name: value`, separated by `|`.
fn fields(text: &str) -> HeaderMap {
    let pairs = text.split('|').filter_map(|field| field.split_once(": "));
    let field = |(name, value): (&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.map(field).collect()
}

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

fn decide(
    request: &str,
    status: u16,
    response: &str,
    rules: &CacheRules,
) -> Result<Stored, Refusal> {
    let (request, response) = (fields(request), fields(response));
    let exchange = Exchange {
        method: &Method::GET,
        request: &request,
        status: StatusCode::from_u16(status).unwrap(),
        response: &response,
        sent: NOW - 1,
        received: NOW,
    };
    Stored::new(&exchange, rules)
}

#[test]
fn what_must_not_be_kept_is_not() {
    let fresh = "cache-control: max-age=60";
    for (case, request, status, response, expected) in [
        ("a plain response", "", 200, fresh, None),
        ("one not found", "", 404, fresh, None),
        ("one that only validates", "", 200, "etag: \"a\"", None),
        ("one that must be asked about", "", 200, "cache-control: no-cache|etag: \"a\"", None),
        ("a client with a cookie", "cookie: a=b", 200, fresh, None),
        (
            "a credential",
            "authorization: x",
            200,
            "cache-control: public, max-age=60",
            Some(Refusal::Personal),
        ),
        ("a cookie", "", 200, "cache-control: max-age=60|set-cookie: a=b", Some(Refusal::Personal)),
        ("a private one", "", 200, "cache-control: max-age=60, private", Some(Refusal::Personal)),
        (
            "fields that are private",
            "",
            200,
            "cache-control: private=\"x\", max-age=60",
            Some(Refusal::Personal),
        ),
        (
            "no-store",
            "",
            200,
            "cache-control: max-age=60|cache-control: No-Store",
            Some(Refusal::NoStore),
        ),
        ("no-store of the client", "cache-control: no-store", 200, fresh, Some(Refusal::Request)),
        ("a part", "range: bytes=0-5", 206, fresh, Some(Refusal::Request)),
        ("a part unasked", "", 206, fresh, Some(Refusal::Status)),
        ("an error", "", 500, fresh, Some(Refusal::Status)),
        (
            "everything varies",
            "",
            200,
            "cache-control: max-age=60|vary: accept, *",
            Some(Refusal::Vary),
        ),
        (
            "too much varies",
            "",
            200,
            "cache-control: max-age=60|vary: a,b,c,d,e,f,g,h,i",
            Some(Refusal::Vary),
        ),
        ("nothing is said", "", 200, "", Some(Refusal::Stale)),
        ("it is old", "", 200, "cache-control: max-age=0", Some(Refusal::Stale)),
        ("a number that is none", "", 200, "cache-control: max-age=sixty", Some(Refusal::Stale)),
        ("two numbers", "", 200, "cache-control: max-age=60, max-age=0", Some(Refusal::Stale)),
        ("it has expired", "", 200, "expires: 0", Some(Refusal::Stale)),
        (
            "a directive in quotes",
            "",
            200,
            "cache-control: x=\"a, max-age=60\"",
            Some(Refusal::Stale),
        ),
    ] {
        let found = decide(request, status, response, &RULES).err();
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn only_responses_to_get_are_kept() {
    let (request, response) = (HeaderMap::new(), fields("cache-control: max-age=60"));
    for method in [Method::POST, Method::HEAD, Method::PUT] {
        let status = StatusCode::OK;
        let exchange = Exchange {
            method: &method,
            request: &request,
            status,
            response: &response,
            sent: 0,
            received: 0,
        };
        assert_eq!(Stored::new(&exchange, &RULES), Err(Refusal::Method));
    }
}

#[test]
fn freshness_is_what_the_origin_says() {
    for (case, response, last) in [
        ("max-age", "cache-control: max-age=60", 58_u64),
        ("for shared caches", "cache-control: s-maxage=10, max-age=60", 8),
        ("in quotes", "cache-control: max-age=\"60\"", 58),
        ("beyond all numbers", "cache-control: max-age=99999999999999999999", (1 << 31) - 2),
        ("an age on arrival", "cache-control: max-age=60|age: 20", 38),
        ("a date in the past", "cache-control: max-age=60|date: Sun, 06 Nov 1994 08:49:07 GMT", 29),
        (
            "a date in the future",
            "cache-control: max-age=60|date: Sun, 06 Nov 1994 08:50:37 GMT",
            58,
        ),
        ("expires", "expires: Sun, 06 Nov 1994 08:50:37 GMT", 58),
        (
            "expires against its date",
            "date: Sun, 06 Nov 1994 08:49:37 GMT|expires: Sun, 06 Nov 1994 08:50:07 GMT",
            28,
        ),
        (
            "max-age before expires",
            "cache-control: max-age=5|expires: Sun, 06 Nov 1994 08:50:37 GMT",
            3,
        ),
    ] {
        let stored = decide("", 200, response, &RULES).unwrap();
        let rules = RULES;
        let at = |after: u64| stored.serve(&HeaderMap::new(), &rules, NOW + after);
        assert_eq!(at(0), Use::Fresh, "{case}");
        // The request took a second, which counts.
        assert_eq!(at(last), Use::Fresh, "{case} at its last second");
        assert_eq!(at(last + 1), Use::Ask { if_error: false }, "{case} beyond");
    }
    let stored = decide("", 200, "cache-control: max-age=60|age: 20", &RULES);
    assert_eq!(stored.map(|stored| stored.age(NOW + 5)), Ok(26));
}

#[test]
fn stale_responses_are_of_use_while_and_if() {
    let rules = CacheRules {
        stale_while_revalidate: Duration::from_secs(10),
        stale_if_error: Duration::from_secs(100),
        ..RULES
    };
    for (case, response, during, beyond) in [
        ("by the route", "max-age=60", Use::Refresh, Use::Ask { if_error: true }),
        ("by the origin", "max-age=60, stale-while-revalidate=30", Use::Refresh, Use::Refresh),
        ("no errors", "max-age=60, stale-if-error=0", Use::Refresh, Use::Ask { if_error: false }),
        ("for shared caches", "s-maxage=60", Use::Refresh, Use::Ask { if_error: true }),
        (
            "never",
            "max-age=60, must-revalidate",
            Use::Ask { if_error: false },
            Use::Ask { if_error: false },
        ),
        (
            "never in proxies",
            "max-age=60, proxy-revalidate",
            Use::Ask { if_error: false },
            Use::Ask { if_error: false },
        ),
    ] {
        let stored = decide("", 200, &format!("cache-control: {response}"), &rules).unwrap();
        let at = |after: u64| stored.serve(&HeaderMap::new(), &rules, NOW - 1 + after);
        assert_eq!((at(59), at(65), at(75)), (Use::Fresh, during, beyond), "{case}");
        assert_eq!(at(170), Use::Ask { if_error: false }, "{case}: an end to everything");
    }
    let stored = decide("", 200, "cache-control: max-age=60", &rules).unwrap();
    assert_eq!(stored.useless(), NOW - 1 + 160);
    let validated = decide("", 200, "etag: \"a\"", &rules).unwrap();
    let used = validated.serve(&HeaderMap::new(), &rules, NOW);
    assert_eq!(used, Use::Ask { if_error: false }, "nothing is said of how long it is right");
}

#[test]
fn clients_are_obeyed_where_the_route_says_so() {
    let free = CacheRules { stale_if_error: Duration::from_secs(10), ..RULES };
    let obeyed = CacheRules { obey_requests: true, ..free };
    let stored = decide("", 200, "cache-control: max-age=60", &free).unwrap();
    let ask = Use::Ask { if_error: true };
    for (request, after, expected) in [
        ("cache-control: no-cache", 0, ask),
        ("pragma: no-cache", 0, ask),
        ("cache-control: max-age=0", 5, ask),
        ("cache-control: max-age=30", 5, Use::Fresh),
        ("cache-control: min-fresh=60", 5, ask),
        ("cache-control: x|pragma: no-cache", 0, Use::Fresh),
        ("cache-control: only-if-cached", 5, Use::Fresh),
        ("cache-control: only-if-cached", 65, Use::Unavailable),
    ] {
        let request = fields(request);
        assert_eq!(stored.serve(&request, &obeyed, NOW + after), expected, "{request:?}");
        let plain = if after == 65 { Use::Unavailable } else { Use::Fresh };
        assert_eq!(stored.serve(&request, &free, NOW + after), plain, "{request:?}, not obeyed");
    }
}

#[test]
fn variants_answer_requests_that_agree() {
    let variant = |vary: &str, request: &str| {
        Variant::of(&fields(&format!("vary: {vary}")), &fields(request)).unwrap()
    };
    let gzip = variant("Accept-Encoding, accept", "accept-encoding: gzip,br|accept: x");
    for (request, expected) in [
        ("accept: x|accept-encoding: gzip, br", true),
        ("accept-encoding: GZIP|accept-encoding: br|accept: x", true),
        ("accept-encoding: br, gzip|accept: x", false),
        ("accept-encoding: gzip,br|accept: X", false),
        ("accept-encoding: gzip,br", false),
    ] {
        assert_eq!(gzip.matches(&fields(request)), expected, "{request}");
    }
    assert!(variant("accept", "").matches(&HeaderMap::new()));
    assert!(!variant("accept", "").matches(&fields("accept: x")));
    assert_eq!(
        gzip,
        variant("accept,accept-encoding, accept", "accept: x|accept-encoding: gzip, br")
    );
    let long = format!("a: {}", "x".repeat(3000));
    assert_eq!(Variant::of(&fields("vary: a"), &fields(&long)), None);
}

#[test]
fn keys_hold_all_that_a_request_is_for() {
    let authority = Authority::read("A.example").unwrap();
    let with_port = Authority::read("a.example:443").unwrap();
    let other = Authority::read("a.example:80").unwrap();
    let path: http::Uri = "/x?y=z".parse().unwrap();
    let whole = key(true, Some(&authority), &path);
    assert_eq!(whole, "GET https://a.example:443/x?y=z");
    assert_eq!(whole, key(true, Some(&with_port), &path));
    let root: http::Uri = "/x".parse().unwrap();
    assert_eq!(target(&whole), ("a.example", "/x?y=z"));
    let bare = key(false, None, &path);
    assert_eq!(target(&bare), ("", "/x?y=z"));
    for (case, found) in [
        ("the scheme", key(false, Some(&authority), &path)),
        ("the port", key(true, Some(&other), &path)),
        ("the query", key(true, Some(&authority), &root)),
        ("the host", key(true, None, &path)),
    ] {
        assert_ne!(found, whole, "{case}");
    }
}

#[test]
fn validators_ask_and_answer() {
    let kept = fields(
        "etag: W/\"a,b\"|last-modified: Sun, 06 Nov 1994 08:49:37 GMT|x-a: 1|content-length: 5",
    );
    let mut request = fields("if-none-match: \"client\"|if-modified-since: x|accept: y");
    assert!(make_conditional(&mut request, &kept));
    assert_eq!(request["if-none-match"], "W/\"a,b\"");
    assert_eq!(request["if-modified-since"], "Sun, 06 Nov 1994 08:49:37 GMT");
    assert!(!make_conditional(&mut request, &HeaderMap::new()));
    assert!(!request.contains_key("if-none-match"), "the client's own condition is another's");
    for (request, expected) in [
        ("if-none-match: \"x\", \"a,b\"", true),
        ("if-none-match: W/\"a,b\"", true),
        ("if-none-match: *", true),
        ("if-none-match: \"a\"", false),
        ("if-none-match: \"a\"|if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT", false),
        ("if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT", true),
        ("if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT", false),
        ("if-modified-since: yesterday", false),
        ("", false),
    ] {
        assert_eq!(is_not_modified(&fields(request), &kept), expected, "{request}");
    }
    let mut renewed = kept.clone();
    renew(
        &mut renewed,
        &fields("x-a: 2|x-a: 3|content-length: 0|set-cookie: x|cache-control: max-age=5"),
    );
    assert_eq!(renewed.get_all("x-a").iter().count(), 2);
    assert_eq!(renewed["content-length"], "5");
    assert!(!renewed.contains_key("set-cookie") && renewed.contains_key("cache-control"));
    assert!(
        invalidates(&Method::POST, StatusCode::CREATED)
            && invalidates(&Method::PUT, StatusCode::FOUND)
    );
    assert!(
        !invalidates(&Method::GET, StatusCode::OK)
            && !invalidates(&Method::POST, StatusCode::CONFLICT)
    );
}

proptest! {
    #[test]
    fn what_one_client_may_see_is_never_kept(
        directives in "[a-z=0-9, \"-]{0,60}",
        before in 0_usize..3,
    ) {
        let secret = ["private", "no-store", "Private=\"x\""][before];
        let response = format!("cache-control: {secret}, {directives}|etag: \"a\"");
        prop_assert!(decide("", 200, &response, &RULES).is_err());
        let response = format!("cache-control: {directives}|etag: \"a\"|set-cookie: a=b");
        prop_assert!(decide("", 200, &response, &RULES).is_err());
    }
}
