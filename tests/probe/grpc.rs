//! The `grpc` check.

use std::time::Duration;

use meridian::model::{Check, GrpcCheck, Scheme};
use tokio::net::TcpListener;

use crate::Lab;
use crate::certificates::Authority;
use crate::grpc_server::{Answer, real, start};

fn grpc(scheme: Scheme, service: &str) -> GrpcCheck {
    GrpcCheck {
        scheme,
        port: 80,
        host: None,
        service: service.to_owned(),
        verify_certificate: true,
        expires_within: None,
    }
}

#[tokio::test]
async fn the_health_service_of_grpcio_is_asked() {
    let authority = Authority::new("ours");
    let pair = authority.sign("grpc.example.net", -1, 3);
    let folder = tempfile::tempdir().unwrap();
    let (_peer, [clear, secure]) = real(folder.path(), &pair.chain, &pair.key);
    let lab = Lab::new(authority.tls());
    let named = |service: &str| GrpcCheck {
        host: Some("grpc.example.net".to_owned()),
        ..grpc(Scheme::Https, service)
    };
    let week = Some(Duration::from_secs(7 * 86_400));
    for (case, at, check, found) in [
        ("the server", clear, grpc(Scheme::Http, ""), "ok"),
        ("a service", clear, grpc(Scheme::Http, "shop.v1.Cart"), "ok"),
        (
            "one that does not serve",
            clear,
            grpc(Scheme::Http, "shop.v1.Search"),
            "status: service is NOT_SERVING, expected SERVING",
        ),
        (
            "one that it does not know",
            clear,
            grpc(Scheme::Http, "shop.v1.Nothing"),
            "status: grpc status 5, expected 0",
        ),
        ("over TLS", secure, named("shop.v1.Cart"), "ok"),
        (
            "over TLS, not serving",
            secure,
            named("shop.v1.Search"),
            "status: service is NOT_SERVING, expected SERVING",
        ),
        (
            "over TLS, ending soon",
            secure,
            GrpcCheck { expires_within: week, ..named("") },
            "expiry: certificate expires in 3 days",
        ),
        (
            "over TLS, under the address",
            secure,
            GrpcCheck { verify_certificate: false, ..grpc(Scheme::Https, "") },
            "ok",
        ),
    ] {
        assert_eq!(lab.found(Check::Grpc(check), at).await, found, "{case}");
    }
}

#[tokio::test]
async fn whatever_else_comes_is_named() {
    let lab = Lab { timeout: Duration::from_millis(500), ..Lab::plain() };
    let check = || Check::Grpc(grpc(Scheme::Http, "shop.v1.Cart"));
    let serving = b"\0\0\0\0\x02\x08\x01";
    for (answer, found) in [
        (Answer::Reply(serving, "0"), "ok"),
        (Answer::Reply(serving, "13"), "status: grpc status 13, expected 0"),
        (Answer::Reply(b"", "0"), "protocol: reply is not a health answer"),
        (Answer::Flood, "protocol: reply is longer than 64 KiB"),
        (
            Answer::Refusal("12", "no such method"),
            "status: grpc status 12 (no such method), expected 0",
        ),
        (Answer::Other(503, "text/plain"), "status: status 503, expected 200"),
        (
            Answer::Other(200, "text/html"),
            "protocol: content type `text/html`, expected `application/grpc`",
        ),
        (Answer::Silence, "timeout: timed out after 500ms"),
        (
            Answer::Reset,
            "protocol: http/2: stream error received: refused stream before processing any \
             application logic",
        ),
    ] {
        let at = start(answer).await;
        assert_eq!(lab.found(check(), at).await, found, "{answer:?}");
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    assert_eq!(lab.found(check(), at).await, "timeout: timed out after 500ms");
    drop(silent);
    assert_eq!(lab.found(check(), at).await, "refused: connection refused");
}
