//! Tunnels through the proxy: WebSocket and other upgrades.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::spawn;
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept, client};

use crate::Front;
use crate::origin::{Talk, get};
use crate::support::meridian::Meridian;
use crate::support::wait_for;

/// A server of the WebSocket protocol that gives back what it gets.
pub(crate) fn echo(front: &Front) -> u16 {
    let listener = TcpListener::bind((front.site.address(10), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            spawn(move || {
                let Ok(mut socket) = accept(stream) else { return };
                while let Ok(message) = socket.read() {
                    let echoed = match message {
                        Message::Text(_) | Message::Binary(_) => socket.send(message),
                        _ => Ok(()),
                    };
                    if echoed.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// A reply that changes the protocol, and what follows.
pub(crate) const WEBSOCKET: &[u8] = b"HTTP/1.1 101 Changed\r\nConnection: upgrade\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Accept: wrong\r\n\r\nhello";

/// A server that answers each connection's first head with these octets, and says what it got.
pub(crate) fn raw(front: &Front, reply: &'static [u8]) -> (u16, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind((front.site.address(10), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, seen) = mpsc::channel();
    spawn(move || {
        for stream in listener.incoming() {
            let (told, mut stream) = (told.clone(), stream.unwrap());
            spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or_default() == 0 {
                        return;
                    }
                }
                let _ = stream.write_all(reply);
                let mut rest = Vec::new();
                let _ = reader.read_to_end(&mut rest);
                let _ = told.send((head, rest));
            });
        }
    });
    (port, seen)
}

pub(crate) fn fleet(front: &Front, port: u16, more: &str) {
    let address = front.site.address(10);
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n\
         [[route]]\nname = \"chat\"\npool = \"web\"\nupstream = {{ port = {port} }}\n{more}\n"
    ));
}

pub(crate) fn connect(front: &Front) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(front.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client("ws://chat.test/room?x=1", stream).unwrap().0
}

pub(crate) fn said(socket: &mut WebSocket<TcpStream>, message: Message) -> Message {
    socket.send(message).unwrap();
    socket.read().unwrap()
}

pub(crate) fn ended(meridian: &Meridian, cause: &str) -> f64 {
    let labels = ["route=\"chat\"", &format!("cause=\"{cause}\"")];
    meridian.metric("meridian_proxy_tunnels_ended_total", &labels)
}

pub(crate) fn open(meridian: &Meridian) -> f64 {
    meridian.metric("meridian_proxy_tunnels", &["route=\"chat\""])
}

#[test]
fn websockets_live_through_reloads_and_are_told_when_the_node_goes() {
    let front = Front::new("drain = \"4s\"", "");
    let port = echo(&front);
    fleet(&front, port, "");
    let meridian = front.serve();
    let mut first = connect(&front);
    let large = Message::binary(vec![7_u8; 3_000_000]);
    assert_eq!(said(&mut first, "ground".into()), Message::text("ground"));
    assert_eq!(said(&mut first, large.clone()), large);
    let mut second = connect(&front);
    let in_flight = || meridian.metric("meridian_proxy_requests_in_flight", &["pool=\"web\""]);
    wait_for("both", || (open(&meridian) == 2.0 && in_flight() == 2.0).then_some(()));
    second.close(None).unwrap();
    while second.read().is_ok() {}
    drop(second);
    // After close frames both ways it is the server that ends the connection.
    wait_for("one to end", || (ended(&meridian, "endpoint") == 1.0).then_some(()));
    assert_eq!((open(&meridian), in_flight()), (1.0, 1.0));
    for round in 1..=3 {
        fleet(&front, port, &format!("slow_start = \"{round}s\""));
        meridian.process.signal("HUP");
        wait_for("the reload", || {
            let reloads = meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]);
            (reloads >= f64::from(round)).then_some(())
        });
        assert_eq!(said(&mut first, "still".into()), Message::text("still"));
    }
    let bytes = |direction: &str| {
        let labels = ["route=\"chat\"", &format!("direction=\"{direction}\"")];
        meridian.metric("meridian_proxy_tunnel_bytes_total", &labels)
    };
    assert!(bytes("received") > 3_000_000.0 && bytes("sent") > 3_000_000.0);
    // What asks for a WebSocket keeps its time out of the times of requests.
    let times = meridian.metric("meridian_proxy_request_duration_seconds_count", &[]);
    assert_eq!(times, 2.0);
    meridian.process.signal("TERM");
    // It goes on while the node drains.
    assert_eq!(said(&mut first, "last".into()), Message::text("last"));
    let Message::Close(Some(frame)) = first.read().unwrap() else { panic!("no close frame") };
    assert_eq!(frame.code, CloseCode::Away);
}

