//! The canonical authority of a request: one host and port, wherever the request names them.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Version};

use super::Refused;

/// Longest host: what DNS can hold.
const HOST_MAX: usize = 253;

/// A host and what port it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// In lower case and without a dot at its end; an IPv6 address has brackets.
    pub host: Cow<'a, str>,
    /// `None`: that of the scheme.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`.
    pub fn read(text: &'a str) -> Result<Self, Refused> {
        if text.contains('@') {
            return Err(Refused::UserInfo);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => address(text, rest)?,
            None => name(text)?,
        };
        let port = match port {
            "" => None,
            _ if port.len() > 5 || !port.bytes().all(|octet| octet.is_ascii_digit()) => {
                return Err(Refused::Host);
            }
            _ => Some(port.parse().map_err(|_| Refused::Host)?),
        };
        let upper = host.bytes().any(|octet| octet.is_ascii_uppercase());
        let host = if upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) };
        Ok(Self { host, port })
    }

    /// Whether a text is this authority in the form that [`Display`](std::fmt::Display) gives.
    pub(super) fn is_written(&self, text: &[u8]) -> bool {
        let rest = text.strip_prefix(self.host.as_bytes());
        match (rest, self.port) {
            (Some([]), None) => true,
            (Some([b':', port @ ..]), Some(own)) => is_decimal(port, own),
            _ => false,
        }
    }

    /// Whether both name one place over one scheme.
    fn is_same(&self, other: &Self, secure: bool) -> bool {
        let default = if secure { 443 } else { 80 };
        self.host == other.host && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

impl std::fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Whether a text is this number in digits, the first of which is not 0.
fn is_decimal(text: &[u8], number: u16) -> bool {
    let digit = |octet: &u8| char::from(*octet).to_digit(10);
    let value = text.iter().try_fold(0_u32, |value, octet| {
        digit(octet).map(|digit| value.saturating_mul(10).saturating_add(digit))
    });
    value == Some(u32::from(number)) && (text.first() != Some(&b'0') || text == b"0")
}

/// The address in brackets that a text begins with, and the port behind it.
fn address<'a>(text: &'a str, rest: &'a str) -> Result<(&'a str, &'a str), Refused> {
    let (inside, behind) = rest.split_once(']').ok_or(Refused::Host)?;
    inside.parse::<Ipv6Addr>().map_err(|_| Refused::Host)?;
    let host = text.get(..inside.len() + 2).ok_or(Refused::Host)?;
    match behind.strip_prefix(':') {
        None if behind.is_empty() => Ok((host, "")),
        None => Err(Refused::Host),
        Some(port) => Ok((host, port)),
    }
}

/// The name or IPv4 address that a text begins with, and the port behind it.
fn name(text: &str) -> Result<(&str, &str), Refused> {
    let (host, port) = text.split_once(':').unwrap_or((text, ""));
    let host = host.strip_suffix('.').unwrap_or(host);
    // RFC 3986 allows more in a registered name; DNS and certificates do not.
    let is_sound = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    let dots = host.starts_with('.') || host.contains("..") || host.ends_with('.');
    if host.is_empty() || host.len() > HOST_MAX || dots || !host.bytes().all(is_sound) {
        return Err(Refused::Host);
    }
    Ok((host, port))
}

/// The authority of a request, on which all that name it agree.
pub(super) fn read(parts: &Parts, secure: bool) -> Result<Option<Authority<'_>>, Refused> {
    let host = match host(&parts.headers)? {
        Some(text) => Some(Authority::read(text)?),
        None => None,
    };
    let target = match parts.uri.authority() {
        Some(authority) => Some(Authority::read(authority.as_str())?),
        None => None,
    };
    // The scheme that the ports are those of.
    let secure = parts.uri.scheme_str().map_or(secure, |scheme| scheme == "https");
    match (host, target) {
        // RFC 9112 section 3.2.2 lets the target win; RFC 9113 section 8.3.1 forbids that they
        // differ. The next reader may take the other one, so they must agree.
        (Some(host), Some(target)) if !host.is_same(&target, secure) => Err(Refused::HostDiffers),
        (Some(host), _) => Ok(Some(host)),
        (None, Some(target)) if parts.version >= Version::HTTP_2 => Ok(Some(target)),
        // RFC 9112 section 3.2.
        (None, _) if parts.version != Version::HTTP_10 => Err(Refused::NoHost),
        (None, target) => Ok(target),
    }
}

/// The one host of a request.
fn host(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let mut values = headers.get_all(HOST).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refused::Hosts);
    }
    value.to_str().map(Some).map_err(|_| Refused::Host)
}
