//! The rate limits of all routes, whose keys share one table.

use std::net::IpAddr;
use std::sync::OnceLock;

use http::HeaderMap;
use http::header::COOKIE;

use super::failure::Failure;
use super::rate::{Limited, Rate, RateKey, RateTable, retry_after};
use crate::clock::{self, Tick};
use crate::model::{RateBy, RateLimit};

/// Keys that are known at a time, in two megabytes: of more, those with the most of their rate left
/// are forgotten.
const KEYS: usize = 1 << 18;

/// What all threads have counted.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Made when a route with a limit first gets a request.
    table: OnceLock<RateTable>,
}

impl Rates {
    /// Counts a request of the route of this name; the error is that its limit forbids it.
    pub(super) fn allow(
        &self,
        route: &str,
        limit: &RateLimit,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Result<(), Failure> {
        match self.rule(route, limit, headers, client, clock::now()) {
            Limited::Within => Ok(()),
            Limited::Beyond(wait) => {
                let seconds = u32::try_from(retry_after(wait)).unwrap_or(u32::MAX);
                Err(Failure::RateLimited(seconds))
            }
        }
    }

    fn rule(
        &self,
        route: &str,
        limit: &RateLimit,
        headers: &HeaderMap,
        client: IpAddr,
        now: Tick,
    ) -> Limited {
        let table = self.table.get_or_init(|| RateTable::new(KEYS, fastrand::u64(..)));
        let key = key(table, limit, headers, client).below(table.text(route.as_bytes()));
        table.rule(key, Rate::new(limit.requests, limit.per, limit.burst), now)
    }
}

/// Who leaves out the field or cookie is counted by address, so that this is no way around a limit.
fn key(table: &RateTable, limit: &RateLimit, headers: &HeaderMap, client: IpAddr) -> RateKey {
    let text = match &limit.by {
        RateBy::Client => None,
        RateBy::Header(name) => headers.get(name).map(http::HeaderValue::as_bytes),
        RateBy::Cookie(name) => cookie(headers, name),
        RateBy::Route => Some(&b""[..]),
    };
    text.map_or_else(|| table.client(client, limit.v6), |text| table.text(text))
}

/// The value of a cookie (RFC 6265 section 4.2).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let fields = headers.get_all(COOKIE).into_iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|octet| *octet == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn requests_are_counted_by_what_the_route_says() {
        let rates = Rates::default();
        let mut limit = RateLimit {
            by: RateBy::Client,
            requests: NonZeroU32::MIN,
            per: Duration::from_secs(60),
            burst: NonZeroU32::MIN,
            v6: 64,
        };
        let ask = |route, limit: &RateLimit, cookie: &'static str, client: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_static(cookie));
            headers.insert("x-key", HeaderValue::from_static(cookie));
            let client = client.parse().unwrap();
            rates.rule(route, limit, &headers, client, Tick(1000)) == Limited::Within
        };
        assert!(ask("a", &limit, "", "192.0.2.1"));
        assert!(!ask("a", &limit, "", "192.0.2.1"));
        assert!(ask("b", &limit, "", "192.0.2.1"), "each route by itself");
        assert!(ask("a", &limit, "", "2001:db8::1"));
        assert!(!ask("a", &limit, "", "2001:db8::2"), "one customer");
        limit.by = RateBy::Cookie("id".to_owned());
        assert!(ask("c", &limit, "x=1; id=7", "192.0.2.1"));
        assert!(!ask("c", &limit, "id=7; y", "192.0.2.2"));
        assert!(ask("c", &limit, "idx=7", "192.0.2.2"), "without the cookie by address");
        assert!(!ask("c", &limit, "", "192.0.2.2"));
        limit.by = RateBy::Header(HeaderName::from_static("x-key"));
        assert!(ask("d", &limit, "k1", "192.0.2.1") && ask("d", &limit, "k2", "192.0.2.1"));
        assert!(!ask("d", &limit, "k2", "192.0.2.9"));
        limit.by = RateBy::Route;
        assert!(ask("e", &limit, "k1", "192.0.2.1") && !ask("e", &limit, "k2", "192.0.2.2"));
    }
}
