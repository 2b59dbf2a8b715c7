//! Frames of HTTP/2 as they are on the wire: what the listener makes of wrong ones, and of floods.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Front;
use crate::origin::{Origin, get};
use crate::support::wait_for;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// `GET / HTTP/2` for `a.test`, by the static table alone (RFC 7541 appendix A).
const GET: &[u8] = b"\x82\x86\x84\x41\x06a.test";
/// The same with a body to come.
const POST: &[u8] = b"\x83\x86\x84\x41\x06a.test";

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = (content.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), content].concat()
}

fn get_on(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, GET)
}

/// A head of these fields behind that of a GET.
fn head(more: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &[GET, more].concat())
}

fn post() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, POST)
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// A reply on this stream.
    Reply,
    /// The stream was reset.
    Reset(u32),
    /// The connection ended, with this code where it says so.
    Gone(Option<u32>),
    /// A ping came back.
    Pong,
}

/// A client after its preface and settings.
fn client(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    stream
}

/// The first thing of note that comes back.
fn outcome(stream: &mut TcpStream) -> Outcome {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            return Outcome::Gone(None);
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut content = vec![0; length];
        if stream.read_exact(&mut content).is_err() {
            return Outcome::Gone(None);
        }
        let word = |at: usize| u32::from_be_bytes(content[at..at + 4].try_into().unwrap());
        match head[3] {
            HEADERS => return Outcome::Reply,
            RESET => return Outcome::Reset(word(0)),
            GOAWAY => return Outcome::Gone(Some(word(4))),
            PING if head[4] == 1 && content == *b"opaque!!" => return Outcome::Pong,
            _ => {}
        }
    }
}

fn front() -> (Front, Origin) {
    let front = Front::new("limits = { header_size = \"16KiB\" }", "");
    let origin = Origin::saying(front.site.address(10), OK);
    let (address, port) = (front.site.address(10), origin.address.port());
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n\
         [[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\n"
    ));
    (front, origin)
}

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

/// A case: what is sent, and what RFC 9113 and 7541 allow: a reply or a pong (0), or an error of
/// these codes, of the stream or the connection.
type Case = (&'static str, Vec<u8>, Vec<u32>);

/// What must be taken.
fn sound() -> Vec<Case> {
    let ping = |flags, stream, content: &[u8]| frame(PING, flags, stream, content);
    let settings = |content: &[u8]| frame(SETTINGS, 0, 0, content);
    vec![
        ("a request", get_on(1), vec![0]),
        (
            "a request with padding",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS | PADDED,
                1,
                &[&[2][..], GET, &[0, 0]].concat(),
            ),
            vec![0],
        ),
        (
            "a head in two frames",
            [
                frame(HEADERS, END_STREAM, 1, &GET[..4]),
                frame(CONTINUATION, END_HEADERS, 1, &GET[4..]),
            ]
            .concat(),
            vec![0],
        ),
        (
            "a body with padding",
            [post(), frame(DATA, END_STREAM | PADDED, 1, &[1, b'x', 0])].concat(),
            vec![0],
        ),
        (
            "a priority before a request",
            [frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), get_on(1)].concat(),
            vec![0],
        ),
        ("a ping", ping(0, 0, b"opaque!!"), vec![0]),
        ("a frame of an unknown kind", [frame(0x77, 0, 0, b"x"), get_on(1)].concat(), vec![0]),
        ("unknown flags", ping(0xfe, 0, b"opaque!!"), vec![0]),
        ("an unknown setting", [settings(&[0, 0x77, 0, 0, 0, 1]), get_on(1)].concat(), vec![0]),
        ("Huffman and an indexed name", head(b"\x04\x84\x60\x75\x99\x8f"), vec![0, PROTOCOL]),
        ("a larger table first", [settings(&[0, 1, 0, 0, 0x20, 0]), get_on(1)].concat(), vec![0]),
    ]
}

/// Frames where they must not be.
fn misplaced() -> Vec<Case> {
    let ping = |flags, stream, content: &[u8]| frame(PING, flags, stream, content);
    vec![
        ("data on stream 0", frame(DATA, 0, 0, b"x"), vec![PROTOCOL]),
        ("a head on stream 0", frame(HEADERS, END_STREAM | END_HEADERS, 0, GET), vec![PROTOCOL]),
        ("a head on an even stream", get_on(2), vec![PROTOCOL]),
        ("a stream that is lower", [get_on(5), get_on(3)].concat(), vec![0, PROTOCOL, CLOSED]),
        ("data on an idle stream", frame(DATA, END_STREAM, 1, b"x"), vec![PROTOCOL, CLOSED]),
        ("a reset of an idle stream", frame(RESET, 0, 1, &[0, 0, 0, 8]), vec![PROTOCOL]),
        ("a window for an idle stream", frame(WINDOW, 0, 1, &[0, 0, 0, 8]), vec![PROTOCOL]),
        ("a continuation without a head", frame(CONTINUATION, END_HEADERS, 1, GET), vec![PROTOCOL]),
        (
            "another frame within a head",
            [frame(HEADERS, END_STREAM, 1, &GET[..4]), ping(0, 0, b"12345678")].concat(),
            vec![PROTOCOL],
        ),
        (
            "a continuation of another stream",
            [
                frame(HEADERS, END_STREAM, 1, &GET[..4]),
                frame(CONTINUATION, END_HEADERS, 3, &GET[4..]),
            ]
            .concat(),
            vec![PROTOCOL],
        ),
        (
            "padding longer than its frame",
            frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &[&[200][..], GET].concat()),
            vec![PROTOCOL],
        ),
        (
            "data longer than it may be",
            [post(), frame(DATA, 0, 1, &b"x".repeat(17_000))].concat(),
            vec![SIZE],
        ),
        (
            "a head longer than a frame",
            frame(HEADERS, END_HEADERS, 1, &b"\0".repeat(17_000)),
            vec![SIZE],
        ),
    ]
}

