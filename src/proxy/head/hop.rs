//! Fields that end at the next hop (RFC 9110 section 7.6.1).

use http::header::{
    CONNECTION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Version};

use super::Refused;

/// Names that `Connection` may list: far more than any client does.
const NAMES_MAX: usize = 32;

/// Fields of a connection whether or not `Connection` names them.
const OWN: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields for everyone on the way, which `Connection` must not take out: the next reader would
/// believe other things than this one.
const FOR_EVERYONE: [&str; 12] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "set-cookie",
    "traceparent",
    "via",
    "x-real-ip",
];

/// What the fields that were taken out meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The connection ends after this message.
    pub close: bool,
    /// The sender reads trailers (`TE: trailers`), as gRPC needs.
    pub trailers: bool,
    /// The protocol that the sender would change to, or changes to.
    pub upgrade: Option<HeaderValue>,
}

impl Hop {
    /// Puts in what the next hop must know: an upgrade, over HTTP/1.1, and whether trailers are
    /// read.
    pub fn enter(&self, headers: &mut HeaderMap) {
        if let Some(protocol) = &self.upgrade {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, protocol.clone());
        }
        if self.trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Takes the fields of the connection out of a request.
pub fn leave_request(headers: &mut HeaderMap, version: Version) -> Result<Hop, Refused> {
    let mut hop = leave(headers)?;
    // RFC 9110 section 7.8: an upgrade in HTTP/1.0 is ignored. Another HTTP below the one that
    // is checked here would be a tunnel past all rules.
    let tunnels = |value: &HeaderValue| {
        let is_http = |name: &[u8]| {
            let name = name.trim_ascii();
            name.eq_ignore_ascii_case(b"h2c")
                || name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"http"))
                || name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"tls/"))
        };
        value.as_bytes().split(|octet| *octet == b',').any(is_http)
    };
    if version != Version::HTTP_11 || hop.upgrade.as_ref().is_some_and(tunnels) {
        hop.upgrade = None;
    }
    Ok(hop)
}

/// Takes the fields of the connection out of a response.
pub fn leave_response(headers: &mut HeaderMap) -> Result<Hop, Refused> {
    leave(headers)
}

fn leave(headers: &mut HeaderMap) -> Result<Hop, Refused> {
    let trailers = headers.get_all(TE).iter().any(|value| {
        let mut codings = value.as_bytes().split(|octet| *octet == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    let mut hop = Hop { trailers, ..Hop::default() };
    if headers.contains_key(CONNECTION) {
        let mut upgrades = false;
        for name in named(headers)? {
            match name.as_str() {
                "close" => hop.close = true,
                // Its field is needed once more.
                "upgrade" => upgrades = true,
                _ => {
                    headers.remove(name);
                }
            }
        }
        hop.upgrade = headers.remove(UPGRADE).filter(|_| upgrades);
    }
    // One pass finds out that there is none, as there nearly never is.
    while let Some(name) = headers.keys().find(|name| is_own(name)).cloned() {
        headers.remove(name);
    }
    Ok(hop)
}

/// Whether a field is of a connection always; its length says no nearly always.
fn is_own(name: &HeaderName) -> bool {
    matches!(name.as_str().len(), 2 | 7 | 10 | 16..=19) && OWN.contains(name)
}

/// The fields that `Connection` names, those of its own options included.
fn named(headers: &HeaderMap) -> Result<Vec<HeaderName>, Refused> {
    let mut names = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for text in value.as_bytes().split(|octet| *octet == b',').map(<[u8]>::trim_ascii) {
            // RFC 9110 section 5.6.1: empty elements are ignored.
            if text.is_empty() {
                continue;
            }
            let name = HeaderName::from_bytes(text).map_err(|_| Refused::Connection)?;
            let text = name.as_str();
            if FOR_EVERYONE.contains(&text) || text.starts_with("x-forwarded-") {
                return Err(Refused::ConnectionNames);
            }
            if names.len() == NAMES_MAX {
                return Err(Refused::Connection);
            }
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_connection_are_known_by_their_length() {
        assert!(OWN.iter().all(is_own));
        assert!(!is_own(&http::header::USER_AGENT) && !is_own(&http::header::COOKIE));
    }
}
