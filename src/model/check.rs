//! What each kind of monitor asks, and what must come back.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use hickory_proto::rr::RData;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use regex::bytes::Regex;

use super::MonitorId;
use crate::name::Name;

/// What a monitor does.
#[derive(Clone, Debug)]
pub enum Check {
    /// An HTTP or HTTPS request.
    Http(HttpCheck),
    /// A TCP connection.
    Tcp(TcpCheck),
    /// A TLS handshake.
    Tls(TlsCheck),
    /// A DNS question.
    Dns(DnsCheck),
    /// The health service of gRPC.
    Grpc(GrpcCheck),
    /// An ICMP echo.
    Icmp,
    /// A command.
    Exec(ExecCheck),
    /// What others report.
    Feed(FeedCheck),
    /// What other monitors say, taken together.
    Calculated(Calculated),
}

impl Check {
    /// The port that is probed unless the endpoint says otherwise; 0: this kind has none.
    pub fn port(&self) -> u16 {
        match self {
            Self::Http(check) => check.port,
            Self::Tcp(check) => check.port,
            Self::Tls(check) => check.port,
            Self::Dns(check) => check.port,
            Self::Grpc(check) => check.port,
            Self::Exec(check) => check.port.unwrap_or(0),
            Self::Icmp | Self::Feed(_) | Self::Calculated(_) => 0,
        }
    }

    /// Round trips that a successful probe takes, so that its duration tells how far the endpoint
    /// is; 0: it tells nothing.
    pub fn round_trips(&self) -> u32 {
        let over = |scheme: Scheme| if scheme == Scheme::Https { 3 } else { 2 };
        match self {
            Self::Icmp => 1,
            Self::Tcp(check) if check.expect.is_none() => 1,
            Self::Dns(check) if check.transport == DnsTransport::Udp => 1,
            Self::Tcp(_) | Self::Tls(_) | Self::Dns(_) => 2,
            Self::Http(check) => over(check.scheme),
            Self::Grpc(check) => over(check.scheme),
            Self::Exec(_) | Self::Feed(_) | Self::Calculated(_) => 0,
        }
    }

    /// The word of the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Tls(_) => "tls",
            Self::Dns(_) => "dns",
            Self::Grpc(_) => "grpc",
            Self::Icmp => "icmp",
            Self::Exec(_) => "exec",
            Self::Feed(_) => "feed",
            Self::Calculated(_) => "calculated",
        }
    }
}

/// Whether a connection is in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// The version of HTTP that a probe speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1
    One,
    /// HTTP/2, in the clear with prior knowledge (RFC 9113 section 3.3).
    Two,
}

/// An HTTP request and what must come back.
#[derive(Clone, Debug)]
pub struct HttpCheck {
    /// In the clear or over TLS.
    pub scheme: Scheme,
    /// HTTP/1.1 or HTTP/2.
    pub version: HttpVersion,
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

/// A TCP connection that must be accepted, and what is said over it.
#[derive(Clone, Debug)]
pub struct TcpCheck {
    /// Destination port.
    pub port: u16,
    /// What is sent at once; empty: nothing.
    pub send: Vec<u8>,
    /// Must match within the first 64 KiB of the reply; `None`: a connection is enough.
    pub expect: Option<Regex>,
}

impl TcpCheck {
    /// Only connects.
    pub const fn connecting(port: u16) -> Self {
        Self { port, send: Vec::new(), expect: None }
    }
}

/// A TLS handshake and the certificate that must be shown.
#[derive(Clone, Debug)]
pub struct TlsCheck {
    /// Destination port.
    pub port: u16,
    /// The name asked for and verified; the probed address when `None`.
    pub server_name: Option<String>,
    /// Protocols offered, of which the server must take one; empty: none is offered.
    pub alpn: Vec<String>,
    /// Whether chain, name and dates must hold.
    pub verify_certificate: bool,
    /// A certificate that ends within this time is a failure in advance.
    pub expires_within: Option<Duration>,
}

/// How a DNS question is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsTransport {
    /// Over UDP.
    Udp,
    /// Over TCP.
    Tcp,
}

/// A DNS question and what must come back.
#[derive(Clone, Debug)]
pub struct DnsCheck {
    /// Destination port.
    pub port: u16,
    /// Over UDP or TCP.
    pub transport: DnsTransport,
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub rtype: u16,
    /// Whether recursion is asked for.
    pub recursion: bool,
    /// The response code that is a success.
    pub expect_rcode: u16,
    /// Records of the asked type that must all be in the answer.
    pub expect: Vec<ExpectedRecord>,
}

/// The data of a record that must be in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExpectedRecord {
    /// As written.
    pub text: String,
    /// In wire form, uncompressed, names in lower case.
    pub rdata: Vec<u8>,
}

impl ExpectedRecord {
    /// The form in which records are compared (RFC 4034 section 6.2); `None`: it has none.
    pub fn wire(data: &RData) -> Option<Vec<u8>> {
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_canonical_form(true);
        data.emit(&mut encoder).ok()?;
        Some(octets)
    }
}

/// A question to the health service of gRPC.
#[derive(Clone, Debug)]
pub struct GrpcCheck {
    /// In the clear or over TLS.
    pub scheme: Scheme,
    /// Destination port.
    pub port: u16,
    /// Authority and server name; the probed address when `None`.
    pub host: Option<String>,
    /// The service asked after; empty: the server as a whole.
    pub service: String,
    /// Whether chain, name and dates of the certificate must hold.
    pub verify_certificate: bool,
    /// A certificate that ends within this time is a failure in advance.
    pub expires_within: Option<Duration>,
}

/// A command whose exit status tells.
#[derive(Clone, Debug)]
pub struct ExecCheck {
    /// Program and arguments; no shell reads them. At least one.
    pub command: Vec<String>,
    /// Told to the command; `None`: it is told none.
    pub port: Option<u16>,
    /// Exit statuses that are a success.
    pub expect_status: Vec<RangeInclusive<u16>>,
}

/// What a report that is too old, or was never made, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Nothing is known: answered, but after what is up.
    Unknown,
    /// The endpoint is down.
    Down,
    /// What was reported last goes on to hold.
    Keep,
}

/// Reports that others make.
#[derive(Clone, Debug)]
pub struct FeedCheck {
    /// Where they are written; `None`: they come over the API alone.
    pub file: Option<PathBuf>,
    /// A report is too old after this time.
    pub expires: Duration,
    /// What one that is too old means.
    pub stale: Stale,
}

/// Verdicts of other monitors on the same endpoint, added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calculated {
    /// The monitors and their weights, each once.
    pub of: Vec<(MonitorId, u32)>,
    /// Up while those that are up weigh at least this much; at least 1.
    pub threshold: u32,
    /// Up and down are exchanged.
    pub invert: bool,
}
