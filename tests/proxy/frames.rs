//! What clients of HTTP/2 may not send, frame by frame (RFC 9113, RFC 7541), and what they may.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Front;
use crate::origin::Origin;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// One without a meaning.
const UNKNOWN: u8 = 0xbb;

// Flags.
const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;
/// A head that is a whole request.
const WHOLE: u8 = END_STREAM | END_HEADERS;

// Codes of errors.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

/// What must come of it. An error may always cost more than it must: the connection for a stream.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Stream 1 has a reply of this status.
    Reply(&'static str),
    /// A ping is answered.
    Pong,
    /// A stream is reset with one of these codes.
    Reset(&'static [u32]),
    /// The connection ends with one of these codes.
    Ends(&'static [u32]),
}

use Expected::{Ends, Pong, Reply, Reset};

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (content.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// Fields, each a literal that no table keeps (RFC 7541 section 6.2.2).
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")];

/// A request with more fields, whose head has these flags.
pub(crate) fn get(flags: u8, stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &fields(&[&GET, more].concat()))
}

/// A POST without its body.
pub(crate) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let mut all = GET;
    all[0].1 = "POST";
    frame(HEADERS, END_HEADERS, stream, &fields(&[&all, more].concat()))
}

/// A request of these fields alone.
fn only(all: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &fields(all))
}

/// A whole request with other octets behind or instead of its fields.
fn block(before: &[u8], after: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[before, &fields(&GET), after].concat())
}

pub(crate) fn setting(number: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&number.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A ping, by whose answer it is seen that the connection goes on.
fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"pingpong")
}

type Case = (&'static str, Vec<Vec<u8>>, Expected);

fn framing() -> Vec<Case> {
    vec![
        ("a request", vec![get(WHOLE, 1, &[])], Reply("200")),
        ("a frame without a meaning", vec![frame(UNKNOWN, 0, 0, b"x"), ping()], Pong),
        ("flags without a meaning", vec![frame(PING, 0x16, 0, b"pingpong")], Pong),
        ("the reserved bit", vec![frame(PING, 0, 1 << 31, b"pingpong")], Pong),
        ("a long DATA", vec![post(1, &[]), frame(DATA, 1, 1, &[0; 16_385])], Reset(&[6])),
        ("long HEADERS", vec![frame(HEADERS, WHOLE, 1, &[0; 16_385])], Ends(&[FRAME_SIZE_ERROR])),
        (
            "another frame within a head",
            vec![get(END_STREAM, 1, &[]), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])],
            Ends(&[PROTOCOL_ERROR]),
        ),
        (
            "another stream's head within a head",
            vec![get(END_STREAM, 1, &[]), get(WHOLE, 3, &[])],
            Ends(&[PROTOCOL_ERROR]),
        ),
        (
            "a frame without a meaning within a head",
            vec![get(END_STREAM, 1, &[]), frame(UNKNOWN, 0, 0, b"x")],
            Ends(&[PROTOCOL_ERROR]),
        ),
        (
            "a head in three parts",
            vec![
                get(END_STREAM, 1, &[]),
                frame(CONTINUATION, 0, 1, &fields(&[("x-a", "1")])),
                frame(CONTINUATION, END_HEADERS, 1, &fields(&[("x-b", "2")])),
            ],
            Reply("200"),
        ),
        (
            "a part of a head behind its end",
            vec![get(WHOLE, 1, &[]), frame(CONTINUATION, END_HEADERS, 1, &fields(&[("x", "1")]))],
            Ends(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        ("DATA on no stream", vec![frame(DATA, 1, 0, b"x")], Ends(&[PROTOCOL_ERROR])),
        ("HEADERS on no stream", vec![get(WHOLE, 0, &[])], Ends(&[PROTOCOL_ERROR])),
        ("PRIORITY on no stream", vec![frame(PRIORITY, 0, 0, &[0; 5])], Ends(&[PROTOCOL_ERROR])),
        ("RST_STREAM on no stream", vec![frame(RST_STREAM, 0, 0, &[0; 4])], Ends(&[1])),
        ("SETTINGS on a stream", vec![frame(SETTINGS, 0, 1, &[])], Ends(&[PROTOCOL_ERROR])),
        ("PING on a stream", vec![frame(PING, 0, 1, &[0; 8])], Ends(&[PROTOCOL_ERROR])),
        ("GOAWAY on a stream", vec![frame(GOAWAY, 0, 1, &[0; 8])], Ends(&[PROTOCOL_ERROR])),
        ("CONTINUATION on no stream", vec![frame(CONTINUATION, 4, 0, &[])], Ends(&[1])),
        ("a short PRIORITY", vec![frame(PRIORITY, 0, 1, &[0; 4])], Reset(&[FRAME_SIZE_ERROR])),
        (
            "a short RST_STREAM",
            vec![get(END_HEADERS, 1, &[]), frame(RST_STREAM, 0, 1, &[0; 3])],
            Ends(&[FRAME_SIZE_ERROR]),
        ),
        ("short SETTINGS", vec![frame(SETTINGS, 0, 0, &[0; 3])], Ends(&[FRAME_SIZE_ERROR])),
        ("SETTINGS that acknowledge more", vec![frame(SETTINGS, ACK, 0, &[0])], Ends(&[6])),
        ("a short PING", vec![frame(PING, 0, 0, &[0; 6])], Ends(&[FRAME_SIZE_ERROR])),
        ("a short WINDOW_UPDATE", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])], Ends(&[6])),
        (
            "padding longer than DATA",
            vec![post(1, &[]), frame(DATA, END_STREAM | PADDED, 1, &[9, b'x'])],
            Ends(&[PROTOCOL_ERROR]),
        ),
        (
            "padding longer than HEADERS",
            vec![frame(HEADERS, WHOLE | PADDED, 1, &[200, 0])],
            Ends(&[PROTOCOL_ERROR]),
        ),
        ("a push by a client", vec![frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2])], Ends(&[1])),
    ]
}

