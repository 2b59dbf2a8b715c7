//! Tunnels over HTTP/2 (RFC 8441): many on one connection, beside requests.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::Front;
use crate::origin::Origin;
use crate::support::{PATIENCE, wait_for};
use crate::tunnels::{WEBSOCKET, echo, ended, fleet, open, raw};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// A connection of HTTP/2.
struct Client(SendRequest<String>);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

impl Client {
    /// One whose settings have been exchanged, by a request to `/plain`.
    async fn open(front: &Front) -> Self {
        let stream = TcpStream::connect(front.http).await.unwrap();
        let made = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await;
        let (requests, connection) = made.unwrap();
        tokio::spawn(connection);
        let mut client = Self(requests);
        assert_eq!(client.plain().await, 200);
        client
    }

    async fn ask(&mut self, request: Request<String>) -> Response<Incoming> {
        tokio::time::timeout(PATIENCE, self.0.send_request(request)).await.unwrap().unwrap()
    }

    async fn plain(&mut self) -> u16 {
        let request = Request::get("http://chat.test/plain").body(String::new()).unwrap();
        self.ask(request).await.status().as_u16()
    }

    /// Asks for another protocol at a path.
    async fn change(&mut self, protocol: &'static str, path: &str) -> Response<Incoming> {
        let mut request = Request::new(String::new());
        *request.method_mut() = Method::CONNECT;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = format!("http://chat.test{path}").parse().unwrap();
        request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
        request.extensions_mut().insert(Protocol::from_static(protocol));
        self.ask(request).await
    }

    async fn socket(&mut self) -> Socket {
        let reply = self.change("websocket", "/room?x=1").await;
        // RFC 8441 section 5: nothing of the handshake of HTTP/1.1 is left.
        assert_eq!(reply.status(), 200, "{reply:?}");
        let left = ["connection", "upgrade", "sec-websocket-accept"];
        assert!(left.iter().all(|name| !reply.headers().contains_key(*name)), "{reply:?}");
        let upgraded = hyper::upgrade::on(reply).await.unwrap();
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await
    }
}

async fn heard(socket: &mut Socket) -> Message {
    tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap()
}

async fn said(socket: &mut Socket, message: Message) -> Message {
    socket.send(message).await.unwrap();
    heard(socket).await
}

/// Routes to a WebSocket server, and at `/plain` to one of plain replies.
fn scene(front: &Front, port: u16, more: &str) -> Origin {
    let plain = Origin::saying(front.site.address(10), OK);
    let route = "[[route]]\npath = \"/plain\"\npool = \"web\"\nupstream = { port = ";
    fleet(front, port, &format!("{more}\n{route}{} }}", plain.address.port()));
    plain
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_share_a_connection_and_are_told_when_the_node_goes() {
    let front = Front::new("drain = \"5s\"", "");
    let port = echo(&front);
    let _plain = scene(&front, port, "timeouts = { websocket = \"10m\", idle = \"300ms\" }");
    let meridian = front.serve();
    let mut client = Client::open(&front).await;
    let mut sockets = Vec::new();
    for number in 0..5 {
        let mut socket = client.socket().await;
        let word = Message::text(format!("number {number}"));
        assert_eq!(said(&mut socket, word.clone()).await, word);
        sockets.push(socket);
    }
    wait_for("all of them", || (open(&meridian) == 5.0).then_some(()));
    // Far more than a window, while others talk and requests are answered.
    let large = Message::binary(vec![7_u8; 3_000_000]);
    sockets[0].send(large.clone()).await.unwrap();
    for socket in &mut sockets[1..] {
        assert_eq!(said(socket, "beside it".into()).await, Message::text("beside it"));
    }
    assert_eq!(client.plain().await, 200);
    assert_eq!(heard(&mut sockets[0]).await, large);
    // One that is closed leaves the others and the connection alone.
    let mut first = sockets.remove(0);
    first.close(None).await.unwrap();
    while let Some(Ok(_)) = first.next().await {}
    drop(first);
    wait_for("one to end", || (open(&meridian) == 4.0).then_some(()));
    assert_eq!(client.plain().await, 200);
    fleet(&front, port, "slow_start = \"1s\"");
    meridian.process.signal("HUP");
    wait_for("the reload", || {
        let reloads = meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]);
        (reloads >= 1.0).then_some(())
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    for socket in &mut sockets {
        assert_eq!(said(socket, "still".into()).await, Message::text("still"), "it may be quiet");
    }
    meridian.process.signal("TERM");
    for socket in &mut sockets {
        assert_eq!(said(socket, "last".into()).await, Message::text("last"), "while it drains");
    }
    for socket in &mut sockets {
        let Message::Close(Some(frame)) = heard(socket).await else { panic!("no close frame") };
        assert_eq!(frame.code, CloseCode::Away);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_websocket_opens_no_tunnel_over_http_2() {
    let front = Front::new("", "");
    // Its answer to the key is wrong, which over HTTP/2 is the proxy's to judge.
    let (port, _seen) = raw(&front, WEBSOCKET);
    let _plain = scene(&front, port, "retry = { attempts = 1 }");
    let meridian = front.serve();
    let mut client = Client::open(&front).await;
    assert_eq!(client.change("websocket", "/room").await.status(), 502);
    for protocol in ["connect-udp", "webtransport"] {
        let reply = client.change(protocol, "/room").await;
        assert!(reply.status().is_client_error(), "{protocol}: {reply:?}");
    }
    // A server that replies, and changes nothing.
    assert_eq!(client.change("websocket", "/plain").await.status(), 502);
    assert_eq!(client.plain().await, 200, "the connection goes on");
    assert_eq!((open(&meridian), ended(&meridian, "client")), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_to_endpoints_of_http_2_have_no_tunnels_and_say_so() {
    let front = Front::new("", "");
    let address = front.site.address(10);
    let plain = Origin::saying(address, OK);
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n\
         [[route]]\nname = \"chat\"\npool = \"web\"\nupstream = {{ protocol = \"http2\" }}\n\
         [[route]]\npath = \"/plain\"\npool = \"web\"\nupstream = {{ port = {} }}\n",
        plain.address.port()
    ));
    let _meridian = front.serve();
    let mut client = Client::open(&front).await;
    let reply = client.change("websocket", "/room").await;
    let cause = reply.headers().get("x-meridian-cause").unwrap();
    assert_eq!((reply.status().as_u16(), cause.to_str().unwrap()), (405, "connect"));
    assert_eq!(client.plain().await, 200, "the connection goes on");
}
