//! RDATA in wire form, field by field: is it well formed, and which octets are names.

use std::ops::Range;

use super::forms::{self, Field};
use super::params;
use crate::name::{LABEL_MAX, NAME_MAX};

/// Checks RDATA against its type's form; the error names the first field that does not fit.
/// Types without a known form hold anything (RFC 3597 section 3).
pub(super) fn check(rtype: u16, rdata: &[u8]) -> Result<(), &'static str> {
    walk(rtype, rdata, |_, _| ())
}

/// RDATA in which names that canonical form folds are in lower case (RFC 4034 section 6.2), so
/// that equal data is equal octets.
pub fn canonical(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut folded = rdata.to_vec();
    let walked = walk(rtype, rdata, |field, range| {
        if let (Field::Name, Some(name)) = (field, folded.get_mut(range)) {
            name.make_ascii_lowercase();
        }
    });
    if walked.is_err() { rdata.to_vec() } else { folded }
}

/// Calls `visit` with each field and its octets.
fn walk(
    rtype: u16,
    rdata: &[u8],
    mut visit: impl FnMut(Field, Range<usize>),
) -> Result<(), &'static str> {
    let Some(form) = forms::find(rtype) else { return Ok(()) };
    let mut at = 0;
    for (field, name) in form.fields {
        let rest = rdata.get(at..).unwrap_or_default();
        let length = length(*field, rest).filter(|length| *length <= rest.len()).ok_or(*name)?;
        visit(*field, at..at + length);
        at += length;
    }
    if at == rdata.len() { Ok(()) } else { Err("end") }
}

/// Octets the field takes at the start of `rest`; `None` when it is malformed there.
fn length(field: Field, rest: &[u8]) -> Option<usize> {
    let counted = || rest.first().map(|length| 1 + usize::from(*length));
    match field {
        Field::Name | Field::CasedName => name_length(rest),
        Field::U8 | Field::Algorithm => Some(1),
        Field::U16 | Field::Type | Field::CertType => Some(2),
        Field::U32 | Field::Time | Field::Ip4 => Some(4),
        Field::Seconds => rest.first().filter(|first| **first < 0x80).map(|_| 4),
        Field::Eui(octets) => Some(usize::from(octets)),
        Field::Locator => Some(8),
        Field::Ip6 => Some(16),
        // RFC 1876 section 2: other versions than 0 have another form.
        Field::Location => rest.first().filter(|version| **version == 0).map(|_| 16),
        Field::Text | Field::Salt => counted(),
        Field::Hash => counted().filter(|length| *length > 1),
        Field::Tag => counted().filter(|length| {
            let tag = rest.get(1..*length).unwrap_or_default();
            !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric)
        }),
        Field::Texts => is_texts(rest).then_some(rest.len()),
        Field::Types => is_bitmap(rest).then_some(rest.len()),
        Field::Params => is_params(rest).then_some(rest.len()),
        Field::Hex | Field::Base64 => Some(rest.len()).filter(|length| *length > 0),
        Field::Octets | Field::Opaque => Some(rest.len()),
    }
}

fn name_length(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = usize::from(*rest.get(at)?);
        at += 1 + length;
        if length > LABEL_MAX || at > NAME_MAX {
            return None;
        }
        if length == 0 {
            return Some(at);
        }
    }
}

fn is_texts(mut rest: &[u8]) -> bool {
    let some = !rest.is_empty();
    while let Some((length, tail)) = rest.split_first() {
        let Some(tail) = tail.get(usize::from(*length)..) else { return false };
        rest = tail;
    }
    some
}

/// Windows in ascending order, each of 1 to 32 octets without zeros at its end (RFC 4034 section
/// 4.1.2).
fn is_bitmap(mut rest: &[u8]) -> bool {
    let mut last: Option<u8> = None;
    while let Some(([window, length], tail)) = rest.split_first_chunk::<2>() {
        let Some((bits, tail)) = tail.split_at_checked(usize::from(*length)) else { return false };
        if last.is_some_and(|last| last >= *window)
            || bits.len() > 32
            || bits.last().is_none_or(|b| *b == 0)
        {
            return false;
        }
        (last, rest) = (Some(*window), tail);
    }
    rest.is_empty()
}

/// Keys in ascending order, each with its value (RFC 9460 section 2.2).
fn is_params(mut rest: &[u8]) -> bool {
    let mut last: Option<u16> = None;
    while let Some(([k0, k1, l0, l1], tail)) = rest.split_first_chunk::<4>() {
        let key = u16::from_be_bytes([*k0, *k1]);
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some((value, tail)) = tail.split_at_checked(length) else { return false };
        if last.is_some_and(|last| last >= key) || !params::is_value(key, value) {
            return false;
        }
        (last, rest) = (Some(key), tail);
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_field_that_does_not_fit() {
        for (case, rtype, rdata, expected) in [
            ("an address", 1, &[192, 0, 2, 1][..], Ok(())),
            ("a short address", 1, &[192, 0, 2], Err("address")),
            ("a long address", 1, &[192, 0, 2, 1, 0], Err("end")),
            ("an unknown type", 65280, &[1, 2, 3], Ok(())),
            ("a name", 2, b"\x01a\x00", Ok(())),
            ("a compressed name", 2, b"\xc0\x0c", Err("name server")),
            ("a name without its end", 2, b"\x01a", Err("name server")),
            ("no text", 16, b"", Err("text")),
            ("an empty text", 16, b"\x00", Ok(())),
            ("a text cut short", 16, b"\x02a", Err("text")),
            ("a tag with a hyphen", 257, b"\x00\x01-x", Err("tag")),
            ("a bitmap", 47, b"\x00\x00\x01\x40", Ok(())),
            ("no types", 47, b"\x00", Ok(())),
            ("a bitmap ending in zero", 47, b"\x00\x00\x02\x40\x00", Err("types")),
            ("windows out of order", 47, b"\x00\x01\x01\x40\x00\x01\x40", Err("types")),
            ("parameters", 64, b"\x00\x01\x00\x00\x03\x00\x02\x01\xbb", Ok(())),
            ("half a parameter", 64, b"\x00\x01\x00\x00\x03\x00\x02\x01", Err("parameters")),
            ("a parameter twice", 64, b"\0\x01\0\0\x02\0\0\0\x02\0\0", Err("parameters")),
            ("a port of one octet", 64, b"\0\x01\0\0\x03\0\x01\x01", Err("parameters")),
        ] {
            assert_eq!(check(rtype, rdata), expected, "{case}");
        }
    }

    #[test]
    fn folds_only_names_of_old_types() {
        assert_eq!(canonical(15, b"\x00\x0a\x02MX\x00"), b"\x00\x0a\x02mx\x00");
        assert_eq!(canonical(16, b"\x02MX"), b"\x02MX");
        assert_eq!(canonical(64, b"\x00\x00\x02MX\x00"), b"\x00\x00\x02MX\x00");
        assert_eq!(canonical(2, b"\x02MX"), b"\x02MX");
    }
}
