//! Calls of gRPC, and what HTTP/2 has for them: trailers both ways, and calls that are given up.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use crate::Front;
use crate::support::process::{Process, output};
use crate::support::{PATIENCE, free_address, wait_for};
use crate::upstream::fleet;

/// Serves the health of two services, what waits until its caller gives up, and an echo; and says
/// what it sees.
const SERVER: &str = "\
import sys, threading, grpc
from concurrent import futures
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
servicer = health.HealthServicer()
servicer.set('shop.v1.Cart', health_pb2.HealthCheckResponse.SERVING)
def wait(request, context):
    name = request.decode()
    left = context.time_remaining()
    print(name, 'with a deadline' if left and 0 < left < 100 else 'without one', flush=True)
    given_up = threading.Event()
    context.add_callback(given_up.set)
    given_up.wait()
    print(name, 'given up', flush=True)
    return b''
def echo(requests, context):
    for request in requests:
        yield request
    context.set_trailing_metadata((('x-end', 'yes'),))
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('shop.v1.Own', {
    'Wait': grpc.unary_unary_rpc_method_handler(wait),
    'Echo': grpc.stream_stream_rpc_method_handler(echo),
}),))
assert server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
";

/// Calls it: once, for what is not there, and as a stream.
const HEALTH: &str = "\
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1], options=[('grpc.enable_retries', 0)])
stub = health_pb2_grpc.HealthStub(channel)
ask = lambda name: health_pb2.HealthCheckRequest(service=name)
for name in ['shop.v1.Cart', 'shop.v1.Nothing']:
    try:
        print(stub.Check(ask(name), timeout=10).status)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
try:
    stream = stub.Watch(ask('shop.v1.Cart'), timeout=10)
    print('stream', next(stream).status)
    stream.cancel()
except grpc.RpcError as error:
    print('stream', error.code().name, error.details())
";

/// Talks both ways at once, has a deadline pass, and gives up a call that has reached the server;
/// then waits longer than the route does.
const CALLS: &str = "\
import queue, sys, grpc
channel = grpc.insecure_channel(sys.argv[1], options=[('grpc.enable_retries', 0)])
echo = channel.stream_stream('/shop.v1.Own/Echo')
said = queue.Queue()
call = echo(iter(said.get, None), timeout=60)
for text in [b'one', b'two', b'x' * 300000]:
    said.put(text)
    assert next(call) == text
said.put(None)
assert list(call) == []
print(call.code().name, dict(call.trailing_metadata())['x-end'])
wait = channel.unary_unary('/shop.v1.Own/Wait')
try:
    wait(b'first', timeout=1)
except grpc.RpcError as error:
    print(error.code().name)
call = wait.future(b'second')
sys.stdin.readline()
call.cancel()
print(call.code().name)
try:
    wait(b'third', metadata=(('x-short', 'yes'),))
except grpc.RpcError as error:
    print(error.code().name, error.details())
";

/// A server, and what starts a client.
fn scene(front: &Front) -> (Process, SocketAddr, impl Fn(&str) -> Command) {
    for (name, text) in [("server.py", SERVER), ("health.py", HEALTH), ("calls.py", CALLS)] {
        front.site.write(name, text);
    }
    let address = free_address(front.site.address(10).into());
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/grpc-peer/bin/python");
    let mut command = Command::new(&python);
    command.arg(front.site.path("server.py")).arg(address.to_string());
    let mut server = Process::start("grpc-server", &mut command, &front.site.path(""));
    wait_for("the server", || {
        assert!(server.ended().is_none(), "{}", server.log());
        std::net::TcpStream::connect(address).ok()
    });
    let (http, folder) = (front.http.to_string(), front.site.path(""));
    let client = move |name: &str| {
        let mut client = Command::new(&python);
        client.arg(folder.join(name)).arg(&http);
        client
    };
    (server, address, client)
}