#[test]
fn a_quiet_websocket_is_closed_and_one_that_speaks_is_not() {
    let front = Front::new("", "");
    let port = echo(&front);
    fleet(&front, port, "timeouts = { websocket = \"3s\", idle = \"200ms\" }");
    let meridian = front.serve();
    let mut busy = connect(&front);
    let mut quiet = connect(&front);
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let talking = spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(said(&mut busy, "x".into()), Message::text("x"));
        }
    });
    let Message::Close(Some(frame)) = quiet.read().unwrap() else { panic!("no close frame") };
    assert_eq!(frame.code, CloseCode::Away);
    assert_eq!((ended(&meridian, "idle"), open(&meridian)), (1.0, 1.0));
    done.store(true, Ordering::Relaxed);
    talking.join().unwrap();
}

#[test]
fn what_endpoints_say_of_an_upgrade_is_believed_only_as_far_as_it_was_asked() {
    let ask = |front: &Front, protocol: &str, more: &str| {
        let mut talk = Talk::to(front.http);
        talk.say(format!(
            "GET /room HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\n\
             Upgrade: {protocol}\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n\
             {more}",
            generate_key()
        ));
        talk
    };
    for (case, protocol, reply, status) in [
        ("a wrong accept is the client's to judge", "websocket", WEBSOCKET, 101),
        (
            "another protocol",
            "chat/2, chat/1",
            &b"HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: chat/1\r\n\r\nhello"[..],
            101,
        ),
        ("not what was asked", "chat", WEBSOCKET, 502),
        ("no protocol named", "websocket", b"HTTP/1.1 101 Ok\r\n\r\nhello", 502),
        ("octets before the reply", "websocket", b"hello\r\n\r\nHTTP/1.1 101 Ok\r\n\r\n", 502),
        (
            "a refusal",
            "websocket",
            b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            403,
        ),
        (
            "HTTP/2 below",
            "h2c",
            b"HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            502,
        ),
    ] {
        let front = Front::new("", "");
        let (port, seen) = raw(&front, reply);
        fleet(&front, port, "retry = { attempts = 1 }");
        let _meridian = front.serve();
        let mut talk = ask(&front, protocol, "");
        if status != 101 {
            assert_eq!(talk.hear().map(|reply| reply.status), Some(status), "{case}");
            continue;
        }
        let mut head = vec![0; 12];
        talk.stream.read_exact(&mut head).unwrap();
        assert_eq!(head, b"HTTP/1.1 101", "{case}");
        while !head.ends_with(b"hello") {
            let mut octet = [0];
            assert_eq!(talk.stream.read(&mut octet).unwrap(), 1, "{case}");
            head.push(octet[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.contains("connection: upgrade\r\n"), "{case}: {head}");
        if protocol == "websocket" {
            assert!(head.contains("sec-websocket-accept: wrong\r\n"), "{case}: {head}");
        }
        talk.say("GET / HTTP/9\nnot HTTP\0");
        talk.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let (head, rest) = seen.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(head.to_ascii_lowercase().contains(&format!("upgrade: {protocol}\r\n")), "{head}");
        assert_eq!(rest, b"GET / HTTP/9\nnot HTTP\0", "{case}");
    }
}

#[test]
fn a_change_that_nobody_asked_for_is_a_bad_reply_and_early_octets_are_no_request() {
    let front = Front::new("", "");
    let (port, seen) =
        raw(&front, b"HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    fleet(&front, port, "retry = { attempts = 1 }");
    let _meridian = front.serve();
    assert_eq!(get(front.http, "chat.test", "/").status, 502);
    let _ = seen.recv_timeout(Duration::from_secs(20)).unwrap();
    // With a body it cannot be asked for.
    let mut talk = Talk::to(front.http);
    talk.say(
        "POST / HTTP/1.1\r\nHost: chat.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Content-Length: 1\r\n\r\nx",
    );
    assert_eq!(talk.hear().unwrap().status, 502);
    let (head, _) = seen.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(!head.to_ascii_lowercase().contains("upgrade"), "{head}");
    // Frames before the answer: HTTP/1.1 or not, they are in nobody's order.
    let mut talk = Talk::to(front.http);
    talk.say(
        "GET / HTTP/1.1\r\nHost: chat.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\
         \u{1}\u{2}\u{3}\r\n\r\n",
    );
    assert_eq!(talk.hear().unwrap().status, 400);
    let (_, rest) = seen.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

#[test]
fn an_endpoint_that_ends_its_websocket_ends_that_of_the_client() {
    let front = Front::new("", "");
    let (port, _seen) = raw(
        &front,
        b"HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Accept: x\r\n\r\n\x81\x05he",
    );
    fleet(&front, port, "timeouts = { websocket = \"300ms\" }");
    let meridian = front.serve();
    let mut talk = Talk::to(front.http);
    talk.say(
        "GET / HTTP/1.1\r\nHost: chat.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let mut all = Vec::new();
    talk.stream.read_to_end(&mut all).unwrap();
    // In the middle of a frame no close frame can be said.
    assert!(all.ends_with(b"\r\n\r\n\x81\x05he"), "{all:?}");
    wait_for("the end", || (ended(&meridian, "idle") == 1.0).then_some(()));
}
