//! Raw requests and responses through guard, parser and head rules, in memory: what goes on, what
//! is refused, and what the parser alone would have let pass.

#![allow(clippy::unwrap_used)] // Test.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use meridian::proxy::guard::{
    Bounds, Expected, Guard, Guarded, RequestGuard, ResponseGuard, Verdict,
};
use meridian::proxy::head;
use meridian::proxy::refused::Refused;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

/// Everything happens in memory: what takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(10);
/// Small, so that the data stays readable.
const BOUNDS: Bounds = Bounds { head: 512, fields: 30, target: 200 };

#[derive(Deserialize)]
struct Requests {
    case: Vec<RequestCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestCase {
    name: String,
    raw: String,
    sent: Vec<String>,
    refused: Option<String>,
    #[serde(default)]
    alone: bool,
}

#[derive(Deserialize)]
struct Responses {
    case: Vec<ResponseCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseCase {
    name: String,
    #[serde(default = "get")]
    request: String,
    #[serde(default)]
    upgrade: bool,
    raw: String,
    #[serde(default)]
    got: String,
    refused: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// What a server made of a connection.
#[derive(Default)]
struct Seen {
    sent: Vec<String>,
    refused: Option<Refused>,
}

/// The content of a message; `Err`: it ends badly.
async fn content(mut body: Incoming) -> Result<String, hyper::Error> {
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            content.extend_from_slice(&data);
        }
    }
    Ok(String::from_utf8(content).unwrap())
}

/// Serves one request: notes it if it may go on.
async fn serve(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
    rules: bool,
) -> Result<Response<String>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let mut said = format!("{} {target}", parts.method);
    if rules {
        let asked = head::read(&parts, false).map(|_| ());
        let left = head::leave_request(&mut parts.headers, parts.version).map(|_| ());
        if let Err(refused) = asked.and(left) {
            seen.lock().unwrap().refused = Some(refused);
            let mut response = Response::new(String::new());
            *response.status_mut() = refused.status();
            response.headers_mut().insert("connection", "close".parse().unwrap());
            return Ok(response);
        }
    }
    match content(body).await {
        Ok(content) if content.is_empty() => {}
        Ok(content) => said = format!("{said} {content}"),
        Err(_) => said.push_str(" cut"),
    }
    seen.lock().unwrap().sent.push(said);
    Ok(Response::new(String::new()))
}

