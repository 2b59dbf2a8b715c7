//! Monitors: definitions of checks.

use std::ops::RangeInclusive;
use std::time::Duration;

use regex::bytes::Regex;

/// Index into [`super::Fleet::monitors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonitorId(pub u16);

/// The definition of a check.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// The name in the configuration.
    pub name: String,
    /// What is asked and what must come back.
    pub check: Check,
    /// Time between two probes of one endpoint, before jitter.
    pub interval: Duration,
    /// A probe without a result by then has failed; usually below `interval`.
    pub timeout: Duration,
    /// Failures that take an endpoint down, at least 1.
    pub fall: u32,
    /// Successes in a row that bring it up, at least 1.
    pub rise: u32,
    /// How many probing regions must agree that it is down.
    pub vantage: Vantage,
    /// Least time down after repeated flips; zero: no damping.
    pub hold_down: Duration,
}

/// How many of the voting regions must say down, and two at least where two are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// One is enough.
    Any,
    /// More than half.
    Majority,
    /// Every one.
    All,
    /// This many, or all of them if fewer vote; at least 1.
    AtLeast(u16),
}

/// What a monitor does.
#[derive(Clone, Debug)]
pub enum Check {
    /// An HTTP or HTTPS request.
    Http(HttpCheck),
    /// A TCP connection.
    Tcp(TcpCheck),
}

impl Check {
    /// The port that is probed unless the endpoint says otherwise.
    pub fn port(&self) -> u16 {
        match self {
            Self::Http(check) => check.port,
            Self::Tcp(check) => check.port,
        }
    }
}

/// The scheme of an [`HttpCheck`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// An HTTP request and what must come back.
#[derive(Clone, Debug)]
pub struct HttpCheck {
    /// In the clear or over TLS.
    pub scheme: Scheme,
    /// Destination port.
    pub port: u16,
    /// Path and query, starting with a slash.
    pub path: String,
    /// Host header and server name; the probed address when `None`.
    pub host: Option<String>,
    /// Request method.
    pub method: String,
    /// Header fields added to the request.
    pub headers: Vec<(String, String)>,
    /// Status codes that count as success.
    pub expect_status: Vec<RangeInclusive<u16>>,
    /// Must match within the first 64 KiB of the body.
    pub expect_body: Option<Regex>,
    /// Whether chain, name and dates of the certificate must hold.
    pub verify_certificate: bool,
    /// A certificate that ends within this time is a failure in advance.
    pub expires_within: Option<Duration>,
}

/// A TCP connection that must be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpCheck {
    /// Destination port.
    pub port: u16,
}