/// Frames of wrong lengths and values.
fn malformed() -> Vec<Case> {
    let ping = |flags, stream, content: &[u8]| frame(PING, flags, stream, content);
    let settings = |content: &[u8]| frame(SETTINGS, 0, 0, content);
    vec![
        ("a short ping", ping(0, 0, b"1234"), vec![SIZE]),
        ("a ping on a stream", ping(0, 1, b"12345678"), vec![PROTOCOL]),
        ("a short reset", [post(), frame(RESET, 0, 1, &[0])].concat(), vec![SIZE]),
        ("a reset of stream 0", frame(RESET, 0, 0, &[0, 0, 0, 8]), vec![PROTOCOL]),
        ("a short priority", frame(PRIORITY, 0, 1, &[0]), vec![SIZE]),
        ("settings on a stream", frame(SETTINGS, 0, 1, &[]), vec![PROTOCOL]),
        ("settings of an odd length", settings(&[0, 1, 0]), vec![SIZE]),
        ("an answer to settings with content", frame(SETTINGS, 1, 0, &[0; 6]), vec![SIZE]),
        ("a push setting of 2", settings(&[0, 2, 0, 0, 0, 2]), vec![PROTOCOL]),
        ("a window setting that is too large", settings(&[0, 4, 0x80, 0, 0, 0]), vec![FLOW]),
        ("a frame size that is too small", settings(&[0, 5, 0, 0, 0, 1]), vec![PROTOCOL]),
        ("a frame size that is too large", settings(&[0, 5, 1, 0, 0, 0]), vec![PROTOCOL]),
        ("a push of a client", frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]), vec![PROTOCOL]),
        ("a window of 0", frame(WINDOW, 0, 0, &[0; 4]), vec![PROTOCOL]),
        ("a short window", frame(WINDOW, 0, 0, &[0; 3]), vec![SIZE]),
        (
            "a window that overflows",
            frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
            vec![FLOW],
        ),
        ("a farewell on a stream", frame(GOAWAY, 0, 1, &[0; 8]), vec![PROTOCOL]),
    ]
}

/// Fields that no request has.
fn unsound_heads() -> Vec<Case> {
    let block = |content: &[u8]| frame(HEADERS, END_STREAM | END_HEADERS, 1, content);
    vec![
        ("a name in upper case", head(b"\x00\x01X\x01y"), vec![PROTOCOL]),
        ("a pseudo field that is unknown", head(b"\x00\x02:x\x01y"), vec![PROTOCOL]),
        ("a pseudo field of replies", head(b"\x88"), vec![PROTOCOL]),
        ("a pseudo field behind others", block(b"\x82\x86\x00\x01x\x01y\x84"), vec![PROTOCOL]),
        ("two methods", block(b"\x82\x82\x86\x84\x41\x06a.test"), vec![PROTOCOL]),
        ("two paths", head(b"\x84"), vec![PROTOCOL]),
        ("no method", block(b"\x86\x84\x41\x06a.test"), vec![PROTOCOL]),
        ("no path", block(b"\x82\x86\x41\x06a.test"), vec![PROTOCOL]),
        ("an empty path", block(b"\x82\x86\x44\x00\x41\x06a.test"), vec![PROTOCOL]),
        ("a field of the connection", head(b"\x00\x0aconnection\x05close"), vec![PROTOCOL]),
        ("te of something else", head(b"\x00\x02te\x04gzip"), vec![PROTOCOL]),
        (
            "a length that is too long",
            [
                frame(HEADERS, END_HEADERS, 1, &[POST, b"\x0f\x0d\x011"].concat()),
                frame(DATA, END_STREAM, 1, b"xx"),
            ]
            .concat(),
            vec![PROTOCOL],
        ),
        (
            "a length that is too short",
            [
                frame(HEADERS, END_HEADERS, 1, &[POST, b"\x0f\x0d\x013"].concat()),
                frame(DATA, END_STREAM, 1, b"xx"),
            ]
            .concat(),
            vec![PROTOCOL],
        ),
    ]
}

