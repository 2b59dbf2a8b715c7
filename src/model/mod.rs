//! What the configuration means, valid by construction: every name is resolved to an id, every
//! value is in range.
//!
//! Ids are indexes into the vectors of [`Fleet`]; they hold within one model only, since a reload
//! numbers everything anew.

mod admin;
mod balance;
mod check;
mod cluster;
mod cookie;
mod fleet;
mod guard;
mod monitor;
mod node;
mod plan;
mod policy;
mod pool;
mod proxy;
mod query_log;
mod response_rates;
mod route;
mod service;
mod transfer;

pub use admin::{Admin, AdminListen, AdminTls, Role, Token, token_digest};
pub use balance::Balance;
pub use check::{
    Calculated, Check, DnsCheck, DnsTransport, ExecCheck, ExpectedRecord, FeedCheck, GrpcCheck,
    HttpCheck, HttpVersion, Scheme, Stale, TcpCheck, TlsCheck,
};
pub use cluster::{BusTls, Cluster, Credentials, Nats};
pub use cookie::{CookiePolicy, CookieSecret, Cookies, NotASecret};
pub use fleet::{Fleet, Network, NetworkId, Region, RegionId, Safety};
pub use guard::Guard;
pub use monitor::{Family, Monitor, MonitorId, Reach, Vantage};
pub use node::{ClientSubnet, Dns, Geo, Io, Log, LogFormat, Node, Probe, Transports};
pub use plan::{PlanMark, PlanNumber};
pub use policy::{Fence, Method};
pub use pool::{Address, Endpoint, EndpointId, Pool, PoolId, ProbeAddress};
pub use proxy::{Certificates, Proxy, ProxyLimits};
pub use query_log::{LogTarget, QueryLog, QueryLogFormat};
pub use response_rates::ResponseRates;
pub use route::{HostPattern, PathPattern, Retry, Route, RouteTimeouts, Upstream};
pub use service::{AllDown, Failback, Https, Service, TtlRange, ZoneFiles};
pub use transfer::{Algorithm, Flattened, Key, Primary, Secondary, Secret};

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
