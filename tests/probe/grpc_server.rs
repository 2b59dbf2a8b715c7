//! A small server of gRPC health on HTTP/2, and the one of the grpcio package.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use crate::nginx::{address, free_ports};
use crate::support::process::Process;
use crate::support::{PATIENCE, poll};

/// How the small server answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// With this body and this status of the call.
    Reply(&'static [u8], &'static str),
    /// With a head alone that refuses.
    Refusal(&'static str, &'static str),
    /// With this status of HTTP and type of content.
    Other(u16, &'static str),
    /// With more than is read.
    Flood,
    /// Not at all.
    Silence,
    /// By resetting the request.
    Reset,
}

/// Starts a server that answers every request alike.
pub(crate) async fn start(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind((address(), 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    at
}

async fn serve(stream: TcpStream, answer: Answer) {
    let mut connection = server::handshake(stream).await.unwrap();
    let mut held = Vec::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        held.push(reply(&request, respond, answer));
    }
}

/// Sends the answer; what is given back is kept so that the stream stays open.
fn reply(
    request: &Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    answer: Answer,
) -> SendResponse<Bytes> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["te"], "trailers");
    let head =
        |status: u16, kind: &str| Response::builder().status(status).header("content-type", kind);
    match answer {
        Answer::Reply(body, status) => {
            let head = head(200, "application/grpc+proto").body(()).unwrap();
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data(Bytes::from_static(body), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        }
        Answer::Refusal(status, words) => {
            let head = head(200, "application/grpc");
            let head = head.header("grpc-status", status).header("grpc-message", words);
            respond.send_response(head.body(()).unwrap(), true).unwrap();
        }
        Answer::Other(status, kind) => {
            respond.send_response(head(status, kind).body(()).unwrap(), true).unwrap();
        }
        Answer::Flood => {
            let head = head(200, "application/grpc").body(()).unwrap();
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data(vec![0; 70_000].into(), true).unwrap();
        }
        Answer::Silence => {}
        Answer::Reset => respond.send_reset(h2::Reason::REFUSED_STREAM),
    }
    respond
}

/// Serves `shop.v1.Cart` as serving, `shop.v1.Search` as not, until its input ends.
const PEER: &str = "\
import sys, time
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
states = health_pb2.HealthCheckResponse
servicer = health.HealthServicer()
servicer.set('', states.SERVING)
servicer.set('shop.v1.Cart', states.SERVING)
servicer.set('shop.v1.Search', states.NOT_SERVING)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
clear, secure, chain, key = sys.argv[1:]
assert server.add_insecure_port(clear)
with open(chain, 'rb') as chain, open(key, 'rb') as key:
    credentials = grpc.ssl_server_credentials([(key.read(), chain.read())])
assert server.add_secure_port(secure, credentials)
server.start()
server.wait_for_termination()
";

/// Starts the real one, in the clear and over TLS with this certificate.
pub(crate) fn real(folder: &Path, chain: &str, key: &str) -> (Process, [SocketAddr; 2]) {
    let ports = free_ports(2);
    let [clear, secure] = [0, 1].map(|at| SocketAddr::new(address(), ports[at]));
    for (name, text) in [("peer.py", PEER), ("peer.pem", chain), ("peer.key", key)] {
        fs::write(folder.join(name), text).unwrap();
    }
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/grpc-peer/bin/python");
    let mut command = Command::new(python);
    command.arg(folder.join("peer.py")).args([clear.to_string(), secure.to_string()]);
    command.args([folder.join("peer.pem"), folder.join("peer.key")]);
    let mut process = Process::start("grpc-peer", &mut command, folder);
    let accepts = poll(PATIENCE, std::time::Duration::from_millis(10), || {
        assert!(process.ended().is_none(), "{}", process.log());
        std::net::TcpStream::connect(secure).ok()
    });
    assert!(accepts.is_some(), "{}", process.log());
    (process, [clear, secure])
}
