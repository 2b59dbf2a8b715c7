//! DNS over QUIC (RFC 9250).

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use meridian::clock::stopwatch;
use meridian::dns::Transport;
use quinn::{ConnectionError, ReadToEndError, TransportConfig, VarInt};
use tokio::task::JoinSet;

use crate::certificates::{self, NAME};
use crate::clients::{HERE, ask_quic, framed, in_time, quic, quic_endpoint};
use crate::dns_support::{Query, ask};
use crate::server::{Server, Settings, world};

/// A query with the ID that QUIC asks for.
fn query(name: &str, rtype: u16) -> Vec<u8> {
    let mut query = Query::new(name, rtype).wire();
    query[..2].fill(0);
    query
}

fn www() -> Vec<u8> {
    query("www.example.com.", 1)
}

#[test]
fn queries_are_answered_on_their_streams_and_none_waits_for_another() {
    let mut server = Server::start(&Settings::default());
    let world = Arc::new(world(|_| ()));
    let address = server.quic;
    server.runtime.block_on(in_time(async {
        let connection = quic(address, HERE).await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&framed(&www())[..9]).await.unwrap();
        let mut others = JoinSet::new();
        for number in 0..300 {
            let names = ["www.", "big.", "no.", "x.geo.", "x.sub."];
            let query = query(&format!("{}example.com.", names[number % names.len()]), 16);
            let expected = ask(&world, &query, Transport::Quic).0.unwrap();
            let connection = connection.clone();
            others.spawn(async move {
                assert_eq!(ask_quic(&connection, &query).await.unwrap(), expected);
            });
        }
        others.join_all().await;
        send.write_all(&framed(&www())[9..]).await.unwrap();
        send.finish().unwrap();
        let reply = receive.read_to_end(1000).await.unwrap();
        assert_eq!(reply[2..], ask(&world, &www(), Transport::Quic).0.unwrap());
    }));
    server.stop();
    let totals = server.counters.totals();
    assert_eq!(totals.queries[Transport::Quic as usize], (Transport::Quic, 301));
    assert_eq!(server.connections(Transport::Quic).open, 0);
}

#[test]
fn whoever_breaks_the_protocol_is_closed_with_its_error() {
    let mut server = Server::start(&Settings::default());
    let address = server.quic;
    let mut with_id = www();
    with_id[1] = 1;
    let keepalive = {
        let mut query = Query::new("www.example.com.", 1).edns(1232, &[0, 11, 0, 0]).wire();
        query[..2].fill(0);
        query
    };
    server.runtime.block_on(in_time(async {
        for (what, octets) in [
            ("an ID", framed(&with_id)),
            ("a keepalive option", framed(&keepalive)),
            ("nothing", vec![]),
            ("half a length", vec![0]),
            ("less than was told", framed(&www())[..20].to_vec()),
            ("more than was told", [framed(&www()), vec![0]].concat()),
            ("two queries", framed(&www()).repeat(2)),
        ] {
            let connection = quic(address, HERE).await.unwrap();
            let (mut send, _receive) = connection.open_bi().await.unwrap();
            send.write_all(&octets).await.unwrap();
            send.finish().unwrap();
            let ConnectionError::ApplicationClosed(close) = connection.closed().await else {
                panic!("{what}: another end");
            };
            assert_eq!(close.error_code, VarInt::from_u32(2), "{what}");
        }
        // What is no query but well framed costs its stream alone.
        let connection = quic(address, HERE).await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&framed(&[0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0])).await.unwrap();
        send.finish().unwrap();
        let error = receive.read_to_end(100).await.unwrap_err();
        assert!(matches!(error, ReadToEndError::Read(quinn::ReadError::Reset(_))), "{error}");
        ask_quic(&connection, &www()).await.unwrap();
    }));
    server.stop();
}

