//! `fleet.toml` as written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::latency::LatencyTable;
use super::protection::{EjectTable, PriorityTable, RateLimitTable, RescueTable};
use super::shape::{
    CompressTable, EditsTable, RedirectTable, RespondTable, RewriteTable, StickyTable,
    UnavailableTable,
};
use super::{DurationText, Field, FlagOr, List, Named, Table, TextOr, TextOrList};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct FleetFile {
    /// Version of the language.
    pub version: Field<i64>,
    /// Regions by name.
    pub region: Named<RegionTable>,
    /// Monitors by name.
    pub monitor: Named<MonitorTable>,
    /// Pools by name.
    pub pool: Named<PoolTable>,
    /// Networks by name.
    pub network: Named<NetworkTable>,
    /// The proxy's routes.
    pub route: List<Table<RouteTable>>,
    /// What keeps too much from being taken out.
    pub safety: Field<Table<SafetyTable>>,
    /// Round trips of clients.
    pub latency: Field<Table<LatencyTable>>,
    /// Which configuration this is.
    pub plan: Field<Table<PlanTable>>,
}

/// `[plan]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PlanTable {
    /// Goes up when versions begin anew.
    pub epoch: Field<i64>,
    /// Goes up with every plan.
    pub version: Field<i64>,
    /// Whether it is meant to be much smaller.
    pub shrink: Field<bool>,
}

/// `[safety]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SafetyTable {
    /// Regions that an operator's act must leave.
    pub min_regions: Field<i64>,
    /// Share of its capacity that an operator's act must leave a service.
    pub min_capacity: Field<f64>,
    /// Whether an operator's act may take the last record of a type.
    pub last_record: Field<String>,
    /// Share of a pool that health may remove in one interval.
    pub max_removed: Field<f64>,
}

/// `[region.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RegionTable {
    /// Preset, place name or coordinates.
    pub location: Field<TextOr<CoordinatesTable>>,
    /// Two-letter code.
    pub country: Field<String>,
}

/// `{ lat = 50.11, lon = 8.68 }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct CoordinatesTable {
    /// Degrees north.
    pub lat: Field<f64>,
    /// Degrees east.
    pub lon: Field<f64>,
}

/// `[monitor.NAME]`, the keys of all kinds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct MonitorTable {
    /// http, tcp, tls, grpc, dns, icmp, exec, feed or calculated.
    pub kind: Field<String>,
    /// http or https.
    pub scheme: Field<String>,
    /// 1.1 or 2.
    pub version: Field<String>,
    /// Destination port.
    pub port: Field<i64>,
    /// Path and query.
    pub path: Field<String>,
    /// Host header and server name.
    pub host: Field<String>,
    /// Request method.
    pub method: Field<String>,
    /// Header fields.
    pub headers: Field<BTreeMap<Spanned<String>, Spanned<TextOr<EnvTable>>>>,
    /// Status codes and ranges.
    pub expect_status: List<String>,
    /// Regular expression.
    pub expect_body: Field<String>,
    /// Whether the certificate must hold.
    pub verify_certificate: Field<bool>,
    /// Certificate end counted as failure in advance.
    pub expires_within: Field<DurationText>,
    /// What is sent.
    pub send: Field<String>,
    /// Regular expression, or records.
    pub expect: Field<TextOrList>,
    /// Name asked for and verified.
    pub server_name: Field<String>,
    /// Protocols of which the server must take one.
    pub alpn: List<String>,
    /// Name asked for.
    pub name: Field<String>,
    /// Type asked for.
    pub r#type: Field<String>,
    /// Response code.
    pub expect_rcode: Field<String>,
    /// udp or tcp.
    pub transport: Field<String>,
    /// Whether recursion is asked for.
    pub recursion: Field<bool>,
    /// Service of gRPC.
    pub service: Field<String>,
    /// Program and arguments.
    pub command: Field<Vec<String>>,
    /// Reports.
    pub file: Field<String>,
    /// Age at which reports are stale.
    pub expires: Field<DurationText>,
    /// What stale reports mean.
    pub stale: Field<String>,
    /// Monitors that are counted.
    pub of: List<String>,
    /// How many of them must be up.
    pub at_least: Field<i64>,
    /// Monitors that are weighed.
    pub weights: Field<BTreeMap<Spanned<String>, Spanned<i64>>>,
    /// What those that are up must weigh.
    pub threshold: Field<i64>,
    /// Whether up and down are exchanged.
    pub invert: Field<bool>,
    /// Address that probes leave from.
    pub source: Field<String>,
    /// any, v4 or v6.
    pub family: Field<String>,
    /// Time between probes.
    pub interval: Field<DurationText>,
    /// Longest probe.
    pub timeout: Field<DurationText>,
    /// Failures that take down.
    pub fall: Field<i64>,
    /// Successes that bring up.
    pub rise: Field<i64>,
    /// Who must agree.
    pub vantage: Field<TextOr<VantageTable>>,
    /// Least time down after flips.
    pub hold_down: Field<DurationText>,
}

/// `{ env = "NAME" }`: a value that stands in the environment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct EnvTable {
    /// Name of the variable.
    pub env: Field<String>,
}

/// `{ at_least = 2 }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct VantageTable {
    /// Number of vantages.
    pub at_least: Field<i64>,
}

/// `[pool.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PoolTable {
    /// Monitors by name.
    pub monitors: List<String>,
    /// Share of a region's weight.
    pub min_up: Field<f64>,
    /// Requests a second, by region.
    pub capacity: Field<BTreeMap<Spanned<String>, Spanned<i64>>>,
    /// The endpoints.
    pub endpoints: List<Table<EndpointTable>>,
}

