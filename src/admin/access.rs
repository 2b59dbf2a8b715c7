//! Who may do what over the admin listener.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::warn;

use super::Admin;
use super::listener::Peer;
use super::problem::Problem;
use super::routes::role_of;
use crate::clock::{self, Tick};
use crate::model::{self, AdminListen, Role, Token};

/// Whose rights a request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    /// Name of the token or of the certificate, or how the connection came.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
    /// Where the connection came from.
    pub(super) address: String,
}

/// Refuses requests without the rights they need; others go on with a [`Who`].
pub(super) async fn guard(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Err(problem) = check_host(&admin, request.headers(), &peer) {
        return problem.into_response();
    }
    let who = match identify(&admin, request.headers(), &peer) {
        Ok(who) => who,
        Err(problem) => return problem.into_response(),
    };
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let needed = role_of(request.method(), path);
    if who.role < needed {
        let what = format!("`{}` may read only", who.name);
        let problem = Problem::new(StatusCode::FORBIDDEN, what);
        return problem.hint("use a token with the role operate").into_response();
    }
    request.extensions_mut().insert(who);
    next.run(request).await
}

/// Whom a request's certificate or token belongs to.
fn identify(admin: &Admin, headers: &HeaderMap, peer: &Peer) -> Result<Who, Problem> {
    let who = |name: String, role| Who { name, role, address: peer.to_string() };
    if let Some(name) = peer.certificate() {
        return Ok(who(name, Role::Operate));
    }
    let snapshot = admin.snapshot.load();
    let current = snapshot.state.as_ref().and_then(|state| state.loaded.model.node.admin.as_ref());
    let current = current.unwrap_or(&admin.settings);
    // What the listener was opened as holds until the process ends.
    let local = admin.settings.listen.is_local() && admin.settings.client_ca().is_none();
    let Some(tokens) = current.tokens.as_ref() else {
        if local {
            return Ok(who(peer.kind().to_owned(), Role::Operate));
        }
        return Err(denied(admin, peer));
    };
    let found = bearer(headers).and_then(|token| find(tokens, token));
    found.map(|token| who(token.name.clone(), token.role)).ok_or_else(|| denied(admin, peer))
}

/// The token of a request (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The token with this text. All are compared, each in whole, so that time tells nothing.
fn find<'a>(tokens: &'a [Token], text: &str) -> Option<&'a Token> {
    let digest = model::token_digest(text);
    tokens.iter().fold(None, |found, token| {
        let differing =
            token.digest.iter().zip(&digest).fold(0, |differing, (a, b)| differing | (a ^ b));
        if std::hint::black_box(differing) == 0 { Some(token) } else { found }
    })
}

/// What to say without rights; too many such requests are told to wait, and are not logged.
fn denied(admin: &Admin, peer: &Peer) -> Problem {
    let mut failures = admin.failures.0.lock().unwrap_or_else(PoisonError::into_inner);
    if failures.count(peer.ip(), clock::now()) {
        let problem =
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests without rights");
        let seconds = WINDOW.as_secs();
        let wait = HeaderValue::from(seconds);
        return problem.hint("wait a minute").header(header::RETRY_AFTER, wait);
    }
    warn!(peer = %peer, "a request to the admin listener without rights");
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "this needs a token or a certificate");
    let scheme = HeaderValue::from_static("Bearer");
    let hint = "send `Authorization: Bearer TOKEN`; `meridian admin token` makes one";
    problem.hint(hint).header(header::WWW_AUTHENTICATE, scheme)
}

/// A page of another site that a browser shows must not reach this listener under a name of its
/// own (DNS rebinding): the host asked for must be one of ours.
fn check_host(admin: &Admin, headers: &HeaderMap, peer: &Peer) -> Result<(), Problem> {
    if peer.is_unix() {
        return Ok(());
    }
    let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_own_host(&admin.settings, asked) {
        return Ok(());
    }
    let what = format!("the host `{asked}` is not one of this listener");
    let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, what);
    Err(problem.hint("use its address, or name the host in `hosts` of [admin]"))
}

