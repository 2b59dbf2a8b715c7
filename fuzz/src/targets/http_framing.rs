//! Any octets where HTTP/1 messages are expected: the guards' verdict does not depend on how they
//! arrive, and what passes is framed in one way.

use meridian::proxy::guard::{Bounds, Expected, Fault, RequestGuard, ResponseGuard};
use meridian::proxy::refused::Refused;

const BOUNDS: Bounds = Bounds { head: 300, fields: 8, target: 80 };

/// The first octet says how long the pieces are; the rest comes over a connection.
pub fn run(input: &[u8]) {
    let Some((piece, octets)) = input.split_first() else { return };
    let piece = usize::from(*piece) + 1;
    let whole = RequestGuard::new(BOUNDS, false).feed(octets);
    let mut guard = RequestGuard::new(BOUNDS, false);
    let pieces = octets.chunks(piece).try_for_each(|part| guard.feed(part));
    compare(whole, pieces, octets.len());
    let heads = first_head(octets);
    if let (Ok(()), Some(head)) = (whole, heads) {
        check(head);
    }
    for head in [false, true] {
        let guard = || {
            let mut guard = ResponseGuard::new(BOUNDS);
            assert!(guard.await_reply(Expected { head, upgrade: head }));
            guard
        };
        let whole = guard().feed(octets);
        let mut guard = guard();
        let pieces = octets.chunks(piece).try_for_each(|part| guard.feed(part));
        compare(whole, pieces, octets.len());
    }
}

fn compare(whole: Result<(), Fault>, pieces: Result<(), Fault>, length: usize) {
    let why = |result: Result<(), Fault>| result.map_err(|fault| fault.refused);
    assert_eq!(why(whole), why(pieces));
    if let Err(fault) = whole {
        assert!(fault.sound <= length && Refused::ALL.contains(&fault.refused), "{fault:?}");
    }
}

/// The head that octets begin with, up to its empty line.
fn first_head(octets: &[u8]) -> Option<&[u8]> {
    let octets = octets.strip_prefix(b"\r\n").unwrap_or(octets);
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
    octets.get(..end)
}

/// Looks at a head that has passed with the plainest means.
fn check(head: &[u8]) {
    assert!(head.len() <= BOUNDS.head);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let lines: Vec<&str> = head.split("\r\n").collect();
    assert!(lines.len() <= BOUNDS.fields + 1 && lines[0].split(' ').count() == 3, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(['\r', '\n', '\0'])), "{lines:?}");
    let values = |name: &str| -> Vec<&str> {
        let fields = lines[1..].iter().map(|line| line.split_once(':').expect("a colon"));
        fields.filter(|field| field.0 == name).map(|(_, value)| value.trim()).collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "{lines:?}");
    assert!(lengths.iter().all(|length| length.bytes().all(|octet| octet.is_ascii_digit())));
    assert!(codings.iter().all(|coding| *coding == "chunked"), "{lines:?}");
}