/// One item of `endpoints`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct EndpointTable {
    /// A region of the fleet.
    pub region: Field<String>,
    /// Address or hostname.
    pub address: Field<String>,
    /// Share among tied endpoints.
    pub weight: Field<i64>,
    /// Failure domain.
    pub group: Field<String>,
    /// Where it is probed.
    pub probe: Field<String>,
    /// Pools without which it serves nobody.
    pub depends_on: List<String>,
}

/// `[network.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct NetworkTable {
    /// Client prefixes.
    pub prefixes: List<String>,
    /// Autonomous systems.
    pub asns: List<i64>,
    /// Two-letter codes.
    pub countries: List<String>,
    /// More prefixes, one a line.
    pub file: Field<String>,
    /// Preferred regions.
    pub regions: List<String>,
}

/// One `[[route]]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RouteTable {
    /// What metrics and logs call it.
    pub name: Field<String>,
    /// Hosts it is for.
    pub hosts: List<String>,
    /// Paths it is for.
    pub path: Field<String>,
    /// Header fields it is for.
    pub headers: Field<BTreeMap<Spanned<String>, Spanned<String>>>,
    /// Methods it is for.
    pub methods: List<String>,
    /// Where its requests go.
    pub pool: Field<String>,
    /// Where clients are sent instead.
    pub redirect: Field<Table<RedirectTable>>,
    /// What clients get instead.
    pub respond: Field<Table<RespondTable>>,
    /// Another path for endpoints.
    pub rewrite: Field<Table<RewriteTable>>,
    /// Edits of requests.
    pub request_headers: Field<Table<EditsTable>>,
    /// Edits of replies.
    pub response_headers: Field<Table<EditsTable>>,
    /// Clients stay with their endpoint.
    pub sticky: Field<Table<StickyTable>>,
    /// Whether bodies are compressed.
    pub compress: Field<FlagOr<CompressTable>>,
    /// The reply when nothing is left.
    pub unavailable: Field<Table<UnavailableTable>>,
    /// How an endpoint is chosen.
    pub balance: Field<String>,
    /// How long each step may take.
    pub timeouts: Field<Table<TimeoutsTable>>,
    /// When a request is tried again.
    pub retry: Field<Table<RetryTable>>,
    /// When a second endpoint is asked.
    pub hedge: Field<Table<HedgeTable>>,
    /// off, optional or required.
    pub client_certificate: Field<String>,
    /// How endpoints are spoken to.
    pub upstream: Field<Table<UpstreamTable>>,
    /// Which replies are kept.
    pub cache: Field<Table<CacheTable>>,
    /// Time in which an endpoint gets its full share.
    pub slow_start: Field<DurationText>,
    /// When endpoints are left out.
    pub eject: Field<TextOr<EjectTable>>,
    /// How much requests matter.
    pub priority: Field<TextOr<PriorityTable>>,
    /// How many requests the same key may make.
    pub rate_limit: Field<Table<RateLimitTable>>,
    /// Whether other regions help out.
    pub rescue: Field<TextOr<RescueTable>>,
}

/// `timeouts` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TimeoutsTable {
    /// To connect.
    pub connect: Field<DurationText>,
    /// For the reply's head.
    pub response: Field<DurationText>,
    /// Between parts of a body.
    pub idle: Field<DurationText>,
    /// Over all tries.
    pub request: Field<DurationText>,
    /// For a place at an endpoint.
    pub queue: Field<DurationText>,
    /// Up to the end of the reply.
    pub total: Field<DurationText>,
    /// Of quiet tunnels.
    pub websocket: Field<DurationText>,
}

/// `retry` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RetryTable {
    /// Tries in all.
    pub attempts: Field<i64>,
    /// What is tried again.
    pub on: List<String>,
    /// Share of requests that may be tried again.
    pub budget: Field<f64>,
}

/// `hedge` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct HedgeTable {
    /// How long the first endpoint has, or "p95".
    pub after: Field<DurationText>,
    /// Share of requests that may be hedged.
    pub budget: Field<f64>,
}

/// `upstream` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct UpstreamTable {
    /// Port of endpoints.
    pub port: Field<i64>,
    /// Requests at a time to one endpoint.
    pub max_connections: Field<i64>,
    /// Requests that wait for a place.
    pub queue: Field<i64>,
    /// http1 or http2.
    pub protocol: Field<String>,
    /// Whether they speak TLS, and how.
    pub tls: Field<FlagOr<UpstreamTlsTable>>,
    /// Version of the PROXY header.
    pub proxy_protocol: Field<String>,
}

/// `upstream.tls` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct UpstreamTlsTable {
    /// What certificates must be for.
    pub server_name: Field<String>,
    /// PEM file of the authorities that are trusted.
    pub ca: Field<String>,
    /// Whether certificates are verified.
    pub verify: Field<bool>,
    /// PEM file of the certificate that is shown, and those that lead to its authority.
    pub chain: Field<String>,
    /// PEM file of its key.
    pub key: Field<String>,
}

/// `cache` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct CacheTable {
    /// Octets of all that is kept.
    pub size: Field<String>,
    /// Octets of the longest body that is kept.
    pub object: Field<String>,
    /// How long a reply may be used while it is fetched anew.
    pub stale_while_revalidate: Field<DurationText>,
    /// How long it may be used when the origin fails.
    pub stale_if_error: Field<DurationText>,
    /// Whether requests wait for each other.
    pub collapse: Field<bool>,
    /// Whether a request's Cache-Control counts.
    pub obey_requests: Field<bool>,
}
