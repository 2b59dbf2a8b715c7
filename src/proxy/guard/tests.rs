//! What the guards let pass, however the octets arrive. `tests/proxy_framing.rs` holds the cases
//! that go through a parser too.

use proptest::prelude::*;

use super::*;

/// The verdict on a connection that arrives in pieces of these lengths, over and over.
fn request(octets: &[u8], pieces: &[usize]) -> Result<(), Refused> {
    let mut guard = RequestGuard::new(Bounds { head: 400, fields: 5, target: 100 }, true);
    let mut rest = octets;
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*piece).clamp(1, rest.len()));
        guard.feed(now).map_err(|fault| fault.refused)?;
        rest = later;
    }
    Ok(())
}

fn response(expected: Expected, octets: &[u8], pieces: &[usize]) -> Result<bool, Refused> {
    let mut guard = ResponseGuard::new(Bounds { head: 400, fields: 5, target: 100 });
    assert!(guard.await_reply(expected));
    let mut rest = octets;
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*piece).clamp(1, rest.len()));
        guard.feed(now).map_err(|fault| fault.refused)?;
        rest = later;
    }
    Ok(guard.may_end())
}

#[test]
fn bounds_hold_however_the_head_arrives() {
    let long = |count: usize| "x".repeat(count);
    for (case, head, expected) in [
        ("a long target", format!("GET /{} HTTP/1.1\r\n\r\n", long(99)), Ok(())),
        ("one too long", format!("GET /{} HTTP/1.1\r\n\r\n", long(100)), Err(Refused::LongTarget)),
        ("one without end", format!("GET /{}", long(400)), Err(Refused::LongTarget)),
        ("five fields", format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5)), Ok(())),
        (
            "six fields",
            format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(6)),
            Err(Refused::ManyFields),
        ),
        (
            "a long head",
            format!("GET / HTTP/1.1\r\na: {}\r\nb: {}\r\n\r\n", long(186), long(186)),
            Ok(()),
        ),
        (
            "one too long",
            format!("GET / HTTP/1.1\r\na: {}\r\nb: {}\r\n\r\n", long(188), long(188)),
            Err(Refused::LongHead),
        ),
        ("one without end", format!("GET / HTTP/1.1\r\na: {}", long(400)), Err(Refused::LongHead)),
        (
            "long trailers",
            format!("GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: {}", long(400)),
            Err(Refused::LongHead),
        ),
        (
            "a long extension",
            format!("GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;{}", long(300)),
            Err(Refused::Chunk),
        ),
    ] {
        for pieces in [&[10_000][..], &[1], &[7, 3, 50]] {
            assert_eq!(request(head.as_bytes(), pieces), expected, "{case} in {pieces:?}");
        }
    }
}

#[test]
fn what_is_sound_before_a_fault_may_pass() {
    let bounds = Bounds::default();
    for (case, octets, sound) in [
        ("a first request", "GET / HTTP/1.1\na: b", 0),
        ("a second one", "GET / HTTP/1.1\r\n\r\nGET  / HTTP/1.1\r\n", 18),
        ("its fields", "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n a: b\r\n", 18),
        ("a chunk", "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naxx\r\n", 46),
    ] {
        let fault = RequestGuard::new(bounds, false).feed(octets.as_bytes()).unwrap_err();
        assert_eq!(fault.sound, sound, "{case}: {:?}", fault.refused);
    }
}

#[test]
fn another_protocol_passes_when_it_is_due() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04";
    let mut guard = RequestGuard::new(Bounds::default(), true);
    assert_eq!(guard.feed(preface), Ok(()));
    assert_eq!(guard.feed(&[0, 255, 10]), Ok(()));
    let mut guard = RequestGuard::new(Bounds::default(), false);
    assert_eq!(guard.feed(preface).unwrap_err().refused, Refused::Version);
    let mut guard = RequestGuard::new(Bounds::default(), true);
    guard.feed(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(guard.feed(preface).unwrap_err().refused, Refused::Version, "not in between");
    let mut guard = RequestGuard::new(Bounds::default(), false);
    guard.feed(b"GET / HTTP/1.1\r\nupgrade: websocket\r\n").unwrap();
    assert!(guard.is_within_head());
    guard.feed(b"\r\n").unwrap();
    assert!(!guard.is_within_head());
    guard.release();
    assert_eq!(guard.feed(b"\x81\x05hello"), Ok(()));
}

