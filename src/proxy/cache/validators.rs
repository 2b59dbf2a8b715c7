//! Asking whether a kept response is still right, and saying so (RFC 9110 section 13, RFC 9111
//! section 4.3).

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE,
};
use http::{HeaderMap, HeaderValue};

use super::stored::date;

/// Fields of a kept response that a 304 does not change: they belong to the content that is kept
/// (RFC 9111 section 3.2), or to one client.
const KEPT: [HeaderName; 6] =
    [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, SET_COOKIE];

/// Makes a request ask for a response only if it differs from the one that is kept. `false`: there
/// is nothing to tell them apart by.
pub fn make_conditional(request: &mut HeaderMap, kept: &HeaderMap) -> bool {
    let mut any = false;
    for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
        request.remove(&condition);
        if let Some(value) = kept.get(validator) {
            request.insert(condition, value.clone());
            any = true;
        }
    }
    any
}

/// Whether a client that asks by these conditions has the kept response already: it gets 304.
pub fn is_not_modified(request: &HeaderMap, kept: &HeaderMap) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        // RFC 9110 section 13.1.3: the date counts only without tags.
        let values = request.get_all(IF_NONE_MATCH).iter();
        let tag = kept.get(ETAG).map(HeaderValue::as_bytes);
        return values
            .flat_map(|value| tags(value.as_bytes()))
            .any(|given| given == b"*" || tag.is_some_and(|tag| opaque(given) == opaque(tag)));
    }
    let time = |headers: &HeaderMap, name: HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).and_then(date)
    };
    match (time(request, IF_MODIFIED_SINCE), time(kept, LAST_MODIFIED)) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

/// Takes the fields of a 304 into a kept response.
pub fn renew(kept: &mut HeaderMap, not_modified: &HeaderMap) {
    for name in not_modified.keys().filter(|name| !KEPT.contains(name)) {
        kept.remove(name);
        for value in not_modified.get_all(name) {
            kept.append(name, value.clone());
        }
    }
}

/// The tags of a list; commas within quotes are of the tag.
fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let parts = value.split(move |octet| {
        quoted ^= *octet == b'"';
        *octet == b',' && !quoted
    });
    parts.map(<[u8]>::trim_ascii)
}

/// A tag without its mark of weakness (RFC 9110 section 8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}
