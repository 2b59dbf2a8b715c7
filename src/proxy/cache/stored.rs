//! Whether a response may be kept, and how long it is of use.

use std::time::Duration;

use http::header::{
    AGE, AUTHORIZATION, CONTENT_RANGE, DATE, ETAG, EXPIRES, LAST_MODIFIED, RANGE, SET_COOKIE,
};
use http::{HeaderMap, Method, StatusCode};

use super::control::seconds;
use super::{Control, Variant};
use crate::model::CacheRules;

/// Why a response is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is no GET.
    Method,
    /// The request asks for a part, or says that nothing is to be kept.
    Request,
    /// It is for one client: Authorization, Set-Cookie or `private`.
    Personal,
    /// The origin says that nothing is to be kept.
    NoStore,
    /// A status that is not kept.
    Status,
    /// It varies by too much.
    Vary,
    /// It is not fresh for any time, and cannot be validated.
    Stale,
}

/// A request, its response, and when they went and came in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// The fields of the request as the client sent it.
    pub request: &'a HeaderMap,
    /// The status of the response.
    pub status: StatusCode,
    /// The fields of the response.
    pub response: &'a HeaderMap,
    /// When the request was sent on.
    pub sent: u64,
    /// When the head of the response came.
    pub received: u64,
}

/// How long a kept response is of use, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which requests it answers.
    pub variant: Variant,
    /// When it was made, by its own account: in seconds since 1970, so that age is the time since.
    born: u64,
    /// Seconds of age up to which it is fresh.
    fresh: u64,
    /// Seconds beyond, in which it may be used while it is fetched anew.
    while_revalidate: u64,
    /// Seconds beyond, in which it may be used when the origin fails.
    if_error: u64,
}

/// What may be done with a kept response for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is the answer.
    Fresh,
    /// It is the answer, and is to be fetched anew behind it.
    Refresh,
    /// The origin must be asked; `if_error`: should it fail, this is the answer after all.
    Ask {
        /// Whether it may be used when the origin fails.
        if_error: bool,
    },
    /// The client wants it only if it need not wait: 504.
    Unavailable,
}

impl Stored {
    /// Decides on a response.
    pub fn new(exchange: &Exchange<'_>, rules: &CacheRules) -> Result<Self, Refusal> {
        let control = permitted(exchange)?;
        let variant = Variant::of(exchange.response, exchange.request).ok_or(Refusal::Vary)?;
        let validates =
            exchange.response.contains_key(ETAG) || exchange.response.contains_key(LAST_MODIFIED);
        let fresh = if control.no_cache { 0 } else { lifetime(exchange, &control) };
        let strict = control.must_revalidate || control.no_cache;
        let stale = |said: Option<u64>, rule: Duration| {
            if strict { 0 } else { said.unwrap_or(rule.as_secs()) }
        };
        let while_revalidate = stale(control.stale_while_revalidate, rules.stale_while_revalidate);
        let if_error = stale(control.stale_if_error, rules.stale_if_error);
        // Without an explicit lifetime nothing is known of how long it is right, even stale.
        let said = control.s_maxage.or(control.max_age).is_some()
            || exchange.response.contains_key(EXPIRES);
        if !validates && (!said || (fresh == 0 && while_revalidate == 0 && if_error == 0)) {
            return Err(Refusal::Stale);
        }
        let (while_revalidate, if_error) = if said { (while_revalidate, if_error) } else { (0, 0) };
        Ok(Self { variant, born: born(exchange), fresh, while_revalidate, if_error })
    }

    /// Its age at `now`, for the field Age.
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.born)
    }

    /// When it is of no more use without its origin, in seconds since 1970.
    pub fn useless(&self) -> u64 {
        let stale = self.while_revalidate.max(self.if_error);
        self.born.saturating_add(self.fresh).saturating_add(stale)
    }

    /// What may be done with it for a request that it matches.
    pub fn serve(&self, request: &HeaderMap, rules: &CacheRules, now: u64) -> Use {
        let control = Control::read(request);
        let age = self.age(now);
        let over = age.saturating_sub(self.fresh);
        let is_fresh = age < self.fresh;
        let unwanted = rules.obey_requests
            && (control.no_cache
                || control.no_store
                || control.max_age.is_some_and(|most| age > most)
                || control.min_fresh.is_some_and(|least| age + least > self.fresh));
        match () {
            () if is_fresh && !unwanted => Use::Fresh,
            () if !is_fresh && over < self.while_revalidate && !unwanted => Use::Refresh,
            // RFC 9111 section 5.2.1.7.
            () if control.only_if_cached => Use::Unavailable,
            () => Use::Ask { if_error: is_fresh || over < self.if_error },
        }
    }
}

/// What the response says of itself, if it may be kept at all (RFC 9111 section 3).
fn permitted(exchange: &Exchange<'_>) -> Result<Control, Refusal> {
    if exchange.method != Method::GET {
        return Err(Refusal::Method);
    }
    let Exchange { request, response, .. } = exchange;
    if request.contains_key(RANGE) || Control::read(request).no_store {
        return Err(Refusal::Request);
    }
    let control = Control::read(response);
    if control.no_store {
        return Err(Refusal::NoStore);
    }
    // RFC 9111 section 3.5 has exceptions for Authorization; whoever writes `public` out of habit
    // would hand one client's data to all.
    let personal = request.contains_key(AUTHORIZATION) || response.contains_key(SET_COOKIE);
    if personal || control.private {
        return Err(Refusal::Personal);
    }
    let kept = matches!(
        exchange.status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 302 | 307 | 308 | 404 | 405 | 410 | 414 | 501
    );
    if !kept || response.contains_key(CONTENT_RANGE) { Err(Refusal::Status) } else { Ok(control) }
}

/// Seconds for which a response is fresh from its birth on (RFC 9111 section 4.2.1).
fn lifetime(exchange: &Exchange<'_>, control: &Control) -> u64 {
    if let Some(seconds) = control.s_maxage.or(control.max_age) {
        return seconds;
    }
    let mut expires = exchange.response.get_all(EXPIRES).iter();
    let (Some(value), None) = (expires.next(), expires.next()) else { return 0 };
    // RFC 9111 section 5.3: what is no date, `0` above all, is in the past.
    let expires = value.to_str().ok().and_then(date).unwrap_or(0);
    expires.saturating_sub(dated(exchange))
}

/// When the response was made, by its age on arrival (RFC 9111 section 4.2.3).
fn born(exchange: &Exchange<'_>) -> u64 {
    let Exchange { sent, received, .. } = *exchange;
    let apparent = received.saturating_sub(dated(exchange));
    let ages = exchange.response.get_all(AGE).iter().map(|value| seconds(value.as_bytes()));
    let told = ages.max().unwrap_or(0).saturating_add(received.saturating_sub(sent));
    received.saturating_sub(apparent.max(told))
}

/// The time that a response bears, else that of its arrival.
fn dated(exchange: &Exchange<'_>) -> u64 {
    let text = exchange.response.get(DATE).and_then(|value| value.to_str().ok());
    text.and_then(date).unwrap_or(exchange.received)
}

/// Reads a date of HTTP in seconds since 1970.
pub(super) fn date(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

/// Whether a request changes what its target is, so that what is kept of it must go (RFC 9111
/// section 4.4).
pub fn invalidates(method: &Method, status: StatusCode) -> bool {
    !method.is_safe() && (status.is_success() || status.is_redirection())
}
