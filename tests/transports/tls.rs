//! DNS over TLS (RFC 7858).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use meridian::clock::stopwatch;
use meridian::dns::Transport;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, StreamOwned};

use crate::certificates::{self, NAME};
use crate::dns_support::{Query, ask};
use crate::server::{DEADLINE, Server, Settings, world};

/// A client's side of a connection.
pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

fn tcp(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.tls).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn connect_as(server: &Server, protocols: &[&str]) -> io::Result<Client> {
    let config = certificates::client(protocols);
    let session = ClientConnection::new(config, NAME.try_into().unwrap()).unwrap();
    let mut client = StreamOwned::new(session, tcp(server));
    client.conn.complete_io(&mut client.sock)?;
    Ok(client)
}

/// A connection after its handshake.
pub(crate) fn connect(server: &Server) -> Client {
    connect_as(server, &[]).unwrap()
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

pub(crate) fn read_reply(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

/// Whether the server closes the connection before the deadline.
pub(crate) fn is_closed(stream: &mut impl Read) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(length) => length == 0,
        Err(error) => {
            use io::ErrorKind::{ConnectionReset, UnexpectedEof};
            matches!(error.kind(), ConnectionReset | UnexpectedEof)
        }
    }
}

pub(crate) fn www() -> Vec<u8> {
    Query::new("www.example.com.", 1).wire()
}

/// The certificate the server shows to a new client.
fn shown(server: &Server) -> CertificateDer<'static> {
    let client = connect(server);
    client.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn pipelined_queries_are_answered_however_they_are_cut() {
    let mut server = Server::start(&Settings::default());
    let names = ["www", "big", "no", "x.geo", "one", "x.sub"];
    let wires: Vec<Vec<u8>> = (0..60)
        .map(|id| {
            let name = format!("{}.example.com.", names[id % names.len()]);
            let mut wire = Query::new(&name, 16).wire();
            wire[..2].copy_from_slice(&(id as u16).to_be_bytes());
            wire
        })
        .collect();
    let stream = wires.iter().map(|wire| framed(wire)).collect::<Vec<_>>().concat();
    let world = world(|_| ());
    for step in [7, 64, stream.len()] {
        let mut client = connect(&server);
        for piece in stream.chunks(step) {
            client.write_all(piece).unwrap();
        }
        for wire in &wires {
            let expected = ask(&world, wire, Transport::Tls).0.unwrap();
            assert_eq!(read_reply(&mut client).unwrap(), expected, "in steps of {step}");
        }
    }
    server.stop();
    let totals = server.counters.totals();
    assert_eq!(totals.queries[Transport::Tls as usize], (Transport::Tls, 180));
    assert_eq!(server.connections(Transport::Tls).open, 0);
}

#[test]
fn whoever_is_slow_is_closed() {
    let idle = Duration::from_millis(150);
    let mut server = Server::start(&Settings { idle, ..Settings::default() });
    // Before the handshake, in it, and after it.
    let mut silent = tcp(&server);
    let mut half = tcp(&server);
    half.write_all(&[22, 3, 1, 0, 200, 1]).unwrap();
    assert!(is_closed(&mut silent) && is_closed(&mut half));
    let whole = framed(&www());
    for octets in [&whole[..0], &whole[..1], &whole[..20], &whole] {
        let mut client = connect(&server);
        client.write_all(octets).unwrap();
        if octets.len() == whole.len() {
            read_reply(&mut client).unwrap();
        }
        assert!(is_closed(&mut client), "after {} octets", octets.len());
    }
    assert_eq!(server.connections(Transport::Tls).timed_out, 6);
    server.stop();
}

#[test]
fn a_connection_has_an_end_however_busy_it_is() {
    let life = Duration::from_millis(300);
    let mut server = Server::start(&Settings { life, ..Settings::default() });
    let start = stopwatch();
    let mut client = connect(&server);
    // What is asked is answered; the end comes between two queries.
    let ended = loop {
        if client.write_all(&framed(&www())).is_err() || read_reply(&mut client).is_err() {
            break start.elapsed();
        }
        assert!(start.elapsed() < DEADLINE);
    };
    assert!(ended >= life, "{ended:?}");
    let mut idle = connect(&server);
    idle.write_all(&framed(&www())).unwrap();
    read_reply(&mut idle).unwrap();
    assert!(is_closed(&mut idle));
    assert_eq!(server.connections(Transport::Tls).timed_out, 0);
    server.stop();
}

#[test]
fn a_new_certificate_is_shown_to_whoever_comes_next() {
    let mut server = Server::start(&Settings::default());
    let before = shown(&server);
    assert_eq!(shown(&server), before);
    let mut old = connect(&server);
    old.write_all(&framed(&www())).unwrap();
    let renewed = certificates::certificate();
    let expected = renewed.certified().cert[0].clone();
    server.snapshot.store(Arc::new(world(|options| options.certificate = Some(renewed))));
    assert_eq!(shown(&server), expected);
    assert_ne!(expected, before);
    // Those who came before stay.
    old.write_all(&framed(&www())).unwrap();
    read_reply(&mut old).unwrap();
    // A configuration without encrypted transports takes a restart to end them.
    server.snapshot.store(Arc::new(world(|_| ())));
    assert_eq!(shown(&server), before);
    server.stop();
}

#[test]
fn other_protocols_are_turned_away() {
    let mut server = Server::start(&Settings::default());
    assert!(connect_as(&server, &["dot"]).is_ok());
    assert!(connect_as(&server, &["h2", "dot"]).is_ok());
    assert!(connect_as(&server, &["h2", "http/1.1"]).is_err());
    let mut plain = tcp(&server);
    plain.write_all(&framed(&www())).unwrap();
    let mut alert = Vec::new();
    let _ = plain.read_to_end(&mut alert);
    assert!(alert.len() < 16, "{alert:?}");
    // A client hears of the failure a moment before it is counted.
    let start = stopwatch();
    while server.connections(Transport::Tls).failed_handshakes < 2 && start.elapsed() < DEADLINE {
        std::thread::yield_now();
    }
    assert_eq!(server.connections(Transport::Tls).failed_handshakes, 2);
    server.stop();
}

#[test]
fn shutdown_answers_what_was_sent_and_says_good_bye() {
    let mut server = Server::start(&Settings::default());
    let mut waiting = connect(&server);
    waiting.write_all(&framed(&www()).repeat(20)).unwrap();
    let mut idle = connect(&server);
    let mut silent = tcp(&server);
    let start = stopwatch();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for number in 0..20 {
        assert!(read_reply(&mut waiting).is_ok(), "reply {number} is missing");
    }
    // An end of TLS, not one of TCP alone, which would be an error here.
    assert_eq!(waiting.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    assert!(is_closed(&mut silent));
}
