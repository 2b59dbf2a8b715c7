//! The `http` check: a request, and what must come back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::tls::TlsInfo;
use reqwest::{Client, Method, Request, Response, Url, redirect};

use super::{Route, Tls, certificate, failure};
use crate::health::{CauseKind, Outcome};
use crate::model::{HttpCheck, HttpVersion, Scheme};

/// How much of a body is read.
const BODY_MAX: usize = 64 * 1024;

/// What a probe calls itself unless the monitor says otherwise.
const AGENT: HeaderValue = HeaderValue::from_static("meridian-probe");

/// What one probe is to do.
pub(super) struct HttpProbe<'a> {
    /// The request, and what must come back.
    pub(super) check: &'a HttpCheck,
    /// The address or hostname that is probed, without port.
    pub(super) name: &'a str,
    /// Where to connect; no other address is ever connected to.
    pub(super) route: &'a Route,
    /// How to speak TLS.
    pub(super) tls: &'a Tls,
    /// Wall-clock time in seconds, for the end of the certificate.
    pub(super) unix_now: u64,
}

impl HttpProbe<'_> {
    /// Sends the request and judges what comes back.
    pub(super) async fn run(&self) -> Outcome {
        let (client, request) = match self.prepare() {
            Ok(ready) => ready,
            Err(what) => return Outcome::failure(CauseKind::Protocol, what),
        };
        let work = async {
            match client.execute(request).await {
                Ok(response) => self.judge(response).await,
                Err(error) => failure::of_http(&error, self.route.limit.within),
            }
        };
        self.route.limit.cut(work).await.unwrap_or_else(|late| late)
    }

    /// A client for this probe alone, and the request.
    ///
    /// Each probe opens a new connection: over one kept open it would go on to succeed after the
    /// listener is gone, and the certificate would not be seen again.
    fn prepare(&self) -> Result<(Client, Request), String> {
        let url = self.url()?;
        let pinned = Arc::new(Pinned(self.route.addresses.clone()));
        let (version, alpn) = match self.check.version {
            HttpVersion::One => (Client::builder().http1_only(), "http/1.1"),
            HttpVersion::Two => (Client::builder().http2_prior_knowledge(), "h2"),
        };
        let client = version
            .tls_backend_preconfigured(self.tls.config(self.check.verify_certificate, &[alpn]))
            .tls_info(self.check.expires_within.is_some())
            .dns_resolver(pinned)
            .connect_timeout(self.route.limit.within)
            .local_address(self.route.source)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| format!("no client: {error}"))?;
        let method = Method::from_bytes(self.check.method.as_bytes())
            .map_err(|_| format!("`{}` is not a request method", self.check.method))?;
        let mut request = Request::new(method, url);
        *request.headers_mut() = self.headers()?;
        Ok((client, request))
    }

    /// The URL, whose host is the server name: it decides what TLS asks for and verifies.
    ///
    /// A host that is or looks like an address (`127.1`) would be connected to as written, so that
    /// then the probed address itself stands in the URL.
    fn url(&self) -> Result<Url, String> {
        let scheme = match self.check.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let first = self.route.addresses.first().ok_or("no address")?;
        let with_host = |host: &str, port: &str| {
            let text = format!("{scheme}://{host}{port}{}", self.check.path);
            Url::parse(&text).map_err(|error| format!("`{text}` is not a URL: {error}"))
        };
        let host = self.check.host.as_deref().map_or(self.name, without_port);
        let port = format!(":{}", first.port());
        // In HTTP/2 the URL is all that names the host; the pinned addresses know the port.
        let alone = self.check.version == HttpVersion::Two && self.check.host.is_some();
        match with_host(host.trim_end_matches('.'), if alone { "" } else { &port }) {
            Ok(url) if url.domain().is_some() => Ok(url),
            _ => match first.ip() {
                IpAddr::V4(v4) => with_host(&v4.to_string(), &port),
                IpAddr::V6(v6) => with_host(&format!("[{v6}]"), &port),
            },
        }
    }

    /// The header fields: those of the monitor win over the ones set here.
    fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        let host = self.check.host.as_ref().filter(|_| self.check.version == HttpVersion::One);
        if let Some(host) = host {
            let value = HeaderValue::from_str(host);
            headers.insert(HOST, value.map_err(|_| format!("`{host}` is not a host"))?);
        }
        for (name, value) in &self.check.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
            let Some((name, value)) = parsed.zip(HeaderValue::from_str(value).ok()) else {
                return Err(format!("`{name}: {value}` is not a header field"));
            };
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// Status first, then body, then the end of the certificate.
    async fn judge(&self, mut response: Response) -> Outcome {
        let status = response.status().as_u16();
        let expected = &self.check.expect_status;
        if !expected.iter().any(|range| range.contains(&status)) {
            let cause = format!("status {status}, expected {}", failure::ranges(expected));
            return Outcome::failure(CauseKind::Status, cause);
        }
        if let Some(pattern) = &self.check.expect_body {
            match self.read_body(&mut response).await {
                Err(failure) => return failure,
                Ok(body) if !pattern.is_match(&body) => {
                    let cause = format!("body does not match `{pattern}`");
                    return Outcome::failure(CauseKind::Body, cause);
                }
                Ok(_) => {}
            }
        }
        self.judge_expiry(&response)
    }

    /// The body up to [`BODY_MAX`]; what comes after is never read.
    async fn read_body(&self, response: &mut Response) -> Result<Vec<u8>, Outcome> {
        let mut body = Vec::new();
        while body.len() < BODY_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(failure::of_http(&error, self.route.limit.within)),
            }
        }
        body.truncate(BODY_MAX);
        Ok(body)
    }

    /// Whether the certificate holds long enough, also where it was not verified.
    fn judge_expiry(&self, response: &Response) -> Outcome {
        let Some(within) = self.check.expires_within else { return Outcome::Success };
        let shown = response.extensions().get::<TlsInfo>();
        let Some(certificate) = shown.and_then(TlsInfo::peer_certificate) else {
            return Outcome::Success; // In the clear.
        };
        match certificate::expiry(certificate, self.unix_now, within) {
            None => Outcome::Success,
            Some(cause) => Outcome::failure(CauseKind::Expiry, cause),
        }
    }
}

/// `host` without `:PORT`, which a Host header may carry but a server name does not.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Answers every name with the addresses of the probe, so that the client asks no DNS.
struct Pinned(Vec<SocketAddr>);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}
