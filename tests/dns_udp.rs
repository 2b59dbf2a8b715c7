//! UDP through real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // Test.

mod dns_support;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dns_support::{Query, ask, script};
use meridian::clock::stopwatch;
use meridian::dns::{Counters, Transport, UdpServer, UdpSockets};
use meridian::model::Io;
use meridian::snapshot::{Labels, Snapshot};

/// No test waits longer than this for a datagram.
const DEADLINE: Duration = Duration::from_secs(10);

fn world() -> Snapshot {
    script::world(include_str!("data/dns/properties.world"))
}

fn counters() -> Counters {
    let labels = || Arc::new(Labels::new(16));
    Counters::new(labels(), labels())
}

/// Every kind of sockets.
const KINDS: [Io; 2] = [Io::Mmsg, Io::Single];

fn serve(io: &Io, listen: &[&str], workers: usize, counters: &Counters) -> UdpServer {
    let listen: Vec<SocketAddr> = listen.iter().map(|text| text.parse().unwrap()).collect();
    let sockets = UdpSockets::bind(&listen, workers).unwrap().with_io(io.clone());
    assert_eq!(sockets.addresses().len(), listen.len());
    sockets.serve(&Arc::new(ArcSwap::from_pointee(world())), counters).unwrap()
}

/// A client that hears the server at this address alone.
fn client(server: SocketAddr) -> UdpSocket {
    let any: IpAddr =
        if server.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(server),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )
    .unwrap();
    socket.bind(&SocketAddr::new(any, 0).into()).unwrap();
    // Room for all replies to a burst, where the system allows it.
    socket.set_recv_buffer_size(8 << 20).unwrap();
    let socket = UdpSocket::from(socket);
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn exchange(client: &UdpSocket, query: &[u8]) -> Vec<u8> {
    client.send(query).unwrap();
    let mut reply = vec![0; 4096];
    let length = client.recv(&mut reply).unwrap();
    reply.truncate(length);
    reply
}

#[test]
fn replies_are_those_of_the_engine() {
    for io in KINDS {
        let counters = counters();
        let server = serve(&io, &["127.0.0.1:0", "[::1]:0"], 2, &counters);
        let queries = [
            Query::new("www.example.com.", 1),
            Query::new("x.sub.example.com.", 1).edns(1232, &[]),
            Query::new("big.example.com.", 16),
            Query::new("no.example.com.", 28).edns(4096, &[]),
        ];
        for address in server.addresses() {
            let client = client(*address);
            for query in &queries {
                let wire = query.wire();
                let expected = ask(&world(), &wire, Transport::Udp).0.unwrap();
                assert_eq!(exchange(&client, &wire), expected, "{address} {query:?}");
            }
            // A response is dropped; the query behind it is answered.
            client.send(&[0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
            exchange(&client, &queries[0].wire());
        }
        server.shutdown();
        let totals = counters.totals();
        assert_eq!(totals.queries[Transport::Udp as usize], (Transport::Udp, 12));
        assert!(totals.queries.iter().all(|(t, n)| *t == Transport::Udp || *n == 0));
        assert_eq!(totals.replies, [(0, 8), (3, 2)]);
        assert_eq!((totals.dropped, totals.malformed, totals.truncated), (2, 2, 2));
        assert_eq!((totals.panics, totals.receive_errors, totals.send_errors), (0, 0, 0));
    }
}

#[test]
fn a_wildcard_bind_answers_from_the_address_that_was_asked() {
    for io in KINDS {
        let counters = counters();
        let server = serve(&io, &["0.0.0.0:0", "[::]:0"], 2, &counters);
        let query = Query::new("www.example.com.", 1).wire();
        for (bound, asked) in [(0, "127.0.0.1"), (0, "127.0.0.2"), (0, "127.9.9.9"), (1, "::1")] {
            let port = server.addresses()[bound].port();
            // A connected socket takes datagrams from the address it asks alone.
            let reply = exchange(&client(SocketAddr::new(asked.parse().unwrap(), port)), &query);
            assert_eq!(reply[..2], query[..2], "{asked}");
        }
        server.shutdown();
    }
}

#[test]
fn of_a_burst_of_ten_thousand_queries_none_is_lost() {
    for io in KINDS {
        let counters = counters();
        let server = serve(&io, &["127.0.0.1:0"], 2, &counters);
        let clients: Vec<UdpSocket> = (0..20).map(|_| client(server.addresses()[0])).collect();
        let query = |id: u16| {
            let mut wire = Query::new("geo.example.com.", 1).wire();
            wire[..2].copy_from_slice(&id.to_be_bytes());
            wire
        };
        for id in 0..500 {
            for client in &clients {
                client.send(&query(id)).unwrap();
            }
        }
        for client in &clients {
            let mut reply = [0; 512];
            let mut seen = HashSet::new();
            while seen.len() < 500 {
                let length = client.recv(&mut reply).expect("a reply to each query");
                assert!(length > 12);
                assert!(seen.insert([reply[0], reply[1]]), "a query was answered twice");
            }
        }
        server.shutdown();
        assert_eq!(counters.totals().queries[0].1, 10_000);
    }
}

#[test]
fn shutdown_answers_what_was_received_and_is_quick() {
    for io in KINDS {
        let counters = counters();
        let server = serve(&io, &["127.0.0.1:0"], 1, &counters);
        let client = client(server.addresses()[0]);
        let query = Query::new("www.example.com.", 1).wire();
        for _ in 0..500 {
            client.send(&query).unwrap();
        }
        let start = stopwatch();
        server.shutdown();
        let took = start.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}; 100 ms on an idle machine");
        let mut reply = [0; 512];
        for number in 0..500 {
            assert!(client.recv(&mut reply).is_ok(), "reply {number} is missing");
        }
    }
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let counters = counters();
    let server = serve(&Io::Mmsg, &["127.0.0.1:0"], 2, &counters);
    let address = server.addresses()[0];
    let error = UdpSockets::bind(&[address], 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on `{address}` (UDP): ")));
    server.shutdown();
    UdpSockets::bind(&[address], 2).unwrap();
}
