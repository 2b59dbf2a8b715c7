//! One process: its name, place, roles and listeners.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Admin, Cluster, Cookies, Key, PoolId, Proxy, QueryLog, RegionId, ResponseRates, Secondary,
    Telemetry, Webhook,
};
use crate::prefix::Prefix;
use crate::tls::Certificate;

/// Who this process is and what it does.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique in the fleet.
    pub name: String,
    /// Where it runs.
    pub region: RegionId,
    /// Folder of what must survive a restart.
    pub state: PathBuf,
    /// Who is asked for hostnames of endpoints; empty: whom the operating system asks.
    pub resolvers: Vec<SocketAddr>,
    /// The keys that transfers and queries may be signed with, by name.
    pub keys: Vec<Arc<Key>>,
    /// Folder of the zone files.
    pub zones: PathBuf,
    /// The geo databases.
    pub geo: Geo,
    /// Present: this node answers DNS.
    pub dns: Option<Dns>,
    /// Present: this node probes.
    pub probe: Option<Probe>,
    /// Present: this node runs its region's proxy.
    pub proxy: Option<Proxy>,
    /// How it shares what it sees.
    pub cluster: Cluster,
    /// Present: this node has the admin listener.
    pub admin: Option<Admin>,
    /// How it logs.
    pub log: Log,
    /// Where traces of proxied requests go; `None`: nowhere.
    pub telemetry: Option<Telemetry>,
    /// Who is told of what happens.
    pub webhooks: Vec<Webhook>,
}

impl Node {
    /// The pools that its relays name.
    pub fn relayed(&self) -> Vec<PoolId> {
        let proxies = self.proxy.iter();
        let routes = proxies.flat_map(|proxy| {
            let tcp = proxy.tcp.iter().flat_map(|relay| &relay.targets);
            tcp.chain(proxy.udp.iter().map(|relay| &relay.target))
        });
        routes.filter_map(|route| route.pool()).collect()
    }
}

/// The geo databases.
#[derive(Clone, Debug)]
pub struct Geo {
    /// Files in order of precedence; none: the embedded country database.
    pub databases: Vec<PathBuf>,
    /// A database older than this is warned of.
    pub max_age: Duration,
}

/// The DNS listeners.
#[derive(Clone, Debug)]
pub struct Dns {
    /// UDP and TCP addresses.
    pub listen: Vec<SocketAddr>,
    /// The encrypted transports.
    pub transports: Transports,
    /// UDP worker threads; 0: one per core.
    pub workers: usize,
    /// How UDP queries come in and replies go out.
    pub io: Io,
    /// Largest UDP answer offered, 512 to 4096 octets (RFC 9715 section 3.1 advises 1400 at most).
    pub udp_payload: u16,
    /// Whose EDNS client subnet is believed (RFC 7871).
    pub client_subnet: ClientSubnet,
    /// What the node calls itself to who asks for it (RFC 5001); empty: nothing.
    pub nsid: String,
    /// Whether the CHAOS names `id.server` and `version.bind` are answered.
    pub chaos: bool,
    /// DNS cookies; without a secret the node makes one of its own.
    pub cookies: Cookies,
    /// Bounds of the rate of answers.
    pub response_rates: ResponseRates,
    /// Who may transfer the zones; none: nobody.
    pub transfer: Vec<Secondary>,
    /// Most connections at a time, of each transport that has connections.
    pub tcp_clients: usize,
    /// A connection without a query for this long is closed.
    pub tcp_idle: Duration,
    /// Where queries are logged; `None`: nowhere.
    pub query_log: Option<QueryLog>,
}

/// The encrypted transports and what they need.
#[derive(Clone, Debug)]
pub struct Transports {
    /// Addresses of DNS over TLS.
    pub tls: Vec<SocketAddr>,
    /// Addresses of DNS over QUIC.
    pub quic: Vec<SocketAddr>,
    /// Addresses of DNS over HTTPS.
    pub https: Vec<SocketAddr>,
    /// What they show; present when there is any of them.
    pub certificate: Option<Certificate>,
    /// Peers whose TCP connections begin with a PROXY header that names the client.
    pub proxy_protocol: Vec<Prefix>,
}

impl Transports {
    /// The addresses of each transport.
    pub fn listen(&self) -> [Vec<SocketAddr>; 3] {
        [self.tls.clone(), self.quic.clone(), self.https.clone()]
    }
}

/// How UDP queries come in and replies go out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// Sockets, a batch with each system call.
    #[default]
    Mmsg,
    /// Sockets, one datagram with each system call.
    Single,
    /// `AF_XDP` on an interface, and sockets for what does not come through it.
    Xdp {
        /// Name of the interface.
        interface: String,
    },
}

/// Whose EDNS client subnet is believed (RFC 7871 section 11.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientSubnet {
    /// Everyone's.
    On,
    /// Nobody's; the option is ignored as if unknown.
    Off,
    /// That of resolvers in these prefixes.
    Trusted(Vec<Prefix>),
}

impl ClientSubnet {
    /// Whether the client subnets of this resolver are believed.
    pub fn believes(&self, resolver: IpAddr) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Trusted(prefixes) => prefixes.iter().any(|prefix| prefix.contains(resolver)),
        }
    }
}

/// The probing role.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Most probes under way at a time.
    pub max_in_flight: usize,
    /// Most probes started in a second; `None`: no bound.
    pub rate: Option<NonZeroU32>,
    /// Whether endpoints in private, loopback and link-local space may be probed.
    pub allow_private: bool,
    /// Never probed, whatever a hostname resolves to.
    pub deny: Vec<Prefix>,
}

/// How the process logs.
#[derive(Clone, Debug)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// A level or a `tracing` filter.
    pub level: String,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}
