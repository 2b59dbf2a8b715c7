//! Strict framing: what of a connection may reach the HTTP/1 parser.
//!
//! The parser repairs some of what RFC 9112 allows a server to repair: of a length beside a
//! transfer coding it drops the length, equal lengths become one, a bare line feed ends a line. The
//! next reader may repair differently, which is how requests are smuggled. So the octets of
//! a connection pass a guard first, which follows the framing of its messages and refuses what has
//! more than one reading. It sees each head once, skips bodies, and keeps nothing but a line that
//! has not ended yet.

mod chunks;
mod fields;
mod flood;
mod guarded;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use flood::Flood;
pub use guarded::{Guard, Guarded, Verdict};
pub use request::RequestGuard;
pub use response::{Expected, ResponseGuard};

use super::refused::Refused;

/// Bounds of the head of a message, and of its trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets in all.
    pub head: usize,
    /// Fields.
    pub fields: usize,
    /// Octets of the target.
    pub target: usize,
}

impl Default for Bounds {
    /// What common servers allow, and rather more than browsers send.
    fn default() -> Self {
        Self { head: 32 << 10, fields: 100, target: 8 << 10 }
    }
}

/// Where and why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub refused: Refused,
    /// Octets of the input before the message, chunk or trailers that are at fault: those may
    /// still be passed on.
    pub sound: usize,
}

/// A cut-out of the input: lines are gathered over several of them.
#[derive(Debug, Default)]
struct Line {
    /// The beginning of a line that has not ended yet.
    begun: Vec<u8>,
}

impl Line {
    /// Takes the next line off `input` and hands it, without its end, to `read`; `None`: it has
    /// not ended yet. A line longer than `bound` is `beyond`.
    fn next<T>(
        &mut self,
        input: &mut &[u8],
        bound: usize,
        beyond: Refused,
        read: impl FnOnce(&[u8]) -> Result<T, Refused>,
    ) -> Result<Option<T>, Refused> {
        // RFC 9112 section 2.2: a line ends with CRLF.
        let Some(end) = memchr::memchr(b'\n', input) else {
            if self.begun.len() + input.len() > bound {
                return Err(beyond);
            }
            self.begun.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        };
        let (line, rest) = input.split_at_checked(end + 1).unwrap_or((input, &[]));
        *input = rest;
        if self.begun.len() + line.len() > bound {
            return Err(beyond);
        }
        let result = if self.begun.is_empty() {
            read(ended(line)?)
        } else {
            self.begun.extend_from_slice(line);
            ended(&self.begun).and_then(read)
        };
        self.begun.clear();
        result.map(Some)
    }
}

/// A line without its CRLF, in which there is no other carriage return.
fn ended(line: &[u8]) -> Result<&[u8], Refused> {
    let line = line.strip_suffix(b"\r\n").ok_or(Refused::LineEnd)?;
    let returns = has_control(line) && memchr::memchr(b'\r', line).is_some();
    if returns { Err(Refused::LineEnd) } else { Ok(line) }
}

/// Whether there is a control character other than a tab. It looks at all octets without
/// branches, so that the compiler takes many of them at a time.
fn has_control(octets: &[u8]) -> bool {
    let is_control =
        |octet: u8| u8::from(octet < b' ') & u8::from(octet != b'\t') | u8::from(octet == 0x7f);
    octets.iter().fold(0, |any, octet| any | is_control(*octet)) != 0
}

/// Characters of a token (RFC 9110 section 5.6.2), by octet.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0_u8;
    while octet < 0x80 {
        let is_mark = matches!(
            octet,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        #[allow(clippy::indexing_slicing)] // Evaluated by the compiler.
        {
            table[octet as usize] = octet.is_ascii_alphanumeric() || is_mark;
        }
        octet += 1;
    }
    table
};

fn is_token(octets: &[u8]) -> bool {
    let is_one = |octet: &u8| TOKEN.get(usize::from(*octet)).copied().unwrap_or_default();
    !octets.is_empty() && octets.iter().all(is_one)
}

/// Takes `length` octets off the input, as far as it goes, and says how many are missing.
pub(super) fn skip(input: &mut &[u8], length: u64) -> u64 {
    let here = usize::try_from(length).unwrap_or(usize::MAX).min(input.len());
    *input = input.get(here..).unwrap_or_default();
    length - here as u64
}
