//! Any octets on a stream of HTTP/3: what goes on does not depend on the pieces they come in, is
//! never more than came, and is bounded but for content.

use bytes::Bytes;
use meridian::http3::{Frames, TooMuch};

/// Octets that may be no content.
const BUDGET: usize = 100;

/// The input is the length of the pieces, then what a client sends.
pub fn run(input: &[u8]) {
    let Some((size, octets)) = input.split_first() else { return };
    let (whole, at_once) = follow(octets, octets.len().max(1));
    let (parts, in_pieces) = follow(octets, usize::from(*size).max(1));
    assert_eq!((at_once, &whole), (in_pieces, &parts), "in pieces and as a whole");
    assert!(whole.len() <= octets.len(), "octets were added");
}

/// What goes on, and whether it was too much in the end.
fn follow(octets: &[u8], piece: usize) -> (Vec<u8>, Result<(), TooMuch>) {
    let (mut frames, mut out) = (Frames::new(BUDGET), Vec::new());
    for piece in octets.chunks(piece) {
        let mut came = Bytes::copy_from_slice(piece);
        loop {
            match frames.next(&mut came) {
                Ok(Some(next)) => out.extend_from_slice(&next),
                Ok(None) => break,
                Err(TooMuch) => return (out, Err(TooMuch)),
            }
        }
    }
    (out, Ok(()))
}
