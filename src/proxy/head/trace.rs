//! The trace that a request belongs to (W3C Trace Context, level 1).

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
/// Octets of a header of version 00.
const LENGTH: usize = 55;

/// A request's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Names the trace; not zero.
    pub id: u128,
    /// Names the span that sent the request; not zero.
    pub parent: u64,
    /// Whether its spans are recorded.
    pub sampled: bool,
}

impl Trace {
    /// The trace that a request names, as it came; else a new one made of `random`, which is put
    /// into the head.
    pub fn ensure(headers: &mut HeaderMap, random: (u128, u64)) -> Self {
        if let Some(trace) = Self::read(headers) {
            return trace;
        }
        let (id, parent) = random;
        let trace = Self { id: id.max(1), parent: parent.max(1), sampled: false };
        trace.write(headers);
        // What belongs to no trace means nothing in this one.
        headers.remove(STATE);
        trace
    }

    /// Reads the one `traceparent`; `None` if there is none, or one that is not sound.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(PARENT).iter();
        let text = values.next()?.to_str().ok()?;
        if values.next().is_some() {
            return None;
        }
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let mut fields = head.split('-');
        let mut field = |length: usize| {
            let digits = fields.next().filter(|digits| digits.len() == length)?;
            let is_lower = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
            let digits = Some(digits).filter(|digits| digits.bytes().all(is_lower))?;
            u128::from_str_radix(digits, 16).ok()
        };
        let (version, id, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        // A later version may say more, behind a hyphen.
        let is_whole =
            if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        if version == 0xff || !is_whole || id == 0 || parent == 0 {
            return None;
        }
        Some(Self { id, parent: parent as u64, sampled: flags & 1 == 1 })
    }

    /// The same trace with another span as the sender, for the next hop.
    #[must_use]
    pub fn child(self, parent: u64) -> Self {
        Self { parent: parent.max(1), ..self }
    }

    /// Puts it into a head.
    pub fn write(self, headers: &mut HeaderMap) {
        let (id, parent) = (self.id.to_be_bytes(), self.parent.to_be_bytes());
        let flags = [u8::from(self.sampled)];
        let mut text = [b'-'; LENGTH];
        let fields = [&[0][..], &id, &parent, &flags];
        let mut rest = &mut text[..];
        for field in fields {
            let digits = field.iter().flat_map(|octet| [octet >> 4, octet & 0xf]);
            for (place, digit) in rest.iter_mut().zip(digits) {
                *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            }
            rest = std::mem::take(&mut rest).get_mut(field.len() * 2 + 1..).unwrap_or_default();
        }
        if let Ok(value) = HeaderValue::from_bytes(&text) {
            headers.insert(PARENT, value);
        }
    }
}
