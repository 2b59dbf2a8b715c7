//! What the configuration means, valid by construction: every name is resolved to an id, every
//! value is in range.
//!
//! Ids are indexes into the vectors of [`Fleet`]; they hold within one model only, since a reload
//! numbers everything anew.

mod access_log;
mod acme;
mod admin;
mod balance;
mod cache;
mod check;
mod client_certificate;
mod cluster;
mod cookie;
mod drill;
mod edits;
mod fleet;
mod guard;
mod latency;
mod monitor;
mod node;
mod plan;
mod policy;
mod pool;
mod protection;
mod proxy;
mod query_log;
mod relay;
mod response_rates;
mod route;
mod service;
mod shape;
mod telemetry;
mod transfer;
mod way;
mod webhook;

pub use access_log::AccessLog;
pub use acme::{Acme, ChallengeKind, ExternalAccount, Ordered};
pub use admin::{Admin, AdminListen, AdminTls, Role, Token, token_digest};
pub use balance::Balance;
pub use cache::CacheRules;
pub use check::{
    Calculated, Check, DnsCheck, DnsTransport, ExecCheck, ExpectedRecord, FeedCheck, GrpcCheck,
    HttpCheck, HttpVersion, Scheme, Stale, TcpCheck, TlsCheck,
};
pub use client_certificate::{ClientAuthorities, ClientCertificate};
pub use cluster::{BusTls, Cluster, Credentials, Nats};
pub use cookie::{CookiePolicy, CookieSecret, Cookies, NotASecret};
pub use drill::{Abort, Drill, Expect, How, Written};
pub use edits::{Edits, Placeholder, Template, TemplateError};
pub use fleet::{Fleet, LastRecord, Network, NetworkId, Region, RegionId, Safety};
pub use guard::Guard;
pub use latency::{Latency, Leg, Resolver, ResolverProbe, Resolvers};
pub use monitor::{Family, Monitor, MonitorId, Reach, Vantage};
pub use node::{ClientSubnet, Dns, Geo, Io, Log, LogFormat, Node, Probe, Transports};
pub use plan::{PlanMark, PlanNumber};
pub use policy::{Fence, Method, Spill};
pub use pool::{Address, Endpoint, EndpointId, Pool, PoolId, ProbeAddress};
pub use protection::{
    Eject, EjectRules, Prioritized, Priority, Protection, RateBy, RateLimit, Rescue,
};
pub use proxy::{Certificates, Proxy, ProxyLimits};
pub use query_log::{LogTarget, QueryLog, QueryLogFormat};
pub use relay::{TcpRelay, UdpRelay};
pub use response_rates::ResponseRates;
pub use route::{
    Hedge, HedgeAfter, HostPattern, PathPattern, Retry, Route, RouteTimeouts, Upstream,
};
pub use service::{AllDown, Failback, Https, Service, TtlRange, ZoneFiles};
pub use shape::{
    Action, Compress, Encoding, Redirect, Respond, Rewrite, Shape, StickyCookie, Unavailable,
};
pub use telemetry::Telemetry;
pub use transfer::{Algorithm, Flattened, Key, Primary, Secondary, Secret};
pub use way::{UpstreamTls, Way};
pub use webhook::{EVENT_KINDS, Webhook};

/// The whole configuration of one process.
#[derive(Clone, Debug)]
pub struct Model {
    /// Who this process is and what it does.
    pub node: Node,
    /// Regions, monitors, pools and networks, equal on every node.
    pub fleet: Fleet,
    /// The zones, in the order of their origins.
    pub zones: Vec<ZoneFiles>,
}
