//! The proxy of a node: where it listens, whom it believes, what it allows.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{AccessLog, Acme, ClientAuthorities, TcpRelay, UdpRelay};
use crate::prefix::Prefix;
use crate::tls::Certificate;

/// `[proxy]`
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Addresses of HTTP in the clear.
    pub http: Vec<SocketAddr>,
    /// Addresses of HTTP over TLS.
    pub https: Vec<SocketAddr>,
    /// Addresses of HTTP/3.
    pub http3: Vec<SocketAddr>,
    /// Listeners of TCP whose octets are passed on as they come.
    pub tcp: Vec<Arc<TcpRelay>>,
    /// The same of UDP.
    pub udp: Vec<Arc<UdpRelay>>,
    /// What clients over TLS are shown.
    pub certificates: Arc<Certificates>,
    /// Which certificates it orders by itself; `None`: none.
    pub acme: Option<Arc<Acme>>,
    /// Whose certificates clients are asked for; `None`: they are not.
    pub client_ca: Option<ClientAuthorities>,
    /// Threads, each with its own sockets and connections; 0: one per core.
    pub workers: usize,
    /// Peers whose connections begin with a PROXY header, and must.
    pub proxy_protocol: Vec<Prefix>,
    /// Peers whose X-Forwarded-For and Forwarded are believed.
    pub trusted_proxies: Vec<Prefix>,
    /// What is under way at the end gets this long.
    pub drain: Duration,
    /// What clients may ask for.
    pub limits: ProxyLimits,
    /// Where requests are written down; `None`: nowhere.
    pub access_log: Option<AccessLog>,
}

impl Proxy {
    /// Whether connections of this peer begin with a PROXY header.
    pub fn announces(&self, peer: IpAddr) -> bool {
        self.proxy_protocol.iter().any(|prefix| prefix.contains(peer))
    }

    /// Whether what this peer says of the client before it is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|prefix| prefix.contains(peer))
    }
}

/// `[proxy.limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyLimits {
    /// Connections of all clients together.
    pub connections: usize,
    /// Connections of one client address that is no trusted proxy.
    pub per_client: usize,
    /// From the first octet of a request to the end of its head.
    pub header_timeout: Duration,
    /// A connection without a request is closed after this.
    pub idle: Duration,
    /// Header fields of a request.
    pub headers: usize,
    /// Octets of a request's head.
    pub header_size: usize,
    /// Octets of a request's target.
    pub target: usize,
    /// Octets of a request's body; `None`: any number.
    pub body: Option<u64>,
    /// Octets a second that a body must come with at least, on average; `None`: any number.
    pub body_rate: Option<u64>,
}

/// Certificates by the names they are for.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    by_name: HashMap<String, Certificate>,
    /// In the order of their files; the first is for clients that ask for no name, or for one that
    /// nothing is there for.
    all: Vec<Certificate>,
}

impl Certificates {
    /// These certificates, in the order of their files; of two for one name the first is shown.
    pub fn new(certificates: Vec<Certificate>) -> Self {
        let mut by_name = HashMap::new();
        for certificate in &certificates {
            for name in certificate.names() {
                by_name.entry(name.clone()).or_insert_with(|| certificate.clone());
            }
        }
        Self { by_name, all: certificates }
    }

    /// All of them, in the order of their files.
    pub fn all(&self) -> &[Certificate] {
        &self.all
    }

    /// The one for a name: its own, else that of all names beside it, else the first.
    pub fn find(&self, name: Option<&str>) -> Option<&Certificate> {
        let own = name.map(str::to_ascii_lowercase).and_then(|name| {
            let beside = || Some(format!("*{}", name.get(name.find('.')?..)?));
            self.by_name.get(&name).or_else(|| self.by_name.get(&beside()?))
        });
        own.or(self.all.first())
    }
}
