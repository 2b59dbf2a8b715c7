//! `node.toml` as written.

use serde::Deserialize;

use super::{
    AcmeTable, DurationText, EnvTable, Field, List, Named, RateText, Table, TcpTable,
    TelemetryTable, TextOr, UdpTable, WebhookTable,
};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct NodeFile {
    /// Version of the language.
    pub version: Field<i64>,
    /// Who this process is.
    pub node: Field<Table<NodeTable>>,
    /// Where the zone files are.
    pub zones: Field<Table<ZonesTable>>,
    /// The geo databases.
    pub geo: Field<Table<GeoTable>>,
    /// Present: this node answers DNS.
    pub dns: Field<Table<DnsTable>>,
    /// Present: this node probes.
    pub probe: Field<Table<ProbeTable>>,
    /// Present: this node runs its region's proxy.
    pub proxy: Field<Table<ProxyTable>>,
    /// How nodes share what they see.
    pub cluster: Field<Table<ClusterTable>>,
    /// Present: this node has the admin listener.
    pub admin: Field<Table<AdminTable>>,
    /// How it logs.
    pub log: Field<Table<LogTable>>,
    /// Present: requests of the proxy are traced.
    pub telemetry: Field<Table<TelemetryTable>>,
    /// Who is told of what happens, by name.
    pub webhook: Named<WebhookTable>,
}

/// `[node]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct NodeTable {
    /// Unique in the fleet.
    pub name: Field<String>,
    /// A region of the fleet.
    pub region: Field<String>,
    /// Folder of what must survive a restart.
    pub state: Field<String>,
    /// Who is asked for hostnames.
    pub resolvers: List<String>,
}

/// `[zones]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ZonesTable {
    /// Folder of the zone files.
    pub directory: Field<String>,
}

/// `[geo]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct GeoTable {
    /// Database files.
    pub databases: List<String>,
    /// Warn above this age.
    pub max_age: Field<DurationText>,
}

/// `[dns]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct DnsTable {
    /// UDP and TCP addresses.
    pub listen: List<String>,
    /// Addresses of DNS over TLS.
    pub tls: List<String>,
    /// Addresses of DNS over QUIC.
    pub quic: List<String>,
    /// Addresses of DNS over HTTPS.
    pub https: List<String>,
    /// What encrypted transports show.
    pub certificate: Field<Table<CertificateTable>>,
    /// Peers that send PROXY headers.
    pub proxy_protocol: List<String>,
    /// UDP workers.
    pub workers: Field<i64>,
    /// How UDP queries come in.
    pub io: Field<String>,
    /// Largest UDP answer.
    pub udp_payload: Field<i64>,
    /// What the node calls itself.
    pub nsid: Field<String>,
    /// Whether names of class CHAOS are answered.
    pub chaos: Field<bool>,
    /// `[dns.xdp]`
    pub xdp: Field<Table<XdpTable>>,
    /// `[dns.cookies]`
    pub cookies: Field<Table<CookiesTable>>,
    /// Who may transfer the zones.
    pub transfer: List<Table<SecondaryTable>>,
    /// `[dns.client_subnet]`
    pub client_subnet: Field<Table<ClientSubnetTable>>,
    /// `[dns.limits]`
    pub limits: Field<Table<LimitsTable>>,
    /// The query log.
    pub query_log: Field<Table<QueryLogTable>>,
}

/// `{ sample = 0.001, file = "queries.log" }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct QueryLogTable {
    /// Share of the queries.
    pub sample: Field<f64>,
    /// File or named pipe.
    pub file: Field<String>,
    /// Unix socket.
    pub socket: Field<String>,
    /// json or dnstap.
    pub format: Field<String>,
}

/// `[dns.certificate]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct CertificateTable {
    /// PEM file of the certificate and those that lead to its authority.
    pub chain: Field<String>,
    /// PEM file of its key.
    pub key: Field<String>,
}

/// `[dns.xdp]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct XdpTable {
    /// Name of the network interface.
    pub interface: Field<String>,
}

/// One item of `dns.transfer`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SecondaryTable {
    /// Address, with or without port.
    pub to: Field<String>,
    /// A key of keys.toml.
    pub key: Field<String>,
}

/// `[dns.client_subnet]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ClientSubnetTable {
    /// on, off or trusted.
    pub policy: Field<String>,
    /// Resolvers that are believed.
    pub trusted: List<String>,
}

/// `[dns.cookies]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct CookiesTable {
    /// on, off or required.
    pub policy: Field<String>,
    /// File of the secrets.
    pub secret_file: Field<String>,
    /// The secrets, in the environment.
    pub secret: Field<TextOr<EnvTable>>,
}

