//! The names of class CHAOS that say who and what a server is (RFC 4892 section 3).

use super::Outcome;
use crate::dns::wire::{CLASS_CHAOS, Parsed, QUESTION_AT};
use crate::dns::writer::Writer;
use crate::zone::rtype;

/// What `version.server` answers; the `.bind` names are the older ones of the same.
const VERSION: &str = concat!("meridian ", env!("CARGO_PKG_VERSION"));

/// The text of a name; `None`: there is no such name, or nothing to say.
pub(super) fn text<'t>(parsed: &Parsed, nsid: &'t str) -> Option<&'t str> {
    let text = match parsed.name.as_wire() {
        b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => nsid,
        b"\x07version\x06server\0" | b"\x07version\x04bind\0" => VERSION,
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Answers with a TXT record of this text, or without data when another type was asked for.
pub(super) fn answer(parsed: &Parsed, text: &str, writer: &mut Writer<'_>, outcome: &mut Outcome) {
    outcome.authoritative = true;
    if matches!(parsed.qtype, rtype::TXT | rtype::ANY) {
        let [l0, l1] = (text.len() as u16 + 1).to_be_bytes();
        let (at, class) = (QUESTION_AT as u8, CLASS_CHAOS as u8);
        // RFC 4892 section 3.2: a TTL of 0, since the next answer may come from another server.
        let head = [0xc0, at, 0, rtype::TXT as u8, 0, class, 0, 0, 0, 0, l0, l1, text.len() as u8];
        let written = writer.put(&head).and_then(|_| writer.put(text.as_bytes()));
        outcome.truncated = written.is_err();
        outcome.answers = 1;
    }
}
