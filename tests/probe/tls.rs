//! The `tls` check, with real nginx.

use std::time::Duration;

use meridian::model::{Check, TlsCheck};

use crate::Lab;
use crate::certificates::Authority;
use crate::http::tls_nginx;

/// A check for this name.
fn tls(name: Option<&str>, alpn: &[&str], verify_certificate: bool, days: Option<u64>) -> Check {
    Check::Tls(TlsCheck {
        port: 443,
        server_name: name.map(str::to_owned),
        alpn: alpn.iter().map(|name| (*name).to_owned()).collect(),
        verify_certificate,
        expires_within: days.map(|days| Duration::from_secs(days * 86_400)),
    })
}

#[tokio::test]
async fn name_chain_dates_and_protocol_are_judged() {
    let authority = Authority::new("ours");
    let (_nginx, servers) = tls_nginx(&authority);
    let [good, expired, ending, early, foreign, by_address] = servers[..] else { panic!() };
    let www = Some("www.example.net");
    for (case, at, check, found) in [
        ("a valid one", good, tls(www, &[], true, None), "ok"),
        ("a protocol it speaks", good, tls(www, &["http/1.1"], true, Some(7)), "ok"),
        ("one of two it speaks", good, tls(www, &["h2", "http/1.1"], true, None), "ok"),
        (
            "a protocol it does not speak",
            good,
            tls(www, &["h2"], true, None),
            "tls: tls alert received: NoApplicationProtocol",
        ),
        (
            "another name",
            good,
            tls(Some("api.example.net"), &[], true, None),
            "certificate: certificate is not valid for name `api.example.net`",
        ),
        ("another name, not verified", good, tls(Some("api.example.net"), &[], false, None), "ok"),
        (
            "an expired one",
            expired,
            tls(www, &[], true, None),
            "certificate: certificate expired 2 days ago",
        ),
        (
            "an expired one, not verified",
            expired,
            tls(www, &[], false, Some(7)),
            "expiry: certificate expired 2 days ago",
        ),
        (
            "one that ends soon",
            ending,
            tls(www, &[], true, Some(7)),
            "expiry: certificate expires in 3 days",
        ),
        (
            "one that is not valid yet",
            early,
            tls(www, &[], true, None),
            "certificate: certificate is not valid yet",
        ),
        (
            "one of an unknown authority",
            foreign,
            tls(www, &[], true, None),
            "certificate: certificate is not from a known authority",
        ),
        ("one for the address", by_address, tls(None, &[], true, None), "ok"),
    ] {
        assert_eq!(Lab::new(authority.tls()).found(check, at).await, found, "{case}");
    }
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = plain.local_addr().unwrap();
    let lab = Lab { timeout: Duration::from_millis(300), ..Lab::new(authority.tls()) };
    let found = lab.found(tls(www, &[], true, None), at).await;
    assert_eq!(found, "timeout: timed out after 300ms", "a server that says nothing");
}
