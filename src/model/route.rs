//! Routes: which requests go to which pool, and how.

use std::time::Duration;

use http::{HeaderName, Method};
use regex::Regex;

use super::{Action, Balance, CacheRules, ClientCertificate, PoolId, Protection, Shape, Way};

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// What metrics and logs call it; no two routes have the same name.
    pub name: String,
    /// The hosts it is for; none: all.
    pub hosts: Vec<HostPattern>,
    /// The paths it is for.
    pub path: PathPattern,
    /// Header fields that a request must have, by name and value.
    pub headers: Vec<(HeaderName, String)>,
    /// Methods it is for; none: all.
    pub methods: Vec<Method>,
    /// What becomes of its requests.
    pub action: Action,
    /// How one of the pool's endpoints is chosen.
    pub balance: Balance,
    /// How long each step may take.
    pub timeouts: RouteTimeouts,
    /// When a request is tried again.
    pub retry: Retry,
    /// When a second endpoint is asked beside the first; `None`: never.
    pub hedge: Option<Hedge>,
    /// Which replies are kept; `None`: none.
    pub cache: Option<CacheRules>,
    /// How endpoints are spoken to.
    pub upstream: Upstream,
    /// Whether clients must show a certificate.
    pub client_certificate: ClientCertificate,
    /// An endpoint that comes up gets its full share after this time.
    pub slow_start: Duration,
    /// What is done with heads and bodies.
    pub shape: Shape,
    /// What keeps its endpoints alive.
    pub protection: Protection,
}

impl Route {
    /// Where its requests go; `None`: nowhere, they are answered here.
    pub fn pool(&self) -> Option<PoolId> {
        match self.action {
            Action::Pool(pool) => Some(pool),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }
}

/// The hosts that a route is for; in lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// All names below this one, which begins with a dot.
    Below(String),
}

/// The paths that a route is for.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// This one and what is below it, segment by segment.
    Prefix(String),
    /// This one.
    Exact(String),
    /// Those that match.
    Regex(Regex),
}

impl PathPattern {
    /// Whether a path, without the query, is one of them.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Regex(regex) => regex.is_match(path),
            Self::Prefix(prefix) => path.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')
            }),
        }
    }
}

/// `timeouts` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// To connect to an endpoint.
    pub connect: Duration,
    /// From the request's end to the reply's head, of each try.
    pub response: Duration,
    /// Between two parts of a body, and for a connection to an endpoint without a request.
    pub idle: Duration,
    /// From the request's head to the reply's head, over all tries.
    pub request: Duration,
    /// A WebSocket, or what else became of a connection, through which nothing goes.
    pub websocket: Duration,
}

/// `retry` of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Tries in all, the first one included; 1: a request is never tried again.
    pub attempts: u32,
    /// No connection could be made.
    pub on_connect: bool,
    /// The connection broke before the reply began.
    pub on_reset: bool,
    /// Replies with these statuses.
    pub on_status: Vec<u16>,
    /// Tries beside the first, as a share of all requests.
    pub budget: f64,
}

/// `hedge` of a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// How long the first endpoint has to reply.
    pub after: HedgeAfter,
    /// Second requests, as a share of all that may have one.
    pub budget: f64,
}

/// When a second endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// After this time.
    Time(Duration),
    /// When the reply takes longer than nineteen of twenty did lately.
    P95,
}

/// `upstream` of a route.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The port of endpoints.
    pub port: u16,
    /// Requests that one endpoint gets at a time from this node; more go to others, or fail.
    pub max_connections: u32,
    /// How they are spoken to.
    pub way: Way,
}
