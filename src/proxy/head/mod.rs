//! The head of a message: what of it is believed, refused, left out and added on the way.

mod authority;
mod forwarded;
mod hop;
mod path;
#[cfg(test)]
mod tests;
mod trace;

use std::borrow::Cow;

use http::request::Parts;
use http::{Method, Version};

pub use authority::Authority;
pub use forwarded::{Peer, Told, forward, written};
pub use hop::{Hop, leave_request, leave_response};
pub use path::{canonical, encoded, replace_path, replace_prefix};
pub use trace::Trace;

use super::refused::Refused;

/// What a request is about, once its head is found sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Whom it is for; `None`: HTTP/1.0 without a host.
    pub authority: Option<Authority<'a>>,
    /// The path that routes look at; what is sent on is the path as it came.
    pub path: Cow<'a, str>,
}

/// Reads the head of a request that came over TLS (`secure`) or without.
pub fn read(parts: &Parts, secure: bool) -> Result<Asked<'_>, Refused> {
    let scheme = parts.uri.scheme_str();
    // An authority without a scheme is the target of CONNECT, whatever the method says.
    let bare = scheme.is_none() && parts.uri.authority().is_some();
    if parts.method == Method::CONNECT {
        return Err(Refused::Connect);
    }
    if bare && parts.version < Version::HTTP_2 {
        return Err(Refused::Target);
    }
    if scheme.is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Refused::Scheme);
    }
    let authority = authority::read(parts, secure)?;
    let raw = parts.uri.path();
    let path = match raw {
        // RFC 9112 section 3.2.4: the asterisk asks about the server as a whole.
        "*" if parts.method == Method::OPTIONS => Cow::Borrowed("*"),
        "" => Cow::Borrowed("/"),
        _ => canonical(raw)?,
    };
    if parts.uri.query().is_some_and(|query| query.bytes().any(|octet| octet.is_ascii_control())) {
        return Err(Refused::Path);
    }
    Ok(Asked { authority, path })
}