/// Runs a connection that brings `raw`, in pieces; gives what was seen and what the client got.
async fn connection(raw: &[u8], piece: usize, guarded: bool) -> (Seen, String) {
    let (mut client, server) = duplex(1 << 16);
    let bounds = if guarded { BOUNDS } else { Bounds { head: 1 << 20, ..BOUNDS } };
    let mut guard = RequestGuard::new(bounds, false);
    if !guarded {
        guard.release();
    }
    let server = Guarded::new(server, Guard::Request(guard));
    let verdict = server.verdict();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let own = seen.clone();
    let service = service_fn(move |request| serve(request, own.clone(), guarded));
    let served = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(server), service);
    let talk = async {
        for part in raw.chunks(piece) {
            // The server may have closed on a fault before.
            if client.write_all(part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = client.shutdown().await;
        let mut got = Vec::new();
        let _ = client.read_to_end(&mut got).await;
        String::from_utf8_lossy(&got).into_owned()
    };
    let run = async { tokio::join!(served, talk) };
    let (_, got) = timeout(DEADLINE, run).await.unwrap();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.refused = seen.refused.or(verdict.refused());
    (seen, got)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn requests() -> Vec<RequestCase> {
    toml::from_str::<Requests>(include_str!("data/proxy/requests.toml")).unwrap().case
}

#[test]
fn requests_go_on_as_one_reading_or_not_at_all() {
    let cases = requests();
    assert!(cases.len() >= 60);
    let mut wrong = Vec::new();
    for case in &cases {
        for piece in [usize::MAX, 1, 7] {
            let raw = case.raw.as_bytes();
            let (seen, got) = runtime().block_on(connection(raw, piece, true));
            let refused = seen.refused.map(Refused::cause);
            // A refusal of the first line of a chunk's data reaches a request under way.
            let answered = case.sent.iter().any(|sent| sent.ends_with("cut"))
                || case.refused.is_none()
                || got
                    .lines()
                    .any(|line| line.starts_with("HTTP/1.1 4") || line.starts_with("HTTP/1.1 5"));
            // The parser may see enough before the line ends, on which the guard waits.
            let first = refused.is_none() && case.refused.is_some() && piece < 10;
            let right = refused == case.refused.as_deref() || first;
            if seen.sent != case.sent || !right || !answered {
                let name = &case.name;
                wrong.push(format!("{name} by {piece}: {:?} {refused:?}\n{got}", seen.sent));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_guard_is_needed_where_the_parser_lets_pass() {
    let mut wrong = Vec::new();
    for case in requests().iter().filter(|case| case.refused.is_some()) {
        let (seen, got) = runtime().block_on(connection(case.raw.as_bytes(), usize::MAX, false));
        let cut = seen.sent.iter().any(|sent| sent.ends_with(" cut"));
        let passes = !cut && !got.contains("HTTP/1.1 4");
        if passes != case.alone {
            wrong.push(format!("{}: {:?}\n{got}", case.name, seen.sent));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// An origin that sends `raw` in pieces once it got a request, and ends the connection.
async fn origin(mut stream: DuplexStream, raw: &[u8], piece: usize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    for part in raw.chunks(piece) {
        if stream.write_all(part).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

/// What a client gets of an origin that answers `raw`.
async fn exchange(case: &ResponseCase, piece: usize) -> (String, Verdict) {
    let (client, server) = duplex(1 << 16);
    let mut guard = ResponseGuard::new(BOUNDS);
    let method: Method = case.request.parse().unwrap();
    assert!(guard.await_reply(Expected { head: method == Method::HEAD, upgrade: case.upgrade }));
    let client = Guarded::new(client, Guard::Response(guard));
    let verdict = client.verdict();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    let mut request = Request::builder().method(method).uri("/").header("host", "a.example");
    if case.upgrade {
        request = request.header("connection", "upgrade").header("upgrade", "websocket");
    }
    let request = request.body(String::new()).unwrap();
    let answer = async {
        let Ok(response) = sender.send_request(request).await else { return String::new() };
        let status = response.status().as_str().to_owned();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return status;
        }
        let content = content(response.into_body()).await;
        // The connection reads on, as one that waits for its next request does.
        tokio::task::yield_now().await;
        drop(sender);
        match content {
            Ok(content) if content.is_empty() => status,
            Ok(content) => format!("{status} {content}"),
            Err(_) => format!("{status} cut"),
        }
    };
    let run = async {
        tokio::join!(answer, connection.with_upgrades(), origin(server, case.raw.as_bytes(), piece))
    };
    let (got, ..) = timeout(DEADLINE, run).await.unwrap();
    (got, verdict)
}

#[test]
fn responses_reach_the_client_as_one_reading_or_not_at_all() {
    let cases =
        toml::from_str::<Responses>(include_str!("data/proxy/responses.toml")).unwrap().case;
    assert!(cases.len() >= 30);
    let mut wrong = Vec::new();
    for case in &cases {
        for piece in [usize::MAX, 1, 7] {
            let (got, verdict) = runtime().block_on(exchange(case, piece));
            let refused = verdict.refused().map(Refused::cause);
            // The parser may see enough before the line ends, on which the guard waits.
            let first = refused.is_none() && case.refused.is_some() && piece < 10;
            if got != case.got || (refused != case.refused.as_deref() && !first) {
                wrong.push(format!("{} by {piece}: {got:?} {refused:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
