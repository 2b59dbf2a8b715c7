//! The `tcp` check, and what holds for all kinds: permission and resolution.

use std::net::SocketAddr;
use std::time::Duration;

use meridian::model::{Address, Check, Family, Reach, TcpCheck};
use regex::bytes::Regex;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::nginx::{address, free_ports};
use crate::{Lab, host, http, words};

const TCP: Check = Check::Tcp(TcpCheck::connecting(80));

/// An address that accepts no connection and refuses none: its queue is full.
fn black_hole() -> (Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::new(address(), 0).into()).unwrap();
    listener.listen(0).unwrap();
    let at = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = vec![listener];
    for _ in 0..4 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&at.into());
        held.push(client);
    }
    (held, at)
}

#[tokio::test]
async fn a_connection_is_accepted_refused_or_late() {
    let lab = Lab { timeout: Duration::from_millis(500), ..Lab::plain() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_held, hole) = black_hole();
    let nobody = SocketAddr::new(address(), free_ports(1)[0]);
    for (case, at, found) in [
        ("accepted", listener.local_addr().unwrap(), "ok"),
        ("refused", nobody, "refused: connection refused"),
        ("swallowed", hole, "timeout: timed out after 500ms"),
    ] {
        assert_eq!(lab.found(TCP, at).await, found, "{case}");
        let expected = if found == "ok" { continue } else { found };
        assert_eq!(lab.found(Check::Http(http("/")), at).await, expected, "{case}, http");
    }
}

#[tokio::test]
async fn further_addresses_of_a_hostname_are_tried() {
    let (_held, hole) = black_hole();
    let listener = TcpListener::bind(("127.0.0.9", hole.port())).await.unwrap();
    let good = listener.local_addr().unwrap().ip();
    let mut lab = Lab { timeout: Duration::from_millis(600), ..Lab::plain() };
    lab.resolves("a.example.", &[hole.ip(), good]);
    lab.resolves("b.example.", &[good, hole.ip()]);
    for name in ["a.example.", "b.example."] {
        let outcome = lab.probe(TCP, Address::Host(host(name)), hole.port()).await;
        assert_eq!(words(&outcome), "ok", "{name}");
    }
}

#[tokio::test]
async fn denied_addresses_are_never_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let elsewhere = TcpListener::bind(("127.0.0.2", at.port())).await.unwrap();
    let mut lab = Lab::plain();
    lab.rules.deny = vec!["127.0.0.1/32".parse().unwrap()];
    let denied = "denied: address `127.0.0.1` is denied by `127.0.0.1/32`";
    assert_eq!(lab.found(TCP, at).await, denied);
    assert_eq!(lab.found(Check::Http(http("/")), at).await, denied);

    lab.resolves("rebound.example.", &[at.ip()]);
    let outcome = lab.probe(TCP, Address::Host(host("rebound.example.")), at.port()).await;
    assert_eq!(words(&outcome), denied, "whatever a hostname resolves to");
    lab.resolves("both.example.", &[at.ip(), elsewhere.local_addr().unwrap().ip()]);
    let outcome = lab.probe(TCP, Address::Host(host("both.example.")), at.port()).await;
    assert_eq!(words(&outcome), "ok", "the other address is allowed");

    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), at.port());
    let found = "denied: address `::ffff:127.0.0.1` is denied by `127.0.0.1/32`";
    assert_eq!(lab.found(TCP, mapped).await, found, "nor in IPv6 clothing");

    lab.rules.deny.clear();
    lab.rules.allow_private = false;
    let found = "denied: address `127.0.0.1` is private and allow_private is false";
    assert_eq!(lab.found(TCP, at).await, found);
    let accepted = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "nothing ever arrived there");
}

#[tokio::test]
async fn a_name_whose_first_look_up_takes_too_long_is_a_failure() {
    let lab = Lab { timeout: Duration::from_millis(100), ..Lab::plain() };
    let outcome = lab.probe(TCP, Address::Host(host("slow.example.")), 80).await;
    assert_eq!(words(&outcome), "resolve: `slow.example.` is not resolved after 100ms");
}

