//! Chunked content (RFC 9112 section 7.1).

use super::fields::Fields;
use super::{Bounds, Line, Refused, skip};

/// Octets of the line with a chunk's size: extensions are of no use to anyone.
const SIZE_MAX: usize = 256;
/// Digits of a size: 2⁶⁰ octets are more than there will be.
const DIGITS_MAX: usize = 15;

/// Where in chunked content the input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before a chunk.
    Size,
    /// In a chunk, with so many octets missing.
    Data(u64),
    /// Behind a chunk's data.
    End,
    /// Behind the last chunk.
    Trailers(Fields),
}

impl Chunks {
    /// Follows the content over the input. `Ok(true)`: it has ended. Otherwise all of the input
    /// is used up.
    pub(super) fn follow(
        &mut self,
        input: &mut &[u8],
        line: &mut Line,
        bounds: &Bounds,
    ) -> Result<bool, Refused> {
        while !input.is_empty() {
            match self {
                Self::Size => match line.next(input, SIZE_MAX, Refused::Chunk, size) {
                    Ok(Some(0)) => *self = Self::Trailers(Fields::default()),
                    Ok(Some(length)) => *self = Self::Data(length),
                    Ok(None) => {}
                    Err(_) => return Err(Refused::Chunk),
                },
                Self::Data(length) => match skip(input, *length) {
                    0 => *self = Self::End,
                    left => *self = Self::Data(left),
                },
                Self::End => match line.next(input, 2, Refused::Chunk, empty) {
                    Ok(Some(())) => *self = Self::Size,
                    Ok(None) => {}
                    Err(_) => return Err(Refused::Chunk),
                },
                Self::Trailers(fields) => {
                    let left = fields.left(bounds);
                    let read = |line: &[u8]| fields.read_trailer(line, bounds);
                    if line.next(input, left, Refused::LongHead, read)? == Some(true) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}

/// The size of a chunk; extensions are passed over.
fn size(line: &[u8]) -> Result<u64, Refused> {
    let digits = line.iter().position(|octet| *octet == b';').unwrap_or(line.len());
    let (digits, extensions) = line.split_at_checked(digits).ok_or(Refused::Chunk)?;
    let sound = !digits.is_empty()
        && digits.len() <= DIGITS_MAX
        && digits.iter().all(u8::is_ascii_hexdigit)
        && !extensions.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t');
    let text = std::str::from_utf8(digits).ok().filter(|_| sound).ok_or(Refused::Chunk)?;
    u64::from_str_radix(text, 16).map_err(|_| Refused::Chunk)
}

fn empty(line: &[u8]) -> Result<(), Refused> {
    if line.is_empty() { Ok(()) } else { Err(Refused::Chunk) }
}
