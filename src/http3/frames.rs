//! The frames of a request's stream (RFC 9114 section 7.1), as they go on to the HTTP library.
//!
//! The library collects a frame that is no DATA until it is whole, whatever length the frame tells,
//! and takes an empty DATA frame for the end of the content. So what is not content comes out of a
//! budget here, and empty DATA frames are left out.

use bytes::{Buf, Bytes};

/// The type of frames that hold content.
const DATA: u64 = 0x0;
/// Octets of the longest type with the longest length.
const HEAD_MAX: usize = 16;

/// A stream brought more beside its content than a sound client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// Follows the frames of one stream.
#[derive(Debug)]
pub struct Frames {
    /// Octets beside content that may still come.
    budget: usize,
    /// The head of a frame, as far as it has come.
    head: [u8; HEAD_MAX],
    begun: usize,
    /// Octets of the frame that have not come.
    left: u64,
    /// Whether they are content.
    content: bool,
}

impl Frames {
    /// The frames of a stream that has not begun; so many octets of it may be no content.
    pub fn new(budget: usize) -> Self {
        Self { budget, head: [0; HEAD_MAX], begun: 0, left: 0, content: false }
    }

    /// The next piece of what came that goes on; `None`: all of it has gone.
    pub fn next(&mut self, came: &mut Bytes) -> Result<Option<Bytes>, TooMuch> {
        while let Some(octet) = came.first() {
            if self.left > 0 {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(came.len());
                self.left -= here as u64;
                return Ok(Some(came.split_to(here)));
            }
            if let Some(place) = self.head.get_mut(self.begun) {
                *place = *octet;
                self.begun += 1;
            }
            came.advance(1);
            let Some((kind, length)) = self.kind_and_length() else { continue };
            let head = self.head.get(..std::mem::take(&mut self.begun)).unwrap_or_default();
            (self.left, self.content) = (length, kind == DATA);
            if !self.content || length == 0 {
                let paid = if self.content { 0 } else { length };
                let paid = usize::try_from(paid).unwrap_or(usize::MAX).saturating_add(head.len());
                self.budget = self.budget.checked_sub(paid).ok_or(TooMuch)?;
            }
            if !self.content || length > 0 {
                return Ok(Some(Bytes::copy_from_slice(head)));
            }
        }
        Ok(None)
    }

    /// The type and the length of a frame, once its head is whole.
    fn kind_and_length(&self) -> Option<(u64, u64)> {
        let (kind, rest) = number(self.head.get(..self.begun)?)?;
        let (length, _) = number(rest)?;
        Some((kind, length))
    }
}

/// A number of variable length (RFC 9000 section 16), and what follows it.
fn number(octets: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 << (octets.first()? >> 6);
    let (own, rest) = octets.split_at_checked(length)?;
    let value = own.iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
    // The two bits that say how long it is are no part of it.
    Some((value & (u64::MAX >> (66 - 8 * length)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: u8 = 1;

    /// A frame with the shortest head, or one where each number takes eight octets.
    fn frame(kind: u8, length: usize, long: bool) -> Vec<u8> {
        let wide = |number: u64| (number | 3 << 62).to_be_bytes().to_vec();
        let head = match (long, length) {
            (true, _) => [wide(u64::from(kind)), wide(length as u64)].concat(),
            (false, 0..64) => vec![kind, length as u8],
            (false, _) => [&[kind][..], &(length as u16 | 1 << 14).to_be_bytes()].concat(),
        };
        [head, vec![b'x'; length]].concat()
    }

    fn follow(octets: &[u8], piece: usize, budget: usize) -> Result<Vec<u8>, TooMuch> {
        let (mut frames, mut out) = (Frames::new(budget), Vec::new());
        for piece in octets.chunks(piece) {
            let mut came = Bytes::copy_from_slice(piece);
            while let Some(next) = frames.next(&mut came)? {
                out.extend_from_slice(&next);
            }
        }
        Ok(out)
    }

    #[test]
    fn everything_goes_on_but_empty_content() {
        for long in [false, true] {
            let one = |kind, length| frame(kind, length, long);
            let head = one(HEADERS, 90);
            let (content, trailers) = (one(0, 9_000), one(HEADERS, 10));
            let with = [head.clone(), one(0, 0), content.clone(), one(0, 0), trailers.clone()];
            let without = [head, content, trailers].concat();
            for piece in [1, 2, 3, 100, 8_192, 1 << 20] {
                let out = follow(&with.concat(), piece, 300);
                assert_eq!(out.as_deref(), Ok(&without[..]), "pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_content_is_bounded() {
        for (case, octets, budget, expected) in [
            ("a head", frame(HEADERS, 50, false), 52, true),
            ("a longer one", frame(HEADERS, 51, false), 52, false),
            ("the mere promise of one", frame(HEADERS, 1 << 13, false)[..3].to_vec(), 4_000, false),
            ("much content", frame(0, 16_000, false).repeat(100), 0, true),
            ("content in small parts", frame(0, 1, false).repeat(10_000), 0, true),
            ("empty content", frame(0, 0, false).repeat(50), 100, true),
            ("more of it", frame(0, 0, false).repeat(51), 100, false),
            ("frames without a meaning", frame(33, 8, false).repeat(10), 100, true),
            ("more of them", frame(33, 8, false).repeat(11), 100, false),
        ] {
            for piece in [1, 7, 1 << 20] {
                let out = follow(&octets, piece, budget);
                assert_eq!(out.is_ok(), expected, "{case} in pieces of {piece}");
            }
        }
    }
}
