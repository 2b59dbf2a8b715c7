//! For whom a request is sent on: `X-Forwarded-For`, `-Proto`, `-Host`, and `Forwarded`.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use http::header::{self, FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::Authority;
use crate::prefix::Prefix;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Hops that are looked back through; whoever stands before so many is believed to be the client.
const HOPS_MAX: usize = 32;

/// Other fields that origins read to learn the same.
const ALIASES: [&str; 9] = [
    "x-forwarded",
    "x-forwarded-by",
    "x-forwarded-port",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-original-host",
    "x-real-ip",
    "true-client-ip",
];

/// Who sent a request to this proxy, and how.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Where the connection comes from: the PROXY header's source, where there was one.
    pub address: IpAddr,
    /// The same as [`written`], once for all requests of a connection.
    pub written: &'a HeaderValue,
    /// Whether the connection is encrypted.
    pub secure: bool,
    /// The authority of the request.
    pub host: Option<&'a Authority<'a>>,
    /// Whose word is taken: `proxy.trusted_proxies`.
    pub trusted: &'a [Prefix],
}

/// What a request says of its client, as far as it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The last address that no trusted peer has.
    pub client: IpAddr,
    /// Whether the client's own connection is encrypted.
    pub secure: bool,
}

/// An address as the fields have it.
pub fn written(address: IpAddr) -> HeaderValue {
    // An address has nothing that a field may not have.
    HeaderValue::try_from(address.to_canonical().to_string())
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

impl Peer<'_> {
    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|prefix| prefix.contains(address))
    }
}

/// Rewrites the fields for the next hop. What a peer says who is not trusted is dropped, since
/// anyone can say it.
///
/// `Forwarded` (RFC 7239) is continued where a trusted peer sends it and no `X-Forwarded-For`; of
/// two stories the second could be the client's own.
pub fn forward(headers: &mut HeaderMap, peer: &Peer<'_>) -> Told {
    let trusted = peer.trusts(peer.address);
    let mut told = Told { client: peer.address.to_canonical(), secure: peer.secure };
    drop_lookalikes(headers, trusted);
    if !trusted {
        headers.remove(FORWARDED);
        for name in [PROTO, HOST] {
            headers.remove(name);
        }
    }
    let mut chain = String::new();
    if trusted && headers.contains_key(FOR) {
        told.client = last_untrusted(peer, &addresses(headers)).unwrap_or(told.client);
        for value in headers.get_all(FOR) {
            chain.push_str(value.to_str().unwrap_or_default());
            chain.push_str(", ");
        }
        headers.remove(FORWARDED);
    } else if trusted && headers.contains_key(FORWARDED) {
        told.client = last_untrusted(peer, &elements(headers)).unwrap_or(told.client);
        extend_forwarded(headers, peer);
    }
    if chain.is_empty() {
        headers.insert(FOR, peer.written.clone());
    } else {
        chain.push_str(peer.written.to_str().unwrap_or_default());
        set(headers, FOR, &chain);
    }
    let proto = headers.get(PROTO).filter(|_| single(headers, &PROTO));
    match proto.map(HeaderValue::as_bytes) {
        Some(b"https") => told.secure = true,
        Some(b"http") => told.secure = false,
        _ => {
            let scheme = if peer.secure { "https" } else { "http" };
            headers.insert(PROTO, HeaderValue::from_static(scheme));
        }
    }
    let host = headers.get(HOST).filter(|_| single(headers, &HOST));
    let host = host.and_then(|host| host.to_str().ok());
    if host.is_none_or(|host| Authority::read(host).is_err()) {
        headers.remove(HOST);
        if let Some(host) = peer.host {
            // Nearly always the client has written it so.
            let own = headers.get(header::HOST).filter(|own| host.is_written(own.as_bytes()));
            match own.cloned() {
                Some(own) => drop(headers.insert(HOST, own)),
                None => set(headers, HOST, &host.to_string()),
            }
        }
    }
    told
}

/// Takes out what some origins read as one of these fields: of strangers the aliases, and of
/// anybody names with underscores, which gateway interfaces cannot tell from hyphens.
fn drop_lookalikes(headers: &mut HeaderMap, trusted: bool) {
    let looks_alike = |name: &&HeaderName| {
        let text = name.as_str();
        let is_disguised = || {
            let plain = text.replace('_', "-");
            plain.starts_with("x-forwarded") || ALIASES.contains(&&plain[..])
        };
        // Names are in lower case, and few begin like these.
        matches!(text.as_bytes().first(), Some(b'x' | b't'))
            && (!trusted && ALIASES.contains(&text) || text.contains('_') && is_disguised())
    };
    // One pass finds out that there is none, as there nearly never is.
    while let Some(name) = headers.keys().find(looks_alike).cloned() {
        headers.remove(name);
    }
}

fn single(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_none()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}

/// The addresses of `X-Forwarded-For`, last first, as far as they are addresses.
fn addresses(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values: Vec<&HeaderValue> = headers.get_all(FOR).iter().collect();
    let texts = values.iter().rev().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.rsplit(',')).take(HOPS_MAX).map(|text| node(text.trim())).collect()
}

/// The `for` of each element of `Forwarded`, last first (RFC 7239 section 4). A quoted comma splits
/// an element, and its parts name no address.
fn elements(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values: Vec<&HeaderValue> = headers.get_all(FORWARDED).iter().collect();
    let texts = values.iter().rev().filter_map(|value| value.to_str().ok());
    let read = |element: &str| {
        let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        let (_, value) = found.next()?;
        node(value.trim().trim_matches('"'))
    };
    texts.flat_map(|text| text.rsplit(',')).take(HOPS_MAX).map(read).collect()
}

/// An address, with or without a port.
fn node(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| {
        let with_port = text.parse::<SocketAddr>().ok().map(|address| address.ip());
        with_port.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
    });
    address.map(|address: IpAddr| address.to_canonical())
}

/// The first address, from the last hop on, that no trusted peer has; where all are trusted, the
/// farthest. What is no address ends the chain: nobody says who wrote the rest.
fn last_untrusted(peer: &Peer<'_>, chain: &[Option<IpAddr>]) -> Option<IpAddr> {
    let known = chain.iter().map_while(|address| *address);
    let mut last = None;
    for address in known {
        last = Some(address);
        if !peer.trusts(address) {
            break;
        }
    }
    last
}

/// Adds an element for this hop (RFC 7239 section 4).
fn extend_forwarded(headers: &mut HeaderMap, peer: &Peer<'_>) {
    let mut all = String::new();
    for value in headers.get_all(FORWARDED) {
        all.push_str(value.to_str().unwrap_or_default());
        all.push_str(", ");
    }
    let _ = match peer.address.to_canonical() {
        IpAddr::V4(address) => write!(all, "for={address}"),
        IpAddr::V6(address) => write!(all, "for=\"[{address}]\""),
    };
    let _ = write!(all, ";proto={}", if peer.secure { "https" } else { "http" });
    if let Some(host) = peer.host {
        let _ = write!(all, ";host=\"{host}\"");
    }
    set(headers, FORWARDED, &all);
}
