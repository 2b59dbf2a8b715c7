//! Any request head: it has one meaning or is refused, and what goes on says nothing that the
//! peer may not say.

use std::net::IpAddr;

use http::header::{CONNECTION, FORWARDED, HeaderName, HeaderValue, TE, UPGRADE};
use http::{HeaderMap, Request, Version};
use meridian::prefix::Prefix;
use meridian::proxy::head::{
    Authority, Peer, Trace, canonical, encoded, forward, leave_request, read, replace_prefix,
    written,
};

/// The input is a method, a target, a version (its last digit) and fields, a line each. A first
/// field `t` makes the peer a trusted one.
pub fn run(input: &[u8]) {
    let mut lines = input.split(|octet| *octet == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (method, target, version) = (line(), line(), line());
    let Ok(uri) = http::Uri::try_from(target) else { return };
    let Ok(request) = Request::builder().method(method).uri(uri).body(()) else { return };
    let (mut parts, ()) = request.into_parts();
    parts.version = match version.last() {
        Some(b'0') => Version::HTTP_10,
        Some(b'2') => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut trusted = false;
    for line in lines.take(40) {
        trusted |= line == b"t";
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            parts.headers.append(name, value);
        }
    }
    if let Ok(path) = canonical(parts.uri.path()) {
        assert_eq!(canonical(&path).as_deref(), Ok(&*path), "canonical as it is");
        assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")), "{path}");
        assert!(!path.contains("//"), "{path}");
    }
    if let Ok(path) = encoded(parts.uri.path()) {
        assert!(path.starts_with('/') && !path.starts_with("//") && path.is_ascii(), "{path}");
        assert_eq!(encoded(&path).as_ref(), Ok(&path), "encoded as it is");
    }
    let target = parts.uri.path_and_query();
    if let Some(replaced) = target.and_then(|target| replace_prefix(target, "/a", "/b")) {
        assert!(replaced.path().starts_with("/b") && replaced.query() == parts.uri.query());
    }
    let Ok(asked) = read(&parts, false) else { return };
    if let Some(authority) = &asked.authority {
        let written = authority.to_string();
        assert_eq!(Authority::read(&written).as_ref(), Ok(authority), "{written}");
    }
    let mut headers = parts.headers.clone();
    check_hop(&mut headers, parts.version);
    check_forwarded(&mut headers, trusted, asked.authority.as_ref());
    let trace = Trace::ensure(&mut headers, (1, 1));
    assert_eq!(Trace::read(&headers), Some(trace));
}

fn check_hop(headers: &mut HeaderMap, version: Version) {
    let Ok(hop) = leave_request(headers, version) else {
        headers.clear();
        return;
    };
    for name in [CONNECTION, TE, UPGRADE] {
        assert!(!headers.contains_key(&name), "{name} is left");
    }
    let mut next = headers.clone();
    hop.enter(&mut next);
    assert!(next.len() <= headers.len() + 3);
    assert!(hop.upgrade.is_none() || version == Version::HTTP_11);
}

fn check_forwarded(headers: &mut HeaderMap, trusted: bool, host: Option<&Authority<'_>>) {
    let address: IpAddr = [192, 0, 2, 1].into();
    let prefixes: Vec<Prefix> =
        if trusted { vec![Prefix::holding(address, 32)] } else { Vec::new() };
    let written = written(address);
    let peer = Peer { address, written: &written, secure: false, host, trusted: &prefixes };
    let told = forward(headers, &peer);
    let chain: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let [chain] = chain[..] else { panic!("{chain:?}") };
    assert!(chain.to_str().unwrap().ends_with("192.0.2.1"), "{chain:?}");
    assert_eq!(headers.get_all("x-forwarded-proto").iter().count(), 1);
    assert!(headers.get_all("x-forwarded-host").iter().count() <= 1);
    if !trusted {
        assert_eq!((told.client, told.secure), (address, false));
        assert!(chain == "192.0.2.1" && !headers.contains_key(FORWARDED));
    }
}
