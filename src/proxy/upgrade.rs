//! Upgrades: what a client asks for, and what an endpoint makes of it.

use data_encoding::BASE64;
use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::failure::Failure;
use super::head::Hop;

/// The protocol whose frames are known here.
const WEBSOCKET: &str = "websocket";
/// What an answer to a key is made with (RFC 6455 section 4.2.2).
const ACCEPT_WITH: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Another protocol that a client would speak.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// The protocols that it offers.
    pub(super) offered: HeaderValue,
    /// Its side of the connection, once the protocol has changed.
    pub(super) client: OnUpgrade,
    /// Over HTTP/2: what the endpoint must answer to the key that we made. `None`: the client
    /// speaks HTTP/1.1, and compares it itself.
    pub(super) accept: Option<HeaderValue>,
}

impl Upgrade {
    /// Whether a reply that was [judged](judge) changes the protocol.
    pub(super) fn has_changed<B>(&self, reply: &Response<B>) -> bool {
        let changed = match self.accept {
            None => StatusCode::SWITCHING_PROTOCOLS,
            Some(_) => StatusCode::OK,
        };
        reply.status() == changed
    }

    /// Whether it offers a WebSocket and nothing else.
    pub(super) fn is_websocket(&self) -> bool {
        self.offered.as_bytes().trim_ascii().eq_ignore_ascii_case(WEBSOCKET.as_bytes())
    }
}

/// Makes a request of HTTP/1.1 of one that opens a WebSocket over HTTP/2 (RFC 8441 section 5),
/// with a key of this `random` number. `None`: it asks for something else.
pub(super) fn unfold(parts: &mut Parts, random: u128) -> Option<HeaderValue> {
    let protocol = parts.extensions.get::<Protocol>()?;
    if parts.version != Version::HTTP_2 || !protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) {
        return None;
    }
    let authority = HeaderValue::from_str(parts.uri.authority()?.as_str()).ok()?;
    let key = BASE64.encode(&random.to_be_bytes());
    let accept = HeaderValue::from_str(&accepting(&key)).ok()?;
    let headers = &mut parts.headers;
    if !headers.contains_key(HOST) {
        headers.insert(HOST, authority);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).ok()?);
    headers.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
    parts.method = Method::GET;
    parts.version = Version::HTTP_11;
    Some(accept)
}

/// The answer of a server that understood this key.
fn accepting(key: &str) -> String {
    let text = format!("{key}{ACCEPT_WITH}");
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

/// Judges the reply to a request that may change its protocol; `hop` is what its connection fields
/// said, which are put back where they are the client's.
pub(super) fn judge<B>(
    reply: &mut Response<B>,
    hop: &Hop,
    offered: Option<&HeaderValue>,
    accept: Option<&HeaderValue>,
) -> Result<(), Failure> {
    if reply.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Over HTTP/2 success means that the tunnel is open (RFC 9113 section 8.5).
        let opens = accept.is_some() && reply.status().is_success();
        return if opens { Err(Failure::BadReply) } else { Ok(()) };
    }
    let (Some(offered), Some(chosen)) = (offered, &hop.upgrade) else {
        return Err(Failure::BadReply);
    };
    // RFC 9110 section 7.8: a server changes to nothing that was not offered.
    let chosen = chosen.as_bytes().trim_ascii();
    let mut names = offered.as_bytes().split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
    if chosen.is_empty() || !names.any(|name| name.eq_ignore_ascii_case(chosen)) {
        return Err(Failure::BadReply);
    }
    match accept {
        None => hop.enter(reply.headers_mut()),
        Some(accept) => {
            if reply.headers_mut().remove(SEC_WEBSOCKET_ACCEPT).as_ref() != Some(accept) {
                return Err(Failure::BadReply);
            }
            *reply.status_mut() = StatusCode::OK;
        }
    }
    Ok(())
}

/// The upgrade that a request asks for, where it may be had: `changes`.
pub(super) fn asked(
    parts: &mut Parts,
    hop: &mut Hop,
    changes: bool,
    accept: Option<HeaderValue>,
) -> Option<Upgrade> {
    let offered = hop.upgrade.take()?;
    let client = parts.extensions.remove::<OnUpgrade>().filter(|_| changes)?;
    hop.upgrade = Some(offered.clone());
    Some(Upgrade { offered, client, accept })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        assert_eq!(accepting("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_what_was_offered_is_changed_to() {
        let good = HeaderValue::from_static("good");
        for (case, status, chosen, offered, accept, answer, expected) in [
            ("a plain reply", 200, None, None, None, None, Some(200)),
            ("a reply that declines", 200, None, Some("websocket"), None, None, Some(200)),
            ("what was offered", 101, Some("WebSocket"), Some("websocket"), None, None, Some(101)),
            ("one of two", 101, Some("b"), Some("a, b"), None, None, Some(101)),
            ("two of two", 101, Some("a, b"), Some("a, b"), None, None, None),
            ("something else", 101, Some("c"), Some("a, b"), None, None, None),
            ("nothing named", 101, None, Some("a"), None, None, None),
            ("nothing asked", 101, Some("a"), None, None, None, None),
            ("over HTTP/2", 101, Some("a"), Some("a"), Some(&good), Some("good"), Some(200)),
            ("a wrong answer", 101, Some("a"), Some("a"), Some(&good), Some("bad"), None),
            ("no answer", 101, Some("a"), Some("a"), Some(&good), None, None),
            ("no tunnel", 200, None, Some("a"), Some(&good), None, None),
            ("declined", 403, None, Some("a"), Some(&good), None, Some(403)),
        ] {
            let mut reply = Response::builder().status(status);
            if let Some(answer) = answer {
                reply = reply.header(SEC_WEBSOCKET_ACCEPT, answer);
            }
            let mut reply = reply.body(()).unwrap();
            let hop = Hop { upgrade: chosen.map(HeaderValue::from_static), ..Hop::default() };
            let offered = offered.map(HeaderValue::from_static);
            let judged = judge(&mut reply, &hop, offered.as_ref(), accept);
            let status = judged.ok().map(|()| reply.status().as_u16());
            assert_eq!(status, expected, "{case}");
            let shown = status == Some(101);
            assert_eq!(reply.headers().contains_key(UPGRADE), shown, "{case}");
        }
    }

    #[test]
    fn a_websocket_over_http_2_is_asked_for_in_the_words_of_http_1() {
        let ask = |protocol: &'static str| {
            let request = http::Request::builder().method("CONNECT").version(Version::HTTP_2);
            let request = request.uri("https://a.test/chat").header("cookie", "k=v");
            let mut parts = request.body(()).unwrap().into_parts().0;
            parts.extensions.insert(Protocol::from_static(protocol));
            let accept = unfold(&mut parts, 7);
            (parts, accept)
        };
        let (parts, accept) = ask("websocket");
        assert_eq!(accept.unwrap(), accepting("AAAAAAAAAAAAAAAAAAAABw=="));
        assert_eq!((parts.method, parts.version), (Method::GET, Version::HTTP_11));
        let value = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
        for (name, expected) in [
            ("host", "a.test"),
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAABw=="),
            ("sec-websocket-version", "13"),
            ("cookie", "k=v"),
        ] {
            assert_eq!(value(&parts.headers, name), expected, "{name}");
        }
        let (parts, accept) = ask("connect-udp");
        assert_eq!((parts.method, accept), (Method::CONNECT, None));
    }
}
