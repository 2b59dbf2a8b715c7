//! The `tcp` check, and what holds for all kinds: permission and resolution.

use std::net::SocketAddr;
use std::time::Duration;

use meridian::model::{Address, Check, TcpCheck};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::nginx::{address, free_ports};
use crate::{Lab, host, http, words};

const TCP: Check = Check::Tcp(TcpCheck { port: 80 });

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