/// Sends `send`, if anything, and expects a reply.
fn talk(send: &str, expect: &str) -> Check {
    let expect = (!expect.is_empty()).then(|| Regex::new(expect).unwrap());
    Check::Tcp(TcpCheck { port: 80, send: send.into(), expect })
}

/// A server that greets, then answers each line with what the line says: `silence`, `end`,
/// `flood`, or itself.
async fn parrot() -> SocketAddr {
    let listener = TcpListener::bind((address(), 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"220 ready\r\n").await.unwrap();
                let mut heard = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut heard).await {
                    match heard[..length].trim_ascii_end() {
                        b"silence" => {}
                        b"end" => return,
                        b"flood" => while stream.write_all(&[b'.'; 4096]).await.is_ok() {},
                        line => stream.write_all(line).await.unwrap(),
                    }
                }
            });
        }
    });
    at
}

#[tokio::test]
async fn what_is_said_over_the_connection_decides() {
    let at = parrot().await;
    let lab = Lab { timeout: Duration::from_millis(500), ..Lab::plain() };
    let greeting = r"received `220 ready\r\n`";
    for (case, check, found) in [
        ("sending alone", talk("PING\r\n", ""), "ok".to_owned()),
        ("a greeting", talk("", "^220 "), "ok".to_owned()),
        ("an answer after it", talk("PING\r\n", "(?m)^PING$"), "ok".to_owned()),
        (
            "a wait for nothing",
            talk("silence\n", "^PONG"),
            format!("timeout: timed out after 500ms, expected `^PONG`, {greeting}"),
        ),
        (
            "an early end",
            talk("end\n", "^PONG"),
            format!("body: connection closed, expected `^PONG`, {greeting}"),
        ),
        (
            "too much",
            talk("flood\n", "needle"),
            format!(
                "body: 64 KiB received, expected `needle`, received `220 ready\\r\\n{}…`",
                ".".repeat(49)
            ),
        ),
    ] {
        assert_eq!(lab.found(check, at).await, found, "{case}");
    }
    let (_held, hole) = black_hole();
    let found = lab.found(talk("", "^220 "), hole).await;
    assert_eq!(found, "timeout: timed out after 500ms", "no connection");
}

#[tokio::test]
async fn a_reply_in_single_octets_is_found_at_its_end() {
    let listener = TcpListener::bind((address(), 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        for octet in [&[b'.'; 300][..], b"ok"].concat() {
            stream.write_all(&[octet]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let _ = stream.read(&mut [0]).await;
    });
    let lab = Lab { timeout: Duration::from_secs(1), ..Lab::plain() };
    assert_eq!(lab.found(talk("", "ok$"), at).await, "ok");
    server.await.unwrap();
}

#[tokio::test]
async fn probes_leave_from_the_source_and_keep_to_the_family() {
    let listener = TcpListener::bind((address(), 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let from = |source: &str| Reach { source: source.parse().ok(), ..Reach::default() };
    let family = |family| Reach { source: None, family };
    let mut lab = Lab { reach: from("127.0.0.7"), ..Lab::plain() };
    assert_eq!(lab.found(TCP, at).await, "ok");
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.7");
    lab.reach = from("192.0.2.1");
    let found = lab.found(TCP, at).await;
    assert_eq!(found, "missed: no source `192.0.2.1`: address not available");
    lab.reach = family(Family::V4);
    assert_eq!(lab.found(TCP, at).await, "ok");
    lab.reach = family(Family::V6);
    let found = lab.found(TCP, at).await;
    assert_eq!(found, format!("connect: address `{}` is not IPv6, which is forced", at.ip()));
    lab.resolves("both.example.", &["::1".parse().unwrap(), at.ip()]);
    for (reach, found) in
        [(Family::V4, "ok"), (Family::Any, "ok"), (Family::V6, "refused: connection refused")]
    {
        lab.reach = family(reach);
        let outcome = lab.probe(TCP, Address::Host(host("both.example.")), at.port()).await;
        assert_eq!(words(&outcome), found, "{reach:?}");
    }
}
