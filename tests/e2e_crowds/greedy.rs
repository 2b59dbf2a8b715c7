//! Clients that ask for large answers and read none of them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use meridian::clock::stopwatch;
use quinn::{TransportConfig, VarInt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::certificates::NAME;
use crate::clients::{framed, http3_with, post, quic_endpoint, tcp, tls};
use crate::node::{Kind, Node, query, source};

/// Clients at a time; each comes back when it is closed.
const CLIENTS: usize = 600;
/// How long they go on, beyond every time limit of the server.
const TIME: Duration = Duration::from_secs(7);
/// What they may cost.
const COST: u64 = 64 << 20;

/// Writes the same octets as long as somebody takes them.
async fn write_on(stream: &mut (impl AsyncWrite + Unpin), octets: &[u8]) {
    while stream.write_all(octets).await.is_ok() {}
}

/// An HTTP/2 connection's start, and requests with `query` in their URI on the next streams.
fn requests(query: &[u8], first: u32, count: u32) -> Vec<u8> {
    let text = data_encoding::BASE64URL_NOPAD.encode(query);
    let mut block = vec![0x82, 0x87];
    for (name, value) in [(4, format!("/dns-query?dns={text}")), (1, NAME.to_owned())] {
        // A literal with a name of the static table (RFC 7541 section 6.2.2).
        block.push(name);
        assert!(value.len() < 127);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    let mut octets = Vec::new();
    for stream in (first..).step_by(2).take(count as usize) {
        octets.extend_from_slice(&(block.len() as u32).to_be_bytes()[1..]);
        octets.extend_from_slice(&[1, 5]);
        octets.extend_from_slice(&stream.to_be_bytes());
        octets.extend_from_slice(&block);
    }
    octets
}

/// Limits of a client that has no room to read into, so that all waits with the server.
fn roomless() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(16));
    transport
}

/// Asks without reading until the server ends it.
async fn ask_on(address: SocketAddr, kind: Kind, number: usize) {
    let query = query("big");
    let from = source(number);
    match kind {
        Kind::Tcp => {
            let Ok(mut stream) = tcp(address, from).await else { return };
            write_on(&mut stream, &framed(&query).repeat(100)).await;
        }
        Kind::Tls => {
            let Ok(mut stream) = tls(address, from, &["dot"]).await else { return };
            write_on(&mut stream, &framed(&query).repeat(100)).await;
        }
        Kind::Https => {
            let Ok(mut stream) = tls(address, from, &["h2"]).await else { return };
            // The largest windows there are, for the connection and for each stream.
            let start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
                \0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\
                \0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";
            if stream.write_all(start).await.is_err() {
                return;
            }
            let mut first = 1;
            while stream.write_all(&requests(&query, first, 50)).await.is_ok() {
                first += 100;
            }
        }
        Kind::Http3 => {
            let Ok(mut client) = http3_with(address, from, roomless()).await else { return };
            let mut streams = Vec::new();
            while let Ok(mut stream) = client.requests.send_request(post()).await {
                let sent = stream.send_data(Bytes::copy_from_slice(&query)).await;
                if sent.is_err() || stream.finish().await.is_err() {
                    return;
                }
                streams.push(stream);
            }
        }
        Kind::Quic => {
            let endpoint = quic_endpoint(from, "doq", roomless());
            let Ok(connecting) = endpoint.connect(address, NAME) else { return };
            let Ok(connection) = connecting.await else { return };
            let mut streams = Vec::new();
            while let Ok((mut send, receive)) = connection.open_bi().await {
                if send.write_all(&framed(&query)).await.is_err() || send.finish().is_err() {
                    return;
                }
                streams.push(receive);
            }
        }
    }
}

fn cost_little(kind: Kind, clients: usize) {
    let node = Node::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = node.address(kind);
    // The server's own buffers and code pages come first.
    runtime.block_on(node.ask_100(kind));
    let before = node.resident();
    let start = stopwatch();
    let (mut most, mut slowest) = (0, Duration::ZERO);
    runtime.block_on(async {
        let mut crowd = JoinSet::new();
        for number in 0..clients {
            crowd.spawn(timeout(TIME, async move {
                loop {
                    ask_on(address, kind, number).await;
                }
            }));
        }
        while start.elapsed() < TIME {
            slowest = slowest.max(node.ask_100(kind).await);
            most = most.max(node.resident());
        }
        crowd.shutdown().await;
    });
    let cost = most.saturating_sub(before);
    let kib = cost >> 10;
    println!("{kind:?}: {clients} write-only clients cost {kib} KiB, the slowest took {slowest:?}");
    assert!(cost <= COST, "{kib} KiB");
}

#[test]
fn tcp_clients_that_never_read_cost_little() {
    cost_little(Kind::Tcp, CLIENTS);
}

#[test]
fn tls_clients_that_never_read_cost_little() {
    cost_little(Kind::Tls, CLIENTS);
}

#[test]
fn https_clients_that_never_read_cost_little() {
    cost_little(Kind::Https, CLIENTS);
}

#[test]
fn http3_clients_that_never_read_cost_little() {
    cost_little(Kind::Http3, CLIENTS / 3);
}

#[test]
fn quic_clients_that_never_read_cost_little() {
    cost_little(Kind::Quic, CLIENTS / 3);
}
