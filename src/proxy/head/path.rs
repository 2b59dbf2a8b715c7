//! Paths: what routes look at, and what is too ambiguous to be sent on.

use std::borrow::Cow;
use std::fmt::Write;

use http::uri::PathAndQuery;

use super::Refused;

/// The path that routes look at: percent-encodings of ASCII undone (that of the slash too, since
/// an origin may undo it), others in upper case, repeated slashes merged. Refused are dot
/// segments however they are written, control characters, and what is no percent-encoding.
///
/// Borrowed when the path is that already.
pub fn canonical(raw: &str) -> Result<Cow<'_, str>, Refused> {
    if !raw.starts_with('/') {
        return Err(Refused::Target);
    }
    let octets = raw.as_bytes();
    let plain = |pair: &[u8]| {
        let [this, next] = *pair else { return true };
        !matches!((this, next), (b'/', b'/' | b'.') | (b'\\', _)) && this != b'%' && this > b' '
    };
    let last = octets.last().is_none_or(|last| *last > b' ' && !matches!(last, b'%' | b'\\'));
    if last && octets.windows(2).all(plain) && !raw.contains('\x7f') {
        return Ok(Cow::Borrowed(raw));
    }
    let decoded = decode(octets)?;
    // Some origins take a backslash for a slash.
    let mut segments = decoded.split(['/', '\\']);
    // Path parameters are left out of the name by some: `/..;x/` is a dot segment to them.
    let name = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
    if segments.any(|segment| matches!(&name(segment)[..], "." | "..")) {
        return Err(Refused::DotSegments);
    }
    Ok(Cow::Owned(decoded))
}

fn decode(raw: &[u8]) -> Result<String, Refused> {
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        let mut octet = *octet;
        let encoded = octet == b'%';
        if encoded {
            let digit = |at: usize| {
                let octet = after.get(at).copied().map(char::from)?;
                octet.to_digit(16).map(|digit| digit as u8)
            };
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(Refused::Path) };
            octet = high << 4 | low;
            rest = after.get(2..).unwrap_or_default();
        }
        match octet {
            _ if octet.is_ascii_control() => return Err(Refused::Path),
            b'/' if decoded.ends_with('/') => {}
            // A question mark or percent that was encoded is no part of the URI's own grammar.
            b'%' | b'?' | b'#' if encoded => {
                let _ = write!(decoded, "%{octet:02X}");
            }
            0x80.. => {
                let _ = write!(decoded, "%{octet:02X}");
            }
            _ => decoded.push(char::from(octet)),
        }
    }
    Ok(decoded)
}

/// The target with `prefix` of its path replaced; `None`: the path does not begin with it, at
/// the end of a segment. The query stays as it is.
pub fn replace_prefix(target: &PathAndQuery, prefix: &str, with: &str) -> Option<PathAndQuery> {
    let raw = target.path();
    let rest = |path: &str| {
        let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    // What was routed by its canonical form may begin differently as it came.
    let rest = match rest(raw) {
        Some(rest) => rest,
        None => encode(&rest(&canonical(raw).ok()?)?),
    };
    let mut path = with.trim_end_matches('/').to_owned();
    path.push_str(&rest);
    if path.is_empty() {
        path.push('/');
    }
    if let Some(query) = target.query() {
        path.push('?');
        path.push_str(query);
    }
    path.parse().ok()
}

/// The canonical form as a path that can be sent: it begins with one slash, and names no host.
///
/// # Errors
/// Those of [`canonical`].
pub fn encoded(raw: &str) -> Result<String, Refused> {
    match raw {
        // RFC 9112 section 3.2.4: it is no path, and the server as a whole has this one.
        "" | "*" => Ok("/".to_owned()),
        _ => canonical(raw).map(|path| encode(&path)),
    }
}

/// A target with this path, whose encodings count, and the query of `target`.
///
/// # Errors
/// Those of [`canonical`], since the parts of a path may add up to what none of them is.
pub fn replace_path(target: &PathAndQuery, path: &str) -> Result<PathAndQuery, Refused> {
    let mut path = encoded(path)?;
    if let Some(query) = target.query() {
        path.push('?');
        path.push_str(query);
    }
    path.parse().map_err(|_| Refused::Path)
}

/// Encodes again what a path cannot hold as it is.
fn encode(decoded: &str) -> String {
    let mut encoded = String::with_capacity(decoded.len());
    for octet in decoded.bytes() {
        // RFC 3986 section 3.3; a percent sign was left in place by the decoding.
        if octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            let _ = write!(encoded, "%{octet:02X}");
        }
    }
    encoded
}
