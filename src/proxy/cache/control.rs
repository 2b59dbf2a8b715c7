//! The directives of Cache-Control (RFC 9111 section 5.2, RFC 5861).

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

/// Longest time that a directive says: 68 years, as RFC 9111 section 1.2.2 has it.
const SECONDS_MAX: u64 = 1 << 31;

/// What Cache-Control says, of a request or a response. Of a directive that comes twice the
/// stricter one counts; a number that is none counts as 0, which keeps nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Any of these directives may stand beside any other.
pub struct Control {
    /// Nothing may be kept.
    pub no_store: bool,
    /// Nothing may be used without asking the origin.
    pub no_cache: bool,
    /// Only the client may keep it.
    pub private: bool,
    /// Stale responses may not be used at all.
    pub must_revalidate: bool,
    /// The client wants what is kept or nothing.
    pub only_if_cached: bool,
    /// Seconds for which it is fresh in any cache.
    pub max_age: Option<u64>,
    /// Seconds for which it is fresh in a shared cache.
    pub s_maxage: Option<u64>,
    /// Seconds for which it may be used stale while it is fetched anew.
    pub stale_while_revalidate: Option<u64>,
    /// Seconds for which it may be used stale when the origin fails.
    pub stale_if_error: Option<u64>,
    /// Seconds for which it must stay fresh, in a request.
    pub min_fresh: Option<u64>,
}

impl Control {
    /// Reads the fields of a head.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        let mut any = false;
        for value in headers.get_all(CACHE_CONTROL) {
            any = true;
            directives(value.as_bytes(), |name, value| control.take(name, value));
        }
        // RFC 9111 section 5.4: for clients of HTTP/1.0.
        if !any {
            for value in headers.get_all(PRAGMA) {
                directives(value.as_bytes(), |name, _| {
                    control.no_cache |= name.eq_ignore_ascii_case(b"no-cache");
                });
            }
        }
        control
    }

    fn take(&mut self, name: &[u8], value: Option<&[u8]>) {
        let strictest = |slot: &mut Option<u64>| {
            let seconds = value.map_or(0, seconds);
            *slot = Some(slot.map_or(seconds, |before| before.min(seconds)));
        };
        match &name.to_ascii_lowercase()[..] {
            b"no-store" => self.no_store = true,
            // With a list of fields it would spare the others; all or nothing is safe.
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"must-revalidate" | b"proxy-revalidate" => self.must_revalidate = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => strictest(&mut self.max_age),
            b"s-maxage" => strictest(&mut self.s_maxage),
            b"stale-while-revalidate" => strictest(&mut self.stale_while_revalidate),
            b"stale-if-error" => strictest(&mut self.stale_if_error),
            b"min-fresh" => strictest(&mut self.min_fresh),
            _ => {}
        }
    }
}

/// Hands each directive to `take`. A comma within quotes ends none.
fn directives(value: &[u8], mut take: impl FnMut(&[u8], Option<&[u8]>)) {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(|octet| {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return true,
            _ => {}
        }
        false
    });
    for part in parts {
        let equals = part.iter().position(|octet| *octet == b'=').unwrap_or(part.len());
        let (name, value) = part.split_at_checked(equals).unwrap_or((part, &[]));
        take(name.trim_ascii(), value.strip_prefix(b"=").map(<[u8]>::trim_ascii));
    }
}

/// A number of seconds, in quotes or not.
pub(super) fn seconds(text: &[u8]) -> u64 {
    let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    match std::str::from_utf8(text).ok().filter(|_| digits) {
        // What is too large for a number is a long time.
        Some(text) => text.parse().unwrap_or(SECONDS_MAX).min(SECONDS_MAX),
        None => 0,
    }
}