/// Whether a Host header names this listener: as loopback, by its address, or by a listed name.
fn is_own_host(settings: &model::Admin, asked: &str) -> bool {
    let (host, _) = match asked.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => (host, port),
        _ => (asked, ""),
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let own = match &settings.listen {
            AdminListen::Tcp(listen) => listen.ip() == address || listen.ip().is_unspecified(),
            AdminListen::Unix(_) => false,
        };
        return own || address.is_loopback();
    }
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    bare.eq_ignore_ascii_case("localhost")
        || settings.hosts.iter().any(|own| own.eq_ignore_ascii_case(bare))
}

/// Failures of one address in this time are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// Failures of one address in [`WINDOW`] that are answered as such.
const FAILURES_MAX: u32 = 10;
/// Addresses that are remembered; the one that is there longest makes room.
const ADDRESSES_MAX: usize = 1_024;

/// Requests without rights by address. A short lock, taken for refusals alone.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Counts>);

/// Since when, and how many.
#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, (Tick, u32)>,
}

impl Counts {
    /// Counts a failure; `true`: there were too many lately.
    fn count(&mut self, address: IpAddr, now: Tick) -> bool {
        let address = network(address);
        let fresh = |since: Tick| now.since(since) < WINDOW;
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, (since, _)| fresh(*since));
            let oldest = self.by_address.iter().min_by_key(|(_, (since, _))| *since);
            let oldest = oldest.map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| self.by_address.len() >= ADDRESSES_MAX) {
                self.by_address.remove(&oldest);
            }
        }
        let (since, count) = self.by_address.entry(address).or_insert((now, 0));
        if !fresh(*since) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count > FAILURES_MAX
    }
}

/// One client has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => std::net::Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
        },
    }
}

impl Peer {
    /// The address that failures are counted under; all of a socket file count as one.
    fn ip(&self) -> IpAddr {
        self.address().map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_address_and_forgotten_after_a_minute() {
        let mut counts = Counts::default();
        let now = Tick::START;
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let told: Vec<bool> = (0..12).map(|_| counts.count(one, now)).collect();
        assert_eq!(told.iter().filter(|limited| **limited).count(), 2);
        assert!(!counts.count("192.0.2.2".parse().unwrap(), now), "another address");
        assert!(!counts.count(one, now + WINDOW), "a minute later");
        for n in 0..5_000_u32 {
            counts.count(Ipv4Addr::from(n).into(), now + WINDOW);
        }
        assert_eq!(counts.by_address.len(), ADDRESSES_MAX);
    }

    #[test]
    fn hosts_are_those_of_the_listener() {
        let settings = |listen: &str| model::Admin {
            listen: AdminListen::Tcp(listen.parse().unwrap()),
            hosts: vec!["fra-1.example.net".to_owned()],
            tokens: None,
            tls: None,
        };
        for (listen, asked, own) in [
            ("127.0.0.1:8053", "127.0.0.1:8053", true),
            ("127.0.0.1:8053", "localhost", true),
            ("127.0.0.1:8053", "LOCALHOST:8053", true),
            ("127.0.0.1:8053", "[::1]:8053", true),
            ("127.0.0.1:8053", "fra-1.example.net:8053", true),
            ("127.0.0.1:8053", "evil.example.com", false),
            ("127.0.0.1:8053", "localhost.evil.example.com", false),
            ("127.0.0.1:8053", "192.0.2.1", false),
            ("127.0.0.1:8053", "", false),
            ("192.0.2.1:8053", "192.0.2.1:8053", true),
            ("192.0.2.1:8053", "192.0.2.2:8053", false),
            ("0.0.0.0:8053", "192.0.2.2:8053", true),
        ] {
            assert_eq!(is_own_host(&settings(listen), asked), own, "{listen} {asked}");
        }
    }

    #[test]
    fn a_token_is_found_by_its_digest() {
        let token = |name: &str, text: &str| Token {
            name: name.to_owned(),
            role: Role::Read,
            digest: model::token_digest(text),
        };
        let tokens = [token("a", "one"), token("b", "two")];
        assert_eq!(find(&tokens, "two").map(|token| token.name.as_str()), Some("b"));
        assert!(find(&tokens, "three").is_none() && find(&tokens, "").is_none());
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer two"));
        assert_eq!(bearer(&headers), Some("two"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic two"));
        assert_eq!(bearer(&headers), None);
    }
}
