//! Any RDATA text: what is read is well-formed RDATA of its type, whoever looks at it.

use std::fmt::Write;

use hickory_proto::op::Message;
use meridian::name::Name;
use meridian::zone::rdata;

/// The input is a record's type and RDATA as in a master file: `MX 10 mail`.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (mnemonic, text) = text.split_once([' ', '\n']).unwrap_or((text, ""));
    let Some(rtype) = rdata::type_number(mnemonic.as_bytes()) else { return };
    let origin = Name::parse("example.com.", &Name::root()).unwrap();
    let wire = match rdata::from_text(rtype, text, &origin) {
        Ok(wire) => wire,
        Err(mistake) => {
            assert!(mistake.range.start <= mistake.range.end, "{mistake:?}");
            assert!(mistake.range.end <= text.len(), "{mistake:?}");
            return;
        }
    };
    assert!(wire.len() <= 65_535);
    assert_eq!(rdata::canonical(rtype, &wire).len(), wire.len());
    let mut generic = format!("\\# {}", wire.len());
    for octet in &wire {
        write!(generic, " {octet:02x}").unwrap();
    }
    let again = rdata::from_text(rtype, &generic, &origin);
    assert_eq!(again.as_ref(), Ok(&wire), "{mnemonic} in generic form");
    if rdata::is_meta(rtype) || is_foreign(rtype, &wire) {
        return;
    }
    if let Err(error) = Message::from_vec(&message(rtype, &wire)) {
        panic!("{mnemonic} {text}: {error}: {wire:02x?}");
    }
}

/// Whether the library refuses such a record though it has the form of its type: it wants values
/// that have a meaning today, but a server has no say in what its clients may make of others.
fn is_foreign(rtype: u16, wire: &[u8]) -> bool {
    match (rtype, wire) {
        // Empty RDATA stands in updates (RFC 2136 section 2.4), and in APL (RFC 3123 section 4).
        // SIG and KEY: those of RFC 2535, of which only SIG(0) and few flags are left.
        (_, []) | (24 | 25, _) => true,
        // NAPTR: flags are letters and digits (RFC 3403 section 4.1).
        (35, [_, _, _, _, length, rest @ ..]) => {
            !rest[..usize::from(*length)].iter().all(u8::is_ascii_alphanumeric)
        }
        // DNSKEY and CDNSKEY: the protocol is 3 (RFC 4034 section 2.1.2).
        (48 | 60, [_, _, protocol, ..]) => *protocol != 3,
        // NSEC3 and NSEC3PARAM: one algorithm and one flag (RFC 5155 sections 3.1.1 and 3.1.2).
        (50 | 51, [algorithm, flags, ..]) => *algorithm != 1 || *flags > 1,
        // CSYNC: two flags (RFC 7477 section 2.1.1.2).
        (62, [_, _, _, _, high, low, ..]) => *high > 0 || *low > 3,
        // SVCB and HTTPS: protocols are octets (RFC 7301 section 3.1), the library wants UTF-8.
        (64 | 65, [_, _, rest @ ..]) => protocols(rest).is_some_and(|p| str::from_utf8(p).is_err()),
        // CAA: tags of up to 15 octets (RFC 6844 section 5.1).
        (257, [_, length, ..]) => *length > 15,
        _ => false,
    }
}

/// The value of `alpn` (RFC 9460 section 7.1) behind the target of an SVCB or HTTPS record.
fn protocols(mut rest: &[u8]) -> Option<&[u8]> {
    while let [length, after @ ..] = rest
        && *length > 0
    {
        rest = after.get(usize::from(*length)..)?;
    }
    rest = rest.get(1..)?;
    while let [key @ .., high, low] = rest.get(..4)? {
        let value = rest.get(4..4 + usize::from(u16::from_be_bytes([*high, *low])))?;
        if *key == [0, 1] {
            return Some(value);
        }
        rest = &rest[4 + value.len()..];
    }
    None
}

/// A reply whose one record, owned by the root, has this RDATA.
fn message(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 0, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    message.extend_from_slice(&rtype.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 0, 0]);
    message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    message.extend_from_slice(rdata);
    message
}
