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
    if rdata::is_meta(rtype) {
        return;
    }
    let message = message(rtype, &wire);
    if let Err(error) = Message::from_vec(&message) {
        panic!("{mnemonic} {text}: {error}: {wire:02x?}");
    }
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
