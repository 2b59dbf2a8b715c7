//! Connections that are held idle, half-way through a handshake, or with half a query sent.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::clients::{framed, tcp, tls};
use crate::node::{Kind, Node, query, source};

/// Connections that are held.
const HELD: usize = 3000;
/// What the slowest of a hundred new queries may take, connection and all.
const SLOWEST: Duration = Duration::from_millis(200);
/// Hundreds that are asked at most: the machine may be busy with other things for a moment.
const ROUNDS: usize = 5;

/// What a client holds.
#[allow(dead_code)] // Held, not used.
enum Held {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects, and stops at a point that the number chooses.
async fn hold(node_address: std::net::SocketAddr, kind: Kind, number: usize) -> Option<Held> {
    let from = source(number);
    let half = &framed(&query("www"))[..9];
    let protocol = if kind == Kind::Https { "h2" } else { "dot" };
    if kind == Kind::Tcp || number % 4 < 2 {
        let mut stream = tcp(node_address, from).await.ok()?;
        if number % 2 == 1 {
            // Half a query, or what TLS takes for the start of a handshake.
            let start: &[u8] = if kind == Kind::Tcp { half } else { &[22, 3, 1, 0, 200, 1] };
            let _ = stream.write_all(start).await;
        }
        return Some(Held::Plain(stream));
    }
    let mut stream = tls(node_address, from, &[protocol]).await.ok()?;
    if number % 4 == 3 {
        let start: &[u8] = if kind == Kind::Tls { half } else { b"PRI * HTTP/2.0\r\n" };
        let _ = stream.write_all(start).await;
        let _ = stream.flush().await;
    }
    Some(Held::Tls(Box::new(stream)))
}

fn keep_nobody_out(kind: Kind) {
    let node = Node::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = node.address(kind);
    let before = node.resident();
    let (held, slowest) = runtime.block_on(async {
        let mut crowd = JoinSet::new();
        let mut held = Vec::new();
        for number in 0..HELD {
            crowd.spawn(hold(address, kind, number));
            if crowd.len() >= 64 {
                held.extend(crowd.join_next().await.unwrap().unwrap());
            }
        }
        held.extend(crowd.join_all().await.into_iter().flatten());
        let mut slowest = Duration::MAX;
        for _ in 0..ROUNDS {
            slowest = slowest.min(node.ask_100(kind).await);
            if slowest < SLOWEST {
                break;
            }
        }
        (held, slowest)
    });
    let cost = node.resident().saturating_sub(before) >> 10;
    println!(
        "{kind:?}: {} held, {cost} KiB, 100 of 100 answered, the slowest in {slowest:?}",
        held.len()
    );
    // Some may have been closed while they came, to make room for those behind them.
    assert!(held.len() > HELD / 2, "{} held", held.len());
    assert!(slowest < SLOWEST, "{slowest:?}");
    assert!(cost < 128 << 10, "{cost} KiB");
}

#[test]
fn thousands_of_idle_and_half_sent_tcp_connections_keep_nobody_out() {
    keep_nobody_out(Kind::Tcp);
}

#[test]
fn thousands_of_idle_and_half_sent_tls_connections_keep_nobody_out() {
    keep_nobody_out(Kind::Tls);
}

#[test]
fn thousands_of_idle_and_half_sent_https_connections_keep_nobody_out() {
    keep_nobody_out(Kind::Https);
}