/// What cannot be decompressed.
fn undecodable() -> Vec<Case> {
    let block = |content: &[u8]| frame(HEADERS, END_STREAM | END_HEADERS, 1, content);
    vec![
        ("index 0", block(&[0x80]), vec![COMPRESSION]),
        ("an index beyond the tables", block(&[0xff, 0xff, 0x03]), vec![COMPRESSION]),
        (
            "a table size behind a field",
            block(b"\x82\x86\x84\x20\x41\x06a.test"),
            vec![COMPRESSION],
        ),
        ("a table larger than allowed", block(b"\x3f\xe1\xff\x03\x82"), vec![COMPRESSION]),
        (
            "Huffman padding of more than 7 bits",
            head(b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
            vec![COMPRESSION],
        ),
        (
            "Huffman padding of zeros",
            head(b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"),
            vec![COMPRESSION],
        ),
        (
            "a Huffman end of string",
            head(b"\x00\x85\xf2\xb2\x4a\x84\xff\x88\x49\x51\xff\xff\xff\xfa\x7f\xff"),
            vec![COMPRESSION],
        ),
        ("a string cut off", block(b"\x82\x86\x84\x41\x0fa.te"), vec![COMPRESSION]),
    ]
}

#[test]
fn wrong_frames_end_their_stream_or_connection_and_nothing_else() {
    let (front, _origin) = front();
    let _meridian = front.serve();
    let mut wrong = Vec::new();
    for (case, octets, allowed) in
        [sound(), misplaced(), malformed(), unsound_heads(), undecodable()].concat()
    {
        let mut stream = client(front.http);
        stream.write_all(&octets).unwrap();
        let came = outcome(&mut stream);
        let sound = match came {
            Outcome::Reply | Outcome::Pong => allowed.contains(&0),
            // The library says PROTOCOL_ERROR for what has codes of its own, too.
            Outcome::Reset(code) | Outcome::Gone(Some(code)) => {
                allowed.contains(&code) || code == PROTOCOL && !allowed.contains(&0)
            }
            // RFC 9113 section 5.4.1 lets an endpoint end a connection without a word.
            Outcome::Gone(None) => !allowed.contains(&0),
        };
        if !sound {
            wrong.push((case, came, allowed));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(get(front.http, "a.test", "/").status, 200);
}

/// A flood: what it begins with, and what comes in each round.
type Flood<'a> = (&'a str, Vec<u8>, Box<dyn Fn(u32) -> Vec<u8> + 'a>);

#[test]
fn floods_end_their_connection_and_others_are_served() {
    let (front, _origin) = front();
    let meridian = front.serve();
    let taken_back = |from: u32| {
        let one = |at: u32| {
            let stream = from + 2 * at;
            [get_on(stream), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()
        };
        (0..500).flat_map(one).collect::<Vec<u8>>()
    };
    let spoiled = |from: u32| {
        // Each makes the server itself reset a stream: a window of nothing.
        let one = |at: u32| {
            let stream = from + 2 * at;
            let open = frame(HEADERS, END_HEADERS, stream, POST);
            [open, frame(WINDOW, 0, stream, &[0; 4])].concat()
        };
        (0..500).flat_map(one).collect::<Vec<u8>>()
    };
    let post = post();
    let begun = frame(HEADERS, END_STREAM, 1, GET);
    let floods: Vec<Flood<'_>> = vec![
        ("rapid resets", Vec::new(), Box::new(move |round| taken_back(1 + round * 1_000))),
        ("resets by the server", Vec::new(), Box::new(move |round| spoiled(1 + round * 1_000))),
        ("pings", Vec::new(), Box::new(|_| frame(PING, 0, 0, b"12345678").repeat(500))),
        ("settings", Vec::new(), Box::new(|_| frame(SETTINGS, 0, 0, &[]).repeat(500))),
        (
            "priorities",
            Vec::new(),
            Box::new(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]).repeat(500)),
        ),
        ("empty data", post, Box::new(|_| frame(DATA, 0, 1, &[]).repeat(500))),
        ("continuations", begun.clone(), Box::new(|_| frame(CONTINUATION, 0, 1, &[]).repeat(500))),
        (
            "a head without end",
            begun,
            Box::new(|_| frame(CONTINUATION, 0, 1, &b"\x00\x01x\x01y".repeat(2_000))),
        ),
    ];
    for (case, first, more) in floods {
        let mut stream = client(front.http);
        stream.write_all(&first).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let begun = Instant::now();
        let ended = (0..1_000).find(|round| stream.write_all(&more(*round)).is_err());
        assert!(ended.is_some() && begun.elapsed() < Duration::from_secs(15), "{case}");
        let _ = stream.shutdown(Shutdown::Both);
        let _ = reading.join();
        assert_eq!(get(front.http, "a.test", "/").status, 200, "{case}");
    }
    wait_for("the endpoint to be left alone", || {
        let in_flight = meridian.metric("meridian_proxy_requests_in_flight", &["pool=\"web\""]);
        (in_flight == 0.0).then_some(())
    });
    let closed = meridian.metric("meridian_proxy_connections_closed_total", &["reason=\"flood\""]);
    assert!(closed >= 3.0, "{closed}");
}