fn streams() -> Vec<Case> {
    let open: Vec<Vec<u8>> = (0..102).map(|at| post(at * 2 + 1, &[])).collect();
    let none = [0; 4];
    vec![
        ("DATA on an idle stream", vec![frame(DATA, 1, 1, b"x")], Ends(&[PROTOCOL_ERROR])),
        ("RST_STREAM on an idle one", vec![frame(RST_STREAM, 0, 1, &none)], Ends(&[1])),
        (
            "WINDOW_UPDATE on an idle one",
            vec![frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9])],
            Ends(&[1]),
        ),
        ("CONTINUATION on an idle one", vec![frame(CONTINUATION, 4, 1, &[])], Ends(&[1])),
        (
            "DATA behind the end",
            vec![get(WHOLE, 1, &[]), frame(DATA, END_STREAM, 1, b"x")],
            Reset(&[STREAM_CLOSED]),
        ),
        ("a head behind the end", vec![get(WHOLE, 1, &[]), get(WHOLE, 1, &[])], Reset(&[5])),
        ("a stream of the server", vec![get(WHOLE, 2, &[])], Ends(&[PROTOCOL_ERROR])),
        ("an older stream", vec![get(WHOLE, 5, &[]), get(WHOLE, 3, &[])], Ends(&[1, 5])),
        ("too many streams", open, Reset(&[PROTOCOL_ERROR, REFUSED_STREAM])),
        (
            "a stream that depends on itself",
            vec![frame(
                HEADERS,
                WHOLE | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 1, 9][..], &fields(&GET)].concat(),
            )],
            Reset(&[PROTOCOL_ERROR]),
        ),
        (
            "a second head that is not the end",
            vec![post(1, &[]), frame(HEADERS, END_HEADERS, 1, &fields(&[("x", "1")]))],
            Reset(&[PROTOCOL_ERROR]),
        ),
        ("a window that does not grow", vec![frame(WINDOW_UPDATE, 0, 0, &none)], Ends(&[1])),
        (
            "that of a stream",
            vec![post(1, &[]), frame(WINDOW_UPDATE, 0, 1, &none)],
            Reset(&[PROTOCOL_ERROR]),
        ),
        (
            "a window beyond all",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])],
            Ends(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "that of a stream beyond all",
            vec![post(1, &[]), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])],
            Reset(&[FLOW_CONTROL_ERROR]),
        ),
        ("a setting without a meaning", vec![setting(0xff, 1), ping()], Pong),
        ("a push that is 2", vec![setting(2, 2)], Ends(&[PROTOCOL_ERROR])),
        ("a first window beyond all", vec![setting(4, 1 << 31)], Ends(&[FLOW_CONTROL_ERROR])),
        ("frames too short", vec![setting(5, 16_383)], Ends(&[PROTOCOL_ERROR])),
        ("frames too long", vec![setting(5, 1 << 24)], Ends(&[PROTOCOL_ERROR])),
    ]
}

