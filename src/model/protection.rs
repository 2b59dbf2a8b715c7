//! What keeps the endpoints of a route alive, and its other requests: ejection, queues, rates.

use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;

/// What a route does against overload and failure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Protection {
    /// When endpoints are left out; `None`: never, and nothing that they do is told to health.
    pub eject: Option<Eject>,
    /// Requests that may wait for a place, in each region; 0: none.
    pub queue: u32,
    /// How long each may wait.
    pub queue_time: Duration,
    /// How much requests matter; `None`: all the same, and the last place is for any of them.
    pub priority: Option<Prioritized>,
    /// How many requests the same key may make; `None`: any number.
    pub rate_limit: Option<RateLimit>,
    /// Whether other regions help out; `None`: never.
    pub rescue: Option<Rescue>,
    /// From the head of a request to the end of its reply; `None`: any time.
    pub total: Option<Duration>,
}

/// `eject` of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Eject {
    /// When endpoints are left out, and for how long.
    pub rules: EjectRules,
    /// Statuses that count as errors.
    pub statuses: Vec<u16>,
}

/// When endpoints are ejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EjectRules {
    /// Errors in a row, at least 1.
    pub errors: u32,
    /// The time in which they come, and for which an endpoint must be slow.
    pub within: Duration,
    /// How long an endpoint is left out; it doubles with each repetition.
    pub time: Duration,
    /// The share of the endpoints that may be left out at once.
    pub max_share: f64,
    /// The multiple of the median response time beyond which an endpoint is slow; `None`: no
    /// endpoint ever is.
    pub slow: Option<f64>,
}

/// How much a request matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// May be turned away first.
    Low,
    /// Says nothing.
    #[default]
    Normal,
    /// Is turned away last.
    High,
}

impl Priority {
    /// All of them, what matters least first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// The word in files and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// `priority` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prioritized {
    /// All its requests alike.
    Fixed(Priority),
    /// As a header field says.
    Header {
        /// Its name.
        name: HeaderName,
        /// Whether every client is believed, rather than `proxy.trusted_proxies` alone.
        from_all: bool,
    },
}

/// `rate_limit` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Which requests are counted together.
    pub by: RateBy,
    /// So many.
    pub requests: NonZeroU32,
    /// In this time.
    pub per: Duration,
    /// So many at once.
    pub burst: NonZeroU32,
    /// Length of the prefix of IPv6 that is one client.
    pub v6: u8,
}

/// Which requests a rate limit counts together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateBy {
    /// Those of one client.
    Client,
    /// Those with the same value in a header field.
    Header(HeaderName),
    /// Those with the same cookie of this name.
    Cookie(String),
    /// All of the route.
    Route,
}

/// `rescue` of a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescue {
    /// How long after the own region has gone down; `None`: for as long as that lasts.
    pub time: Option<Duration>,
    /// The share of the requests that go elsewhere; the others fail.
    pub share: f64,
}
