//! Any octets at the beginning of a connection that goes by the name it asks for: what they are
//! does not depend on the pieces they come in, the endpoint gets them all, and waiting has an end.

use meridian::proxy::relay::hello::{HELLO_MAX, Hello, HelloReader};

/// The input is the length of the pieces, then what a client sends.
pub fn run(input: &[u8]) {
    let Some((size, octets)) = input.split_first() else { return };
    let mut whole = HelloReader::default();
    let at_once = whole.push(octets);
    assert!(at_once != Hello::Part || octets.len() < HELLO_MAX, "waits for ever");
    let mut pieces = HelloReader::default();
    let mut taken = 0;
    let mut found = Hello::Part;
    for piece in octets.chunks(usize::from(*size).max(1)) {
        taken += piece.len();
        found = pieces.push(piece);
        if found != Hello::Part {
            break;
        }
    }
    assert_eq!(found, at_once, "in pieces and as a whole");
    assert_eq!(pieces.into_seen(), octets[..taken], "octets were lost");
    if let Hello::Whole(Some(name)) = found {
        assert!(!name.is_empty() && name == name.to_ascii_lowercase(), "{name:?}");
    }
}