#[test]
fn responses_end_where_they_say() {
    let any = Expected::default();
    let head = Expected { head: true, ..any };
    let upgrade = Expected { upgrade: true, ..any };
    for (case, expected, octets, verdict) in [
        ("a length", any, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", Ok(true)),
        ("one not reached", any, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na", Ok(false)),
        (
            "one passed",
            any,
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
            Err(Refused::Unasked),
        ),
        ("none", any, "HTTP/1.1 200 OK\r\n\r\nanything\n at all", Ok(true)),
        ("none for HEAD", head, "HTTP/1.1 200 OK\r\n\r\nx", Err(Refused::Unasked)),
        ("HEAD", head, "HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n", Ok(true)),
        ("no reason", any, "HTTP/1.1 304\r\ncontent-length: 9\r\n\r\n", Ok(true)),
        ("an upgrade", upgrade, "HTTP/1.1 101 X\r\n\r\n\0\x7f\n", Ok(true)),
        ("one unasked", any, "HTTP/1.1 101 X\r\n\r\n", Err(Refused::Unasked)),
        ("continue", any, "HTTP/1.1 100 \r\n\r\nHTTP/1.1 204 \r\n\r\n", Ok(true)),
        (
            "with content",
            any,
            "HTTP/1.1 204 \r\ncontent-length: 1\r\n\r\n",
            Err(Refused::NoContent),
        ),
        ("with an empty one", any, "HTTP/1.1 204 \r\ncontent-length: 0\r\n\r\n", Ok(true)),
        ("HTTP/2", any, "HTTP/2.0 200 OK\r\n\r\n", Err(Refused::Version)),
        ("a short status", any, "HTTP/1.1 20 OK\r\n\r\n", Err(Refused::StartLine)),
    ] {
        for pieces in [&[10_000][..], &[1], &[7, 3, 50]] {
            let found = response(expected, octets.as_bytes(), pieces);
            assert_eq!(found, verdict, "{case} in {pieces:?}");
        }
    }
    let mut guard = ResponseGuard::new(Bounds::default());
    assert_eq!(guard.feed(b"H").unwrap_err().refused, Refused::Unasked, "before any request");
    assert!(guard.await_reply(any) && !guard.await_reply(any), "one at a time");
    let many = "HTTP/1.1 103 \r\n\r\n".repeat(9);
    assert_eq!(response(any, many.as_bytes(), &[4000]), Err(Refused::Interim));
}

/// Octets that look like requests, and then some.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /x HTTP/1.0\r\n",
        "HTTP/1.1 200 OK\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "content-length: 3\r\n",
        "Content-Length:03\r\n",
        "transfer-encoding: chunked\r\n",
        "3\r\n",
        "0\r\n\r\n",
        "abc",
        "abc\r\n",
        "A;b=c\r\n",
        "host: a\r\n",
        ": ",
        "x",
        "\0",
        "ffffffffffffffff\r\n",
    ]);
    prop::collection::vec(word, 0..14).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_how_octets_arrive(
        octets in octets(),
        pieces in prop::collection::vec(1_usize..40, 1..6),
    ) {
        prop_assert_eq!(request(&octets, &[octets.len().max(1)]), request(&octets, &pieces));
        let whole = response(Expected::default(), &octets, &[octets.len().max(1)]);
        prop_assert_eq!(whole, response(Expected::default(), &octets, &pieces));
    }
}