#[test]
fn whoever_is_slow_is_closed() {
    let idle = Duration::from_millis(300);
    let mut server = Server::start(&Settings { idle, ..Settings::default() });
    let address = server.quic;
    server.runtime.block_on(in_time(async {
        // Half a query costs the stream, no query the connection, however often the client pings.
        let mut pinging = TransportConfig::default();
        pinging.keep_alive_interval(Some(Duration::from_millis(50)));
        let endpoint = quic_endpoint(HERE, "doq", pinging);
        let connection = endpoint.connect(address, NAME).unwrap().await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&framed(&www())[..20]).await.unwrap();
        let error = receive.read_to_end(100).await.unwrap_err();
        let expected = quinn::ReadError::Reset(VarInt::from_u32(5));
        assert_eq!(error, ReadToEndError::Read(expected));
        let ConnectionError::ApplicationClosed(close) = connection.closed().await else {
            panic!("another end");
        };
        assert_eq!(close.error_code, VarInt::from_u32(0));
    }));
    assert!(server.connections(Transport::Quic).timed_out >= 2);
    server.stop();
}

#[test]
fn handshakes_that_never_finish_delay_nobody() {
    let mut server = Server::start(&Settings::default());
    let address = server.quic;
    // Clients that hear nothing: their first datagram is passed on from a socket nobody reads.
    let hole = UdpSocket::bind((HERE, 0)).unwrap();
    let mut forged: Vec<UdpSocket> = Vec::new();
    server.runtime.block_on(in_time(async {
        let sender = quic_endpoint(HERE, "doq", TransportConfig::default());
        for _ in 0..600 {
            let to = hole.local_addr().unwrap();
            let connecting = sender.connect(to, NAME).unwrap();
            let mut datagram = [0; 2048];
            let length = hole.recv(&mut datagram).unwrap();
            drop(connecting);
            let socket = UdpSocket::bind((HERE, 0)).unwrap();
            socket.send_to(&datagram[..length], address).unwrap();
            forged.push(socket);
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..100 {
            let start = stopwatch();
            let connection = quic(address, HERE).await.unwrap();
            ask_quic(&connection, &www()).await.unwrap();
            slowest = slowest.max(start.elapsed());
        }
        assert!(slowest < Duration::from_secs(2), "the slowest took {slowest:?}");
    }));
    server.stop();
}

#[test]
fn a_new_certificate_is_shown_to_whoever_comes_next() {
    let mut server = Server::start(&Settings::default());
    let address = server.quic;
    let renewed = certificates::certificate();
    let expected = renewed.certified().cert[0].clone();
    server.snapshot.store(Arc::new(world(|options| options.certificate = Some(renewed))));
    server.runtime.block_on(in_time(async {
        let connection = quic(address, HERE).await.unwrap();
        let shown = connection.peer_identity().unwrap();
        let shown = shown.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap();
        assert_eq!(shown[0], expected);
    }));
    server.stop();
}

#[test]
fn other_protocols_are_turned_away() {
    let mut server = Server::start(&Settings::default());
    let address = server.quic;
    server.runtime.block_on(in_time(async {
        let endpoint = quic_endpoint(HERE, "h3", TransportConfig::default());
        assert!(endpoint.connect(address, NAME).unwrap().await.is_err());
    }));
    server.stop();
}

#[test]
fn a_connection_has_an_end_however_busy_it_is() {
    let life = Duration::from_millis(300);
    let mut server = Server::start(&Settings { life, ..Settings::default() });
    let address = server.quic;
    server.runtime.block_on(in_time(async {
        let start = stopwatch();
        let connection = quic(address, HERE).await.unwrap();
        while ask_quic(&connection, &www()).await.is_ok() {}
        assert!(start.elapsed() >= life);
        let ConnectionError::ApplicationClosed(close) = connection.closed().await else {
            panic!("another end");
        };
        assert_eq!(close.error_code, VarInt::from_u32(0));
    }));
    server.stop();
}

#[test]
fn shutdown_answers_what_was_asked_and_says_good_bye() {
    let mut server = Server::start(&Settings::default());
    let address: SocketAddr = server.quic;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connection = runtime.block_on(in_time(async {
        let connection = quic(address, HERE).await.unwrap();
        ask_quic(&connection, &www()).await.unwrap();
        connection
    }));
    let start = stopwatch();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let end = runtime.block_on(in_time(connection.closed()));
    assert!(matches!(end, ConnectionError::ApplicationClosed(_)), "{end}");
}
