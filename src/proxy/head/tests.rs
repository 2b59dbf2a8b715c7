//! Tables of heads: what is read, refused, left out and added.

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};

use super::*;
use crate::prefix::Prefix;

/// A request from its first line (`METHOD TARGET VERSION`) and fields.
fn request(line: &str, fields: &[(&str, &str)]) -> Parts {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let builder = Request::builder().method(word()).uri(word());
    let version = match word() {
        "1.0" => Version::HTTP_10,
        "2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut parts = builder.version(version).body(()).unwrap().into_parts().0;
    parts.headers = headers(fields);
    parts
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    fields.iter().map(field).collect()
}

fn listed(headers: &HeaderMap) -> Vec<String> {
    let field =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut fields: Vec<String> = headers.iter().map(field).collect();
    fields.sort();
    fields
}

#[test]
fn one_authority_is_named_by_all_or_the_request_is_refused() {
    let host = |host| ("host", host);
    for (case, line, fields, expected) in [
        ("a host", "GET /", vec![host("a.example")], Ok("a.example")),
        ("a host with a port", "GET /", vec![host("A.example:8080")], Ok("a.example:8080")),
        ("a host with a dot", "GET /", vec![host("a.example.")], Ok("a.example")),
        ("an empty port", "GET /", vec![host("a.example:")], Ok("a.example")),
        ("an address", "GET /", vec![host("192.0.2.1")], Ok("192.0.2.1")),
        ("an IPv6 address", "GET /", vec![host("[2001:DB8::1]:81")], Ok("[2001:db8::1]:81")),
        ("a name with an underscore", "GET /", vec![host("a_b.example")], Ok("a_b.example")),
        (
            "a target that agrees",
            "GET http://A.example/ 1.1",
            vec![host("a.example")],
            Ok("a.example"),
        ),
        ("its port is the scheme's", "GET http://a:80/", vec![host("a")], Ok("a")),
        ("of another scheme", "GET https://a:443/", vec![host("a")], Ok("a")),
        ("HTTP/2", "GET https://a.example/ 2", vec![], Ok("a.example")),
        ("HTTP/2 that agrees", "GET https://a/ 2", vec![host("a")], Ok("a")),
        ("HTTP/1.0 without one", "GET / 1.0", vec![], Ok("")),
        ("HTTP/1.0 with one", "GET / 1.0", vec![host("a")], Ok("a")),
        ("none", "GET /", vec![], Err(Refused::NoHost)),
        ("none but in the target", "GET http://a/", vec![], Err(Refused::NoHost)),
        ("HTTP/2 without any", "GET / 2", vec![], Err(Refused::NoHost)),
        ("two", "GET /", vec![host("a"), host("b")], Err(Refused::Hosts)),
        ("one twice", "GET /", vec![host("a"), host("a")], Err(Refused::Hosts)),
        ("a list", "GET /", vec![host("a, b")], Err(Refused::Host)),
        ("an empty one", "GET /", vec![host("")], Err(Refused::Host)),
        ("a user", "GET /", vec![host("a@b")], Err(Refused::UserInfo)),
        ("a user in the target", "GET http://u@a/", vec![host("a")], Err(Refused::UserInfo)),
        ("a space", "GET /", vec![host("a b")], Err(Refused::Host)),
        ("a path", "GET /", vec![host("a/b")], Err(Refused::Host)),
        ("a percent-encoding", "GET /", vec![host("a%2eb")], Err(Refused::Host)),
        ("empty labels", "GET /", vec![host("a..b")], Err(Refused::Host)),
        ("a port that is none", "GET /", vec![host("a:http")], Err(Refused::Host)),
        ("a signed port", "GET /", vec![host("a:+80")], Err(Refused::Host)),
        ("a large port", "GET /", vec![host("a:65536")], Err(Refused::Host)),
        ("two ports", "GET /", vec![host("a:80:80")], Err(Refused::Host)),
        ("an open bracket", "GET /", vec![host("[::1")], Err(Refused::Host)),
        ("something behind it", "GET /", vec![host("[::1]a")], Err(Refused::Host)),
        ("a name in brackets", "GET /", vec![host("[a]")], Err(Refused::Host)),
        ("another target", "GET http://b/", vec![host("a")], Err(Refused::HostDiffers)),
        ("another port", "GET http://a:81/", vec![host("a")], Err(Refused::HostDiffers)),
        ("another host in HTTP/2", "GET https://a/ 2", vec![host("b")], Err(Refused::HostDiffers)),
        ("a tunnel", "CONNECT a:443", vec![host("a:443")], Err(Refused::Connect)),
        ("a file", "GET ftp://a/", vec![host("a")], Err(Refused::Scheme)),
        ("an authority as the target", "GET a:80", vec![host("a:80")], Err(Refused::Target)),
    ] {
        let parts = request(line, &fields);
        let asked = read(&parts, false)
            .map(|asked| asked.authority.map_or(String::new(), |authority| authority.to_string()));
        assert_eq!(asked.as_deref(), expected.as_ref().copied(), "{case}");
    }
}

#[test]
fn an_authority_is_written_in_one_way() {
    for (authority, text, expected) in [
        ("a.test", "a.test", true),
        ("A.test", "a.test", true),
        ("a.test", "A.test", false),
        ("a.test", "a.test:80", false),
        ("a.test:80", "a.test:80", true),
        ("a.test:080", "a.test:80", true),
        ("a.test:80", "a.test:080", false),
        ("a.test:80", "a.test:+80", false),
        ("a.test:80", "a.test:8", false),
        ("a.test:80", "a.test:", false),
        ("a.test:80", "a.test:4294967376", false),
        ("a.test:0", "a.test:0", true),
        ("a.test:0", "a.test:00", false),
        ("[::1]:80", "[::1]:80", true),
    ] {
        let read = Authority::read(authority).unwrap();
        assert_eq!(read.is_written(text.as_bytes()), expected, "{authority} {text}");
        assert!(!expected || read.to_string() == text, "{authority}");
    }
}

#[test]
fn paths_are_canonical_or_refused() {
    for (raw, expected) in [
        ("/", Ok("/")),
        ("/a/b.c", Ok("/a/b.c")),
        ("/a/..b/c...", Ok("/a/..b/c...")),
        ("/.well-known/x", Ok("/.well-known/x")),
        ("/%61pi", Ok("/api")),
        ("/api%2Fpay%2fments", Ok("/api/pay/ments")),
        ("//api///x", Ok("/api/x")),
        ("/%2fapi", Ok("/api")),
        ("/a%20b", Ok("/a b")),
        ("/%e4%C3", Ok("/%E4%C3")),
        ("/100%25", Ok("/100%25")),
        ("/a%3fb%23", Ok("/a%3Fb%23")),
        ("/a%5cb", Ok("/a\\b")),
        ("/..", Err(Refused::DotSegments)),
        ("/a/../b", Err(Refused::DotSegments)),
        ("/a/./b", Err(Refused::DotSegments)),
        ("/a/%2e%2E/b", Err(Refused::DotSegments)),
        ("/a/.%2e", Err(Refused::DotSegments)),
        ("/a%2f..%2fb", Err(Refused::DotSegments)),
        ("/a%5c..%5cb", Err(Refused::DotSegments)),
        ("/a\\..\\b", Err(Refused::DotSegments)),
        ("/a/..;x=1/b", Err(Refused::DotSegments)),
        ("/a%00", Err(Refused::Path)),
        ("/a%0d%0ab", Err(Refused::Path)),
        ("/a%7f", Err(Refused::Path)),
        ("/a%", Err(Refused::Path)),
        ("/a%2", Err(Refused::Path)),
        ("/a%+1", Err(Refused::Path)),
        ("/%zz", Err(Refused::Path)),
        ("*", Err(Refused::Target)),
    ] {
        assert_eq!(canonical(raw).as_deref(), expected.as_ref().copied(), "{raw}");
    }
    assert!(matches!(canonical("/plain/path"), Ok(std::borrow::Cow::Borrowed(_))));
    let asked = |line: &str| {
        read(&request(line, &[("host", "a")]), false).map(|asked| asked.path.into_owned())
    };
    assert_eq!(asked("OPTIONS *"), Ok("*".to_owned()));
    assert_eq!(asked("GET *"), Err(Refused::Target));
    assert_eq!(asked("GET http://a"), Ok("/".to_owned()));
}

#[test]
fn prefixes_are_replaced_by_whole_segments() {
    for (target, prefix, with, expected) in [
        ("/api/x?y=1", "/api", "/v2", Some("/v2/x?y=1")),
        ("/api", "/api", "/", Some("/")),
        ("/api?q", "/api/", "", Some("/?q")),
        ("/api/", "/api", "/v2/", Some("/v2/")),
        ("/apis", "/api", "/v2", None),
        ("/x", "/", "/v2", Some("/v2/x")),
        ("/%61pi/a%2fb", "/api", "/v2", Some("/v2/a/b")),
        ("/api/a%2fb", "/api", "/v2", Some("/v2/a%2fb")),
        ("/%61pi/%20%e4", "/api", "", Some("/%20%E4")),
        ("/%61pi/%3f%25", "/api", "", Some("/%3F%25")),
    ] {
        let target: http::uri::PathAndQuery = target.parse().unwrap();
        let replaced = replace_prefix(&target, prefix, with);
        assert_eq!(replaced.as_ref().map(http::uri::PathAndQuery::as_str), expected, "{target}");
    }
}

#[test]
fn whole_paths_are_replaced_and_stay_canonical() {
    for (target, path, expected) in [
        ("/x?y=1", "/v2/a", Ok("/v2/a?y=1")),
        ("/x", "//a//b", Ok("/a/b")),
        ("/x?", "/a b\u{e4}%3f", Ok("/a%20b%C3%A4%3F?")),
        ("/x", "/a/.%2e/b", Err(Refused::DotSegments)),
        ("/x", "/%zz", Err(Refused::Path)),
        ("/x", "a", Err(Refused::Target)),
    ] {
        let target: http::uri::PathAndQuery = target.parse().unwrap();
        let replaced = replace_path(&target, path);
        let replaced = replaced.as_ref().map(http::uri::PathAndQuery::as_str);
        assert_eq!(replaced, expected.as_ref().copied(), "{path}");
    }
    for (raw, expected) in [("*", "/"), ("//evil.test/x", "/evil.test/x"), ("/\\\\a", "/%5C%5Ca")] {
        assert_eq!(encoded(raw).unwrap(), expected, "{raw}");
    }
}

#[test]
fn fields_of_the_connection_end_here() {
    for (case, fields, left, close, upgrade) in [
        ("nothing", "accept: x", "accept: x", false, None),
        ("its own", "connection: close|keep-alive: 5", "", true, None),
        ("what it names", "connection: x-a, X-B|x-a: 1|x-b: 2|x-c: 3", "x-c: 3", false, None),
        ("in two lines", "connection: x-a|connection: ,close|x-a: 1", "", true, None),
        ("codings", "te: trailers, deflate|transfer-encoding: chunked", "", false, None),
        ("an upgrade", "connection: Upgrade|upgrade: websocket", "", false, Some("websocket")),
        ("one not meant for us", "upgrade: websocket", "", false, None),
        ("another HTTP", "connection: upgrade, x|upgrade: h2c|x: y", "", false, None),
        ("TLS inside", "connection: upgrade|upgrade: x, TLS/1.0", "", false, None),
        ("to a proxy", "proxy-authorization: x|proxy-connection: close", "", false, None),
    ] {
        let fields: Vec<_> = fields.split('|').filter_map(|field| field.split_once(": ")).collect();
        let mut headers = headers(&fields);
        let hop = leave_request(&mut headers, Version::HTTP_11).unwrap();
        assert_eq!(listed(&headers).join("|"), left, "{case}");
        assert_eq!(hop.close, close, "{case}");
        assert_eq!(hop.upgrade.as_ref().map(|to| to.to_str().unwrap()), upgrade, "{case}");
        assert_eq!(hop.trailers, case == "codings", "{case}");
    }
}

#[test]
fn connection_names_fields_of_the_connection_alone() {
    let names =
        |value: &str| leave_request(&mut headers(&[("connection", value)]), Version::HTTP_11);
    for value in [
        "Host",
        "close, x-forwarded-for",
        "X-Forwarded-Anything",
        "forwarded",
        "Cookie",
        "content-length",
        "authorization",
    ] {
        assert_eq!(names(value), Err(Refused::ConnectionNames), "{value}");
    }
    for value in ["a b", "x:y", "(", &"a,".repeat(33)] {
        assert_eq!(names(value), Err(Refused::Connection), "{value}");
    }
}

#[test]
fn upgrades_pass_where_both_sides_know_them() {
    let mut old = headers(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    assert_eq!(leave_request(&mut old, Version::HTTP_10).unwrap().upgrade, None);
    let mut next = HeaderMap::new();
    Hop { close: true, trailers: true, upgrade: Some(HeaderValue::from_static("websocket")) }
        .enter(&mut next);
    assert_eq!(listed(&next), ["connection: upgrade", "te: trailers", "upgrade: websocket"]);
    let mut response =
        headers(&[("connection", "upgrade"), ("upgrade", "h2c"), ("keep-alive", "1")]);
    assert!(leave_response(&mut response).unwrap().upgrade.is_some());
    assert!(response.is_empty());
}

/// What becomes of fields of a peer at an address.
fn told(address: &str, fields: &[(&str, &str)]) -> (String, bool, Vec<String>) {
    let trusted: Vec<Prefix> =
        vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let host = Authority::read("a.example:8080").unwrap();
    let address: IpAddr = address.parse().unwrap();
    let written = written(address);
    let (host, trusted) = (Some(&host), &trusted[..]);
    let peer = Peer { address, written: &written, secure: false, host, trusted };
    let mut headers = headers(fields);
    let told = forward(&mut headers, &peer);
    (told.client.to_string(), told.secure, listed(&headers))
}

#[test]
fn only_trusted_peers_say_who_the_client_is() {
    let made = |address: &str| {
        vec![
            format!("x-forwarded-for: {address}"),
            "x-forwarded-host: a.example:8080".to_owned(),
            "x-forwarded-proto: http".to_owned(),
        ]
    };
    let lies = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("x_forwarded_for", "1.2.3.4"),
        ("x-forwarded_proto", "https"),
        ("x-forwarded-port", "1"),
    ];
    for address in ["192.0.2.7", "::ffff:192.0.2.7"] {
        assert_eq!(told(address, &lies), ("192.0.2.7".into(), false, made("192.0.2.7")));
    }
    for (case, field, value, client) in [
        ("the client", "x-forwarded-for", "192.0.2.1", "192.0.2.1"),
        (
            "the last that is not ours",
            "x-forwarded-for",
            "1.1.1.1, 192.0.2.1, 10.0.0.2",
            "192.0.2.1",
        ),
        ("all are ours", "x-forwarded-for", "10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("with a port", "x-forwarded-for", "192.0.2.1:4711", "192.0.2.1"),
        ("IPv6 with a port", "x-forwarded-for", "[2001:db9::1]:4711", "2001:db9::1"),
        ("mapped", "x-forwarded-for", "::ffff:192.0.2.1", "192.0.2.1"),
        ("nonsense ends the chain", "x-forwarded-for", "1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("nonsense alone", "x-forwarded-for", "unknown", "10.0.0.1"),
        (
            "the other field",
            "forwarded",
            "for=1.1.1.1, For=\"[2001:db9::1]:80\";proto=http",
            "2001:db9::1",
        ),
        ("nobody is named in it", "forwarded", "for=_hidden", "10.0.0.1"),
    ] {
        let (found, _, fields) = told("10.0.0.1", &[(field, value)]);
        assert_eq!(found, client, "{case}");
        let last = if field == "forwarded" { "; host=\"a.example:8080\"" } else { ", 10.0.0.1" };
        let last = last.trim_start_matches("; ");
        assert!(
            fields.iter().any(|line| line.starts_with(field) && line.ends_with(last)),
            "{case}: {fields:?}"
        );
    }
}

#[test]
fn what_trusted_peers_say_is_kept_where_it_is_sound() {
    let (_, secure, fields) = told(
        "10.0.0.1",
        &[
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "b.example"),
            ("x-forwarded-port", "443"),
        ],
    );
    assert!(secure);
    let kept = [
        "x-forwarded-for: 10.0.0.1",
        "x-forwarded-host: b.example",
        "x-forwarded-port: 443",
        "x-forwarded-proto: https",
    ];
    assert_eq!(fields, kept);
    let (_, secure, fields) = told(
        "2001:db8::1",
        &[
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "a b"),
            ("x-forwarded-proto", "https"),
        ],
    );
    assert!(!secure, "two of them are none");
    assert_eq!(fields[1..], ["x-forwarded-host: a.example:8080", "x-forwarded-proto: http"]);
    // Two stories at once: the one that nearly every proxy writes counts.
    let (client, _, fields) =
        told("10.0.0.1", &[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=1.1.1.1")]);
    assert_eq!(client, "192.0.2.1");
    assert!(!fields.iter().any(|line| line.starts_with("forwarded")), "{fields:?}");
}

#[test]
fn a_trace_goes_on_or_begins() {
    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    for (case, values, expected) in [
        ("a sound one", vec![SOUND], Some(true)),
        (
            "not sampled",
            vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"],
            Some(false),
        ),
        (
            "a later version",
            vec!["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"],
            Some(true),
        ),
        ("none", vec![], None),
        ("two", vec![SOUND, SOUND], None),
        ("upper case", vec!["00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01"], None),
        ("a zero trace", vec!["00-00000000000000000000000000000000-00f067aa0ba902b7-01"], None),
        ("a zero parent", vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"], None),
        (
            "a version that never is",
            vec!["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            None,
        ),
        (
            "more than there is",
            vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"],
            None,
        ),
        (
            "a later version, run on",
            vec!["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"],
            None,
        ),
        ("signs", vec!["00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], None),
        ("short", vec!["00-4bf9-00f0-01"], None),
    ] {
        let fields: Vec<(&str, &str)> =
            values.iter().map(|value| ("traceparent", *value)).collect();
        let mut headers = headers(&fields);
        headers.insert("tracestate", HeaderValue::from_static("a=b"));
        assert_eq!(Trace::read(&headers).map(|trace| trace.sampled), expected, "{case}");
        let trace = Trace::ensure(&mut headers, (5, 0));
        assert_eq!(
            (trace.id, trace.parent),
            if expected.is_some() { (id, 0x00f0_67aa_0ba9_02b7) } else { (5, 1) },
            "{case}"
        );
        assert_eq!(headers.contains_key("tracestate"), expected.is_some(), "{case}");
        assert_eq!(Trace::read(&headers), Some(trace), "{case}: written as it is read");
        trace.child(9).write(&mut headers);
        assert_eq!(Trace::read(&headers).map(|trace| trace.parent), Some(9), "{case}");
    }
}