fn heads() -> Vec<Case> {
    let without = |name: &str| -> Vec<u8> {
        let left: Vec<_> = GET.into_iter().filter(|(own, _)| *own != name).collect();
        only(&left)
    };
    let length = |value: &'static str| post(1, &[("content-length", value)]);
    let malformed = Reset(&[PROTOCOL_ERROR]);
    vec![
        ("a name in capitals", vec![get(WHOLE, 1, &[("X-A", "1")])], malformed),
        ("an unknown pseudo-header", vec![get(WHOLE, 1, &[(":x", "1")])], malformed),
        ("one of replies", vec![get(WHOLE, 1, &[(":status", "200")])], malformed),
        ("one behind fields", vec![only(&[GET[0], GET[1], GET[2], ("x", "1"), GET[3]])], malformed),
        (
            // The library leaves it out, and no endpoint sees it.
            "one in trailers",
            vec![post(1, &[]), frame(HEADERS, WHOLE, 1, &fields(&[(":path", "/x")]))],
            Reply("200"),
        ),
        ("a field of connections", vec![get(WHOLE, 1, &[("connection", "close")])], malformed),
        ("a coding", vec![get(WHOLE, 1, &[("te", "gzip")])], malformed),
        ("trailers", vec![get(WHOLE, 1, &[("te", "trailers")])], Reply("200")),
        ("no path", vec![without(":path")], malformed),
        ("no method", vec![without(":method")], malformed),
        ("no scheme", vec![without(":scheme")], malformed),
        ("an empty path", vec![only(&[GET[0], GET[1], (":path", ""), GET[3]])], malformed),
        ("two methods", vec![only(&[GET[0], GET[0], GET[1], GET[2], GET[3]])], malformed),
        ("two paths", vec![only(&[GET[0], GET[1], GET[2], GET[2], GET[3]])], malformed),
        ("two schemes", vec![only(&[GET[0], GET[1], GET[1], GET[2], GET[3]])], malformed),
        ("more than the length", vec![length("1"), frame(DATA, END_STREAM, 1, b"xx")], malformed),
        ("less than it", vec![length("3"), frame(DATA, END_STREAM, 1, b"xx")], malformed),
        (
            "more in two parts",
            vec![length("3"), frame(DATA, 0, 1, b"xx"), frame(DATA, END_STREAM, 1, b"xx")],
            malformed,
        ),
        ("a field of no table", vec![block(&[], &[0xc6])], Ends(&[COMPRESSION_ERROR])),
        ("the field 0", vec![block(&[], &[0x80])], Ends(&[COMPRESSION_ERROR])),
        ("a table too large", vec![block(&[0x3f, 0xff, 0xff, 0x03], &[])], Ends(&[9])),
        ("a table that changes late", vec![block(&[], &[0x20])], Ends(&[COMPRESSION_ERROR])),
        ("half a field", vec![block(&[], &[0, 9, b'x'])], Ends(&[COMPRESSION_ERROR])),
        (
            "the end of Huffman's code",
            vec![block(&[], &[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff])],
            Ends(&[COMPRESSION_ERROR]),
        ),
        (
            "its padding too long",
            vec![block(&[], &[0, 1, b'x', 0x82, 0x1f, 0xff])],
            Ends(&[COMPRESSION_ERROR]),
        ),
        ("its padding of zeros", vec![block(&[], &[0, 1, b'x', 0x81, 0x18])], Ends(&[9])),
    ]
}

/// One frame, or `None` when the connection has ended.
fn next(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut content = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut content).ok()?;
    Some((kind, flags, u32::from_be_bytes(id) & !(1 << 31), content))
}

/// Sends frames behind the preface, and says whether what comes is what must.
fn holds(at: SocketAddr, frames: &[Vec<u8>], expected: Expected) -> Result<(), String> {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    for frame in frames {
        // It may have been closed already.
        let _ = stream.write_all(frame);
    }
    let code = |content: &[u8], at: usize| {
        u32::from_be_bytes(content[at..at + 4].try_into().expect("a code"))
    };
    let mut seen = Vec::new();
    loop {
        let Some((kind, flags, id, content)) = next(&mut stream) else {
            let ended = stream.read(&mut [0]).is_ok_and(|length| length == 0);
            let may = matches!(expected, Reset(_) | Ends(_)) && ended;
            return if may { Ok(()) } else { Err(format!("the end, after {seen:?}")) };
        };
        let found = match (expected, kind) {
            (Reply(status), HEADERS) if id == 1 => {
                // `:status` 200 is the field 8 of the static table.
                Some(content[0] == 0x88 && status == "200")
            }
            (Pong, PING) => Some(flags & ACK != 0 && content == b"pingpong"),
            (Reset(codes), RST_STREAM) => Some(codes.contains(&code(&content, 0))),
            (Reset(codes) | Ends(codes), GOAWAY) => {
                // The library is that general about most faults (RFC 9113 section 7).
                Some([codes, &[PROTOCOL_ERROR]].concat().contains(&code(&content, 4)))
            }
            (Reply(_) | Pong, RST_STREAM | GOAWAY) => Some(false),
            _ => None,
        };
        seen.push((kind, flags, id, content));
        match found {
            Some(true) => return Ok(()),
            Some(false) => return Err(format!("{:?}", seen.last())),
            None => {}
        }
    }
}

#[test]
fn frames_are_taken_or_refused_as_the_rfcs_say() {
    let front = Front::new("", "");
    let origin = Origin::saying(front.site.address(10), OK);
    let (address, port) = (front.site.address(10), origin.address.port());
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n\
         [[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\n"
    ));
    let _meridian = front.serve();
    let mut wrong = Vec::new();
    for (case, frames, expected) in [framing(), streams(), heads()].concat() {
        if let Err(what) = holds(front.http, &frames, expected) {
            wrong.push(format!("{case}: {what} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let asked = origin.asked();
    let plain = |body: &[u8]| body.is_empty() || !body.windows(2).any(|part| part == b"/x");
    assert!(asked.iter().all(|asked| asked.head.contains(" / HTTP/1.1") && plain(&asked.body)));
    // No preface, no HTTP/2.
    let mut stream = TcpStream::connect(front.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX").unwrap();
    while let Some((kind, ..)) = next(&mut stream) {
        assert!(kind == GOAWAY || kind == SETTINGS);
    }
}
