//! Reads the records of a message, with all names uncompressed.

use crate::dns::wire::{CLASS_IN, Frame, HEADER, skip_name};
use crate::name::{LABEL_MAX, NAME_MAX};

/// A piece of RDATA that may hold compressed names.
#[derive(Clone, Copy)]
enum Piece {
    /// So many octets.
    Fixed(usize),
    /// A name.
    Name,
    /// A length and so many octets.
    Text,
    /// All that is left.
    Rest,
}

/// A record with all names uncompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// In lower case.
    pub owner: Vec<u8>,
    pub rtype: u16,
    /// At most 2^31 - 1, beyond which it counts as 0 (RFC 2181 section 8).
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

/// The header fields of a reply that matter here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub id: u16,
    pub is_reply: bool,
    pub opcode: u8,
    pub rcode: u8,
    pub is_truncated: bool,
}

/// Reads the header.
pub(super) fn head(message: &[u8]) -> Option<Head> {
    let [i0, i1, high, low, ..] = *message.first_chunk::<HEADER>()?;
    Some(Head {
        id: u16::from_be_bytes([i0, i1]),
        is_reply: high & 0x80 != 0,
        opcode: high >> 3 & 0xf,
        rcode: low & 0xf,
        is_truncated: high & 0x02 != 0,
    })
}

/// Calls `take` with each record of the answer section, until it says `false`; `None`: the message
/// is malformed, or holds a record of another class.
pub(super) fn answers(message: &[u8], mut take: impl FnMut(Read) -> bool) -> Option<()> {
    let [_, _, _, _, q0, q1, a0, a1, ..] = *message.first_chunk::<HEADER>()?;
    let mut at = HEADER;
    for _ in 0..u16::from_be_bytes([q0, q1]) {
        at = skip_name(message, at)? + 4;
    }
    for _ in 0..u16::from_be_bytes([a0, a1]) {
        let frame = Frame::read(message, at)?;
        if frame.class != CLASS_IN {
            return None;
        }
        let mut owner = Vec::new();
        name(message, at, &mut owner)?;
        owner.make_ascii_lowercase();
        let start = frame.end - frame.rdata.len();
        let rdata = rdata(message, frame.rtype, start, frame.end)?;
        let ttl = if frame.ttl > i32::MAX as u32 { 0 } else { frame.ttl };
        at = frame.end;
        if !take(Read { owner, rtype: frame.rtype, ttl, rdata }) {
            break;
        }
    }
    Some(())
}

/// Appends the name at `at`, following compression pointers, each of which leads further back
/// (RFC 1035 section 4.1.4), and gives where it ends in its place.
fn name(message: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let (begin, mut end, mut before) = (out.len(), None, at);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => {
                out.push(0);
                return Some(end.unwrap_or(at + 1));
            }
            0xc0.. => {
                let target = u16::from_be_bytes([length & 0x3f, *message.get(at + 1)?]);
                let target = usize::from(target);
                end = end.or(Some(at + 2));
                if target >= before {
                    return None;
                }
                (at, before) = (target, target);
            }
            _ if usize::from(length) <= LABEL_MAX => {
                let next = at + 1 + usize::from(length);
                out.extend_from_slice(message.get(at..next)?);
                at = next;
                if out.len() - begin >= NAME_MAX {
                    return None;
                }
            }
            _ => return None,
        }
    }
}

/// The types whose RDATA may hold compressed names (RFC 3597 section 4), and those that an answer
/// relies on the form of.
fn pieces(rtype: u16) -> &'static [Piece] {
    use Piece::{Fixed, Name, Rest, Text};
    match rtype {
        1 => &[Fixed(4)],
        28 => &[Fixed(16)],
        2..=5 | 7..=9 | 12 | 39 => &[Name],
        6 => &[Name, Name, Fixed(20)],
        14 | 17 => &[Name, Name],
        15 | 18 | 21 | 36 => &[Fixed(2), Name],
        24 => &[Fixed(18), Name, Rest],
        26 => &[Fixed(2), Name, Name],
        30 => &[Name, Rest],
        33 => &[Fixed(6), Name],
        35 => &[Fixed(4), Text, Text, Text, Name],
        _ => &[Rest],
    }
}

/// RDATA from `at` to `end` with its names uncompressed; `None` when it has not its type's form.
fn rdata(message: &[u8], rtype: u16, mut at: usize, end: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(end - at);
    for piece in pieces(rtype) {
        let next = match piece {
            Piece::Name => {
                at = name(message, at, &mut out).filter(|next| *next <= end)?;
                continue;
            }
            Piece::Fixed(length) => at + length,
            Piece::Text => at + 1 + usize::from(*message.get(at)?),
            Piece::Rest => end,
        };
        out.extend_from_slice(message.get(at..next).filter(|_| next <= end)?);
        at = next;
    }
    (at == end && u16::try_from(out.len()).is_ok()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of one answer whose owner points to the question, `example.`.
    fn message(rtype: u8, rdata: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(b"\x07Example\x00\x00\x06\x00\x01\xc0\x0c\x00");
        message.extend_from_slice(&[rtype, 0, 1, 0, 0, 0, 9, 0, rdata.len() as u8]);
        message.extend_from_slice(rdata);
        message
    }

    fn read(message: &[u8]) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        answers(message, |record| {
            assert_eq!((record.owner.as_slice(), record.ttl), (&b"\x07example\x00"[..], 9));
            found.push(record.rdata);
            true
        })?;
        found.pop()
    }

    #[test]
    fn names_in_rdata_come_out_whole() {
        for (what, rtype, rdata, expected) in [
            ("a pointer", 2, &b"\x02ns\xc0\x0c"[..], Some(&b"\x02ns\x07Example\x00"[..])),
            ("a preference", 15, b"\x00\x0a\xc0\x0c", Some(b"\x00\x0a\x07Example\x00")),
            (
                "texts before it",
                35,
                b"\0\0\0\0\x01u\x00\x01x\xc0\x0c",
                Some(b"\0\0\0\0\x01u\x00\x01x\x07Example\x00"),
            ),
            ("an unknown type keeps what looks like one", 99, b"\xc0\x0c", Some(b"\xc0\x0c")),
            ("an address", 1, b"\x01\x02\x03\x04", Some(b"\x01\x02\x03\x04")),
            ("half an address", 1, b"\x01\x02", None),
            ("a pointer to itself", 2, b"\xc0\x24", None),
            ("a pointer ahead", 2, b"\xc0\x26\x00", None),
            ("octets behind the name", 2, b"\xc0\x0c\x00", None),
            ("a name that goes on behind the record", 2, b"\x07abc", None),
            ("a label of a reserved kind", 2, b"\x80\x00", None),
        ] {
            assert_eq!(read(&message(rtype, rdata)).as_deref(), expected, "{what}");
        }
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        let whole = message(15, b"\x00\x0a\xc0\x0c");
        assert!(read(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length} octets");
        }
        let mut chaos = whole;
        chaos[12 + 9 + 4 + 2 + 3] = 3;
        assert_eq!(read(&chaos), None, "of another class");
    }
}