#[test]
fn calls_go_through_with_their_trailers_and_failures_are_theirs() {
    let front = Front::new("", "");
    let (server, address, client) = scene(&front);
    let retry = "retry = { attempts = 1 }";
    fleet(&front, &[address.ip()], address.port(), "protocol = \"http2\"", retry);
    let _meridian = front.serve();
    let call = || output(&mut client("health.py"));
    assert_eq!(call(), "1\nNOT_FOUND None\nstream 1\n".replace(" None", " "));
    drop(server);
    let refused = "UNAVAILABLE connect";
    assert_eq!(call(), format!("{refused}\n{refused}\nstream {refused}\n"));
}

#[test]
fn calls_that_are_given_up_end_at_the_server_and_deadlines_reach_it() {
    let front = Front::new("", "");
    let (server, address, client) = scene(&front);
    let route = |more: &str| {
        format!(
            "[[route]]\npool = \"web\"\n{more}\n\
             upstream = {{ port = {}, protocol = \"http2\" }}\n",
            address.port()
        )
    };
    let short = route("headers = { x-short = \"yes\" }\ntimeouts = { response = \"300ms\" }");
    let long = route("timeouts = { response = \"10m\", request = \"10m\" }");
    let endpoint = format!("{{ region = \"eu\", address = \"{}\" }}", address.ip());
    front.fleet(&format!("[pool.web]\nendpoints = [{endpoint}]\n{short}{long}"));
    let meridian = front.serve();
    let mut client = client("calls.py");
    client.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut calls = client.spawn().unwrap();
    let has_said = |words: &str| {
        wait_for(words, || server.log().lines().any(|line| line == words).then_some(()));
    };
    has_said("first with a deadline");
    has_said("first given up");
    has_said("second without one");
    drop(calls.stdin.take());
    has_said("second given up");
    has_said("third given up");
    let said = String::from_utf8(calls.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(
        said,
        "OK yes\nDEADLINE_EXCEEDED\nCANCELLED\nUNAVAILABLE timeout\n",
        "{}",
        meridian.process.log()
    );
    wait_for("nothing in flight", || {
        (meridian.metric("meridian_proxy_requests_in_flight", &[]) == 0.0).then_some(())
    });
}

/// A server of HTTP/2 that gives back bodies and trailers.
async fn echo(listener: tokio::net::TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                tokio::spawn(async move {
                    let (body, trailers) = read(request.into_body()).await;
                    let mut reply = respond.send_response(Response::new(()), false).unwrap();
                    reply.send_data(body, false).unwrap();
                    reply.send_trailers(trailers.unwrap_or_default()).unwrap();
                });
            }
        });
    }
}

/// A whole body and its trailers.
async fn read(mut body: h2::RecvStream) -> (Bytes, Option<HeaderMap>) {
    let mut octets = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        octets.extend(data);
    }
    (octets.into(), body.trailers().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_go_both_ways_over_http_2() {
    let front = Front::new("", "");
    let listener = tokio::net::TcpListener::bind((front.site.address(10), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(echo(listener));
    fleet(&front, &[address.ip()], address.port(), "protocol = \"http2\"", "");
    let _meridian = front.serve();
    let stream = tokio::net::TcpStream::connect(front.http).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let long = vec![7; 50_000];
    for (body, trailer) in [(&b""[..], "none"), (b"some", "a"), (&long, "long")] {
        let ask = async {
            let request =
                Request::post("http://a.test/").header("te", "trailers").body(()).unwrap();
            let (reply, mut send) = requests.send_request(request, false).unwrap();
            send.send_data(Bytes::copy_from_slice(body), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", trailer.parse().unwrap());
            send.send_trailers(trailers).unwrap();
            let reply = reply.await.unwrap();
            assert_eq!(reply.status(), 200);
            read(reply.into_body()).await
        };
        let (echoed, trailers) = tokio::time::timeout(PATIENCE, ask).await.unwrap();
        assert_eq!(echoed, body, "{trailer}");
        assert_eq!(trailers.expect("trailers")["x-sum"], trailer);
    }
}
