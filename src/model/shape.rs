//! What a route does with heads and bodies on their way, and what it answers without a pool.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use regex::Regex;

use super::{Edits, PoolId, Template};

/// What becomes of the requests of a route.
#[derive(Clone, Debug)]
pub enum Action {
    /// They go to an endpoint of this pool.
    Pool(PoolId),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The client gets the same reply each time.
    Respond(Respond),
}

/// `redirect` of a route.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// Where to: of [`super::Placeholder::URL`] alone.
    pub to: Template,
    /// With which status.
    pub status: StatusCode,
}

/// `respond` of a route.
#[derive(Clone, Debug)]
pub struct Respond {
    /// Its status.
    pub status: StatusCode,
    /// What the body is.
    pub content_type: HeaderValue,
    /// Its body, all of it in memory; empty: none.
    pub body: Bytes,
}

/// `rewrite` of a route: the path that endpoints are asked for.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// The first prefix is replaced by the second one, by whole segments.
    Prefix(String, String),
    /// All of the path is replaced by this one.
    Path(String),
    /// All of the path is replaced by what the second makes of the first's groups.
    Groups(Regex, String),
}

/// `sticky` of a route.
#[derive(Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// The cookie's name.
    pub name: String,
    /// The first one signs, all are believed; at least one.
    pub secrets: Vec<[u8; 32]>,
}

impl fmt::Debug for StickyCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secrets are nobody's business.
        f.debug_struct("StickyCookie").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `unavailable` of a route: the reply when no endpoint can take a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Its status.
    pub status: StatusCode,
    /// When a client may ask again; `None`: it is not told.
    pub retry_after: Option<Duration>,
    /// Whether the reply says why.
    pub cause_header: bool,
    /// What stands in it, and what that is; `None`: one line of text.
    pub body: Option<(HeaderValue, Bytes)>,
}

/// A way to make a body shorter (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Brotli,
    /// gzip (RFC 1952).
    Gzip,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in HTTP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// `compress` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    /// Encodings, the one to prefer first.
    pub encodings: Vec<Encoding>,
    /// Media types that are worth it, in lower case; one that ends with `/*` is for all of its
    /// kind.
    pub types: Vec<String>,
    /// Bodies known to be shorter stay as they are.
    pub min_size: u64,
}

/// All that a route does with heads and bodies; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Edits of requests before they go to an endpoint.
    pub request: Edits,
    /// Edits of replies before they go to the client.
    pub response: Edits,
    /// Another path for the endpoint.
    pub rewrite: Option<Rewrite>,
    /// Clients stay with their endpoint.
    pub sticky: Option<StickyCookie>,
    /// Bodies are compressed.
    pub compress: Option<Compress>,
    /// Another reply when nothing is left.
    pub unavailable: Option<Unavailable>,
}
