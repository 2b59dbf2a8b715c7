//! Connections through a proxy that says for whom it speaks (PROXY protocol).

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use meridian::dns::{Peer, Reply, Transport, answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates;
use crate::clients::{HERE, ask_http2, ask_stream, framed, http2_over, in_time, tcp, tls_over};
use crate::dns_support::Query;
use crate::server::{Server, Settings, world};

/// The proxy.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// A header that names a client.
fn header(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&client);
    header.extend_from_slice(&[127, 0, 0, 1, 0x30, 0x39, 0, 53]);
    header
}

/// A server that believes the proxy.
fn server(idle: Duration) -> Server {
    let server = Server::start(&Settings { idle, ..Settings::default() });
    let world = world(|options| {
        options.tcp_idle = idle;
        options.certificate = Some(certificates::certificate());
        options.proxy_protocol = vec!["127.0.0.77/32".parse().unwrap()];
    });
    server.snapshot.store(Arc::new(world));
    server
}

#[test]
fn the_client_that_is_named_decides_the_answer() {
    let mut server = server(Duration::from_secs(10));
    let world = world(|_| ());
    // The answer to this name depends on the client's prefix.
    let query = Query::new("geo.example.com.", 1).edns(1232, &[]).wire();
    let (plain, tls, https) = (server.udp, server.tls, server.https);
    let mut answers = HashSet::new();
    server.runtime.block_on(in_time(async {
        for number in 0..12 {
            let client = [203, 0, number * 20, 1];
            let address = SocketAddr::from((client, 12345));
            let peer = Peer { address, transport: Transport::Tcp, unix_seconds: 0 };
            let mut expected = vec![0; 65535];
            let given = answer(&world, &query, peer, 7, &mut expected).reply;
            let Reply::Length(length) = given else { panic!("no reply") };
            expected.truncate(length);

            let mut stream = tcp(plain, PROXY).await.unwrap();
            stream.write_all(&header(client)).await.unwrap();
            assert_eq!(ask_stream(&mut stream, &query).await.unwrap(), expected);
            let [a, b, c, d] = client;
            let line = format!("PROXY TCP4 {a}.{b}.{c}.{d} 127.0.0.1 12345 53\r\n");
            let mut stream = tcp(plain, PROXY).await.unwrap();
            stream.write_all(line.as_bytes()).await.unwrap();
            assert_eq!(ask_stream(&mut stream, &query).await.unwrap(), expected, "version 1");
            let mut stream = tcp(tls, PROXY).await.unwrap();
            stream.write_all(&header(client)).await.unwrap();
            let mut stream = tls_over(stream, &["dot"]).await.unwrap();
            assert_eq!(ask_stream(&mut stream, &query).await.unwrap(), expected);
            let mut stream = tcp(https, PROXY).await.unwrap();
            stream.write_all(&header(client)).await.unwrap();
            let requests = http2_over(stream).await.unwrap();
            assert_eq!(ask_http2(&requests, &query).await.unwrap(), expected);
            answers.insert(expected);
        }
    }));
    assert!(answers.len() > 1, "the client makes a difference");
    server.stop();
}

#[test]
fn only_listed_peers_may_name_a_client_and_they_must() {
    let mut server = server(Duration::from_millis(300));
    let address = server.udp;
    let www = Query::new("www.example.com.", 1).wire();
    server.runtime.block_on(in_time(async {
        let mut local = header([203, 0, 0, 1]);
        local[12] = 0x20;
        let mut stream = tcp(address, PROXY).await.unwrap();
        stream.write_all(&local).await.unwrap();
        ask_stream(&mut stream, &www).await.unwrap();
        drop(stream);
        let mut stream = tcp(address, HERE).await.unwrap();
        ask_stream(&mut stream, &www).await.unwrap();
        drop(stream);
        // Whoever else sends one asks something that is no DNS.
        let mut stream = tcp(address, HERE).await.unwrap();
        let both = [header([203, 0, 0, 1]), framed(&www)].concat();
        stream.write_all(&both).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "an answer");
        for (octets, what) in [
            (framed(&www), "no header"),
            (header([203, 0, 0, 1])[..20].to_vec(), "half a header"),
            (b"PROXY TCP4 203.0.0.1 127.0.0.1 53\r\n".to_vec(), "a line that lacks a port"),
        ] {
            let mut stream = tcp(address, PROXY).await.unwrap();
            stream.write_all(&octets).await.unwrap();
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "{what}");
        }
    }));
    let connections = server.connections(Transport::Tcp);
    assert_eq!((connections.refused_headers, connections.timed_out), (2, 2));
    server.stop();
}
