//! The admin listener over real connections.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

/// Far above what any step takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    at: SocketAddr,
    phase: watch::Sender<Phase>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

async fn start(limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (phase, told) = watch::channel(Phase::Serving);
    let metrics = Arc::new(Metrics::new().unwrap());
    let state = tempfile::tempdir().unwrap();
    let events = Arc::new(Events::new("a", metrics.clone()));
    let (_, desk) = Keeper::open(state.path(), metrics.clone(), events.clone());
    let listen = model::AdminListen::Tcp(at);
    let settings = model::Admin { listen, hosts: Vec::new(), tokens: None, tls: None };
    let shared = (Arc::default(), Arc::default(), events, watch::channel(Vec::new()).1);
    let admin = Admin::new(Arc::default(), None, metrics, told, desk, shared, settings);
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve_within(Socket::Tcp(listener), admin, limits, stop.clone()));
    Running { at, phase, stop, task }
}

/// Sends this and gives all that comes until the connection ends.
async fn say(at: SocketAddr, what: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(what.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    // A connection that is cut may end with an error.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("an end");
    String::from_utf8(reply).unwrap()
}

async fn request(at: SocketAddr, method: &str, path: &str) -> (String, String) {
    let reply = say(at, &format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("connection: close"), "one request a connection: {head}");
    let status = head.split(' ').nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}

#[tokio::test]
async fn paths_and_methods_are_answered() {
    let running = start(Limits::default()).await;
    for (method, path, status, start) in [
        ("GET", "/livez", "200", "alive\n"),
        ("GET", "/readyz", "200", "ready\n"),
        ("GET", "/metrics", "200", "# HELP meridian_"),
        ("HEAD", "/readyz", "200", ""),
        ("POST", "/readyz", "405", ""),
        ("GET", "/", "200", "<!doctype html>"),
        ("GET", "/none", "404", "{\"error\":\"there is nothing at this path\""),
        ("GET", "/metrics/more", "404", "{\"error\":"),
    ] {
        let (found, body) = request(running.at, method, path).await;
        assert_eq!(found, status, "{method} {path}");
        assert!(body.starts_with(start) && body.is_empty() == start.is_empty(), "{path}: {body}");
    }
    running.phase.send_replace(Phase::Stopping);
    let (status, body) = request(running.at, "GET", "/readyz").await;
    assert_eq!((&*status, &*body), ("503", "not ready: this node is stopping\n"));
    assert_eq!(request(running.at, "GET", "/livez").await.0, "200");
    running.stop.cancel();
    timeout(PATIENCE, running.task).await.expect("an end").unwrap().unwrap();
}

#[tokio::test]
async fn slow_clients_lose_their_place_and_others_get_it() {
    let running = start(Limits { connections: 2, lifetime: Duration::from_secs(1) }).await;
    let slow =
        ["", "GET /metrics HTT", "GET /livez HTTP/1.1\r\nhost: x\r\n", "POST /x HTTP/1.1\r\n"];
    let slow = slow.map(|text| tokio::spawn(say(running.at, text)));
    // Asked last, so that it waits for a place behind the others.
    let (status, _) = request(running.at, "GET", "/livez").await;
    assert_eq!(status, "200");
    for task in slow {
        assert!(!timeout(PATIENCE, task).await.expect("an end").unwrap().contains("200 OK"));
    }
}
