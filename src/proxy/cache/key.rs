//! What a kept response is found by: the key of its request, and the fields that it varies by.

use std::fmt::Write;

use http::header::{ACCEPT_ENCODING, VARY};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Uri};

use crate::proxy::head::Authority;

/// Fields that a response may vary by: beyond them no two requests are alike.
const NAMES_MAX: usize = 8;
/// Octets that the values of those fields may take.
const VALUES_MAX: usize = 2048;

/// The key of a GET request, and of the HEAD request for the same: method, scheme, host, path and
/// query, all of them always.
pub fn key(secure: bool, authority: Option<&Authority<'_>>, target: &Uri) -> String {
    let (scheme, default) = if secure { ("https", 443) } else { ("http", 80) };
    let target = target.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut key = String::with_capacity(16 + target.len() + 64);
    let _ = write!(key, "GET {scheme}://");
    if let Some(authority) = authority {
        let _ = write!(key, "{}:{}", authority.host, authority.port.unwrap_or(default));
    }
    key.push_str(target);
    key
}

/// The host, without its port, and the path and query that a key is for.
pub fn target(key: &str) -> (&str, &str) {
    let rest = key.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (authority.rsplit_once(':').map_or(authority, |(host, _)| host), path)
}

/// The fields that a response varies by, with their values in the request that it answered
/// (RFC 9111 section 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    fields: Vec<(HeaderName, Option<Vec<u8>>)>,
}

impl Variant {
    /// That of a response to a request; `None`: it varies by what no key can hold.
    pub fn of(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let mut fields: Vec<(HeaderName, Option<Vec<u8>>)> = Vec::new();
        for value in response.get_all(VARY) {
            for name in value.as_bytes().split(|octet| *octet == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() {
                    continue;
                }
                if name == b"*" {
                    return None;
                }
                let name = HeaderName::from_bytes(name).ok()?;
                if fields.iter().all(|(known, _)| *known != name) {
                    let value = joined(request, &name);
                    fields.push((name, value));
                }
            }
        }
        let octets: usize =
            fields.iter().filter_map(|(_, value)| Some(value.as_ref()?.len())).sum();
        if fields.len() > NAMES_MAX || octets > VALUES_MAX {
            return None;
        }
        fields.sort_unstable_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
        Some(Self { fields })
    }

    /// Whether it answers a request too.
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.fields.iter().all(|(name, value)| joined(request, name) == *value)
    }
}

/// The values of a field as one; blanks around commas mean nothing.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut all: Option<Vec<u8>> = None;
    for value in headers.get_all(name) {
        for part in value.as_bytes().split(|octet| *octet == b',').map(<[u8]>::trim_ascii) {
            let all = all.get_or_insert_default();
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(part);
        }
    }
    // Names of codings are not told apart by case (RFC 9110 section 8.4.1).
    if let Some(all) = all.as_mut().filter(|_| *name == ACCEPT_ENCODING) {
        all.make_ascii_lowercase();
    }
    all
}
