//! Fields of a head, as far as they bear on where the message ends.

use super::{Bounds, Refused, is_token};

/// What the fields of a head said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// Octets of the head so far.
    size: usize,
    count: usize,
    length: Option<u64>,
    chunked: bool,
}

/// How the content of a message is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Neither a length nor a coding.
    Unsaid,
    Length(u64),
    Chunked,
}

impl Fields {
    /// Octets that are left for the rest of the head.
    pub(super) fn left(&self, bounds: &Bounds) -> usize {
        bounds.head.saturating_sub(self.size)
    }

    /// Counts a line that is no field: the first one.
    pub(super) fn count_line(&mut self, line: &[u8]) {
        self.size += line.len() + 2;
    }

    /// Takes in a line of the head; `true`: it was the empty one at the end.
    pub(super) fn read(&mut self, line: &[u8], bounds: &Bounds) -> Result<bool, Refused> {
        self.size += line.len() + 2;
        if line.is_empty() {
            return Ok(true);
        }
        self.count += 1;
        if self.count > bounds.fields {
            return Err(Refused::ManyFields);
        }
        let (name, value) = split(line)?;
        // Two lengths of names decide nearly always that a field is none of these.
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Refused::Lengths);
                }
                self.length = Some(number(value)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                // RFC 9112 section 7: other codings would have to be undone here.
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refused::Coding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(false)
    }

    /// The framing that a whole head asks for.
    pub(super) fn framing(&self, is_http_11: bool) -> Result<Framing, Refused> {
        match (self.length, self.chunked) {
            // RFC 9112 section 6.1: such a message may be an attempt at smuggling.
            (Some(_), true) => Err(Refused::LengthAndCoding),
            (None, true) if !is_http_11 => Err(Refused::OldCoding),
            (None, true) => Ok(Framing::Chunked),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, false) => Ok(Framing::Unsaid),
        }
    }

    /// Takes in a line of trailers; `true`: it was the empty one at the end.
    pub(super) fn read_trailer(&mut self, line: &[u8], bounds: &Bounds) -> Result<bool, Refused> {
        let ended = self.read(line, bounds)?;
        // RFC 9110 section 6.5.1: what frames or routes a message is no trailer.
        let misplaced = self.length.is_some() || self.chunked;
        let host = line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"host:"));
        if misplaced || host { Err(Refused::Chunk) } else { Ok(ended) }
    }
}

/// The name and the value of a field.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    // RFC 9112 section 5.2.
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refused::Folded);
    }
    // RFC 9112 section 5.1: no space before the colon.
    let colon = memchr::memchr(b':', line).ok_or(Refused::FieldName)?;
    let (name, value) = line.split_at_checked(colon).ok_or(Refused::FieldName)?;
    if name.is_empty() || !name.iter().all(|octet| is_token(*octet)) {
        return Err(Refused::FieldName);
    }
    let value = value.get(1..).unwrap_or_default();
    // RFC 9110 section 5.5.
    if value.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
        return Err(Refused::FieldValue);
    }
    Ok((name, trim(value)))
}

/// A value without the blanks around it.
fn trim(value: &[u8]) -> &[u8] {
    let is_text = |octet: &u8| !matches!(octet, b' ' | b'\t');
    let first = value.iter().position(is_text).unwrap_or(value.len());
    let last = value.iter().rposition(is_text).map_or(first, |last| last + 1);
    value.get(first..last).unwrap_or_default()
}

/// A length: digits alone, and none that some reader cannot hold (RFC 9110 section 8.6).
fn number(value: &[u8]) -> Result<u64, Refused> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok()).ok_or(Refused::Length)
}