/// `[dns.limits]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct LimitsTable {
    /// Answers a second.
    pub response_rate: Field<Table<ResponseRateTable>>,
    /// Which of the answers above the rate are sent truncated.
    pub slip: Field<i64>,
    /// Never limited.
    pub exempt: List<String>,
    /// Whether limits only count.
    pub dry_run: Field<bool>,
    /// Most TCP connections.
    pub tcp_clients: Field<i64>,
    /// Idle TCP connections are closed after this.
    pub tcp_idle: Field<DurationText>,
}

/// `response_rate = { positive = "off", negative = "200/s" }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ResponseRateTable {
    /// Answers with data.
    pub positive: Field<RateText>,
    /// Answers that there is none.
    pub negative: Field<RateText>,
    /// Errors.
    pub error: Field<RateText>,
}

/// `[probe]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ProbeTable {
    /// Most probes under way.
    pub max_in_flight: Field<i64>,
    /// Most probes started in a second.
    pub rate: Field<RateText>,
    /// Whether private space may be probed.
    pub allow_private: Field<bool>,
    /// Never probed.
    pub deny: List<String>,
}

/// `[cluster]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ClusterTable {
    /// embedded or nats.
    pub engine: Field<String>,
    /// `[cluster.nats]`
    pub nats: Field<Table<NatsTable>>,
}

/// `[cluster.nats]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct NatsTable {
    /// URLs.
    pub servers: List<String>,
    /// File of a JWT and the seed of its key.
    pub credentials_file: Field<String>,
    /// `[cluster.nats.tls]`
    pub tls: Field<Table<BusTlsTable>>,
    /// What all subjects begin with.
    pub prefix: Field<String>,
}

/// `[cluster.nats.tls]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct BusTlsTable {
    /// PEM file of the authorities that are trusted.
    pub ca: Field<String>,
    /// PEM file of the node's certificate and those that lead to its authority.
    pub chain: Field<String>,
    /// PEM file of its key.
    pub key: Field<String>,
}

/// `[admin]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AdminTable {
    /// Address of the listener.
    pub listen: Field<String>,
    /// Names of the listener.
    pub hosts: List<String>,
    /// File of those who may use it.
    pub tokens: Field<String>,
    /// How it speaks TLS.
    pub tls: Field<Table<AdminTlsTable>>,
}

/// `[admin.tls]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AdminTlsTable {
    /// PEM file of the certificate and those that lead to its authority.
    pub chain: Field<String>,
    /// PEM file of its key.
    pub key: Field<String>,
    /// PEM file of the authorities whose clients may do everything.
    pub client_ca: Field<String>,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct LogTable {
    /// text or json.
    pub format: Field<String>,
    /// Level or filter.
    pub level: Field<String>,
}

/// `[proxy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ProxyTable {
    /// Addresses of HTTP in the clear.
    pub http: List<String>,
    /// Addresses of HTTP over TLS.
    pub https: List<String>,
    /// Addresses of HTTP/3.
    pub http3: List<String>,
    /// Listeners of TCP.
    pub tcp: List<Table<TcpTable>>,
    /// Listeners of UDP.
    pub udp: List<Table<UdpTable>>,
    /// Folder of certificates and keys.
    pub certificates: Field<String>,
    /// `[proxy.acme]`
    pub acme: Field<Table<AcmeTable>>,
    /// Threads.
    pub workers: Field<i64>,
    /// PEM file of the authorities of clients.
    pub client_ca: Field<String>,
    /// Peers that send PROXY headers.
    pub proxy_protocol: List<String>,
    /// Peers whose word on clients is believed.
    pub trusted_proxies: List<String>,
    /// What is under way at the end gets this long.
    pub drain: Field<DurationText>,
    /// `[proxy.limits]`
    pub limits: Field<Table<ProxyLimitsTable>>,
    /// `[proxy.access_log]`
    pub access_log: Field<Table<AccessLogTable>>,
}

/// `[proxy.access_log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AccessLogTable {
    /// File or named pipe.
    pub file: Field<String>,
    /// Standard error.
    pub stderr: Field<bool>,
    /// Share of the requests.
    pub sample: Field<f64>,
    /// Whether errors are always logged.
    pub errors: Field<bool>,
}

/// `[proxy.limits]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ProxyLimitsTable {
    /// Connections in all.
    pub connections: Field<i64>,
    /// Connections of one address.
    pub per_client: Field<i64>,
    /// Time for a head.
    pub header_timeout: Field<DurationText>,
    /// Time between requests.
    pub idle: Field<DurationText>,
    /// Header fields.
    pub headers: Field<i64>,
    /// Octets of a head.
    pub header_size: Field<String>,
    /// Octets of a target.
    pub target: Field<String>,
    /// Octets of a body.
    pub body: Field<String>,
    /// Octets a second of a body.
    pub body_rate: Field<String>,
}
