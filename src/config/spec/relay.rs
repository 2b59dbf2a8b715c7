//! `proxy.tcp` and `proxy.udp` as they are written.

use serde::Deserialize;

use super::{DurationText, Field, List, Table};

/// One of `proxy.tcp`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TcpTable {
    /// What metrics and logs call it.
    pub name: Field<String>,
    /// Where clients connect to.
    pub listen: Field<String>,
    /// Where connections go.
    pub pool: Field<String>,
    /// The port of endpoints.
    pub port: Field<i64>,
    /// By the name that a TLS client asks for.
    pub sni: List<Table<SniTable>>,
    /// How an endpoint is chosen.
    pub balance: Field<String>,
    /// Time to connect to an endpoint.
    pub connect: Field<DurationText>,
    /// Time without an octet in either direction.
    pub idle: Field<DurationText>,
    /// Connections at a time to one endpoint.
    pub max_connections: Field<i64>,
    /// How endpoints are told who the client is.
    pub proxy_protocol: Field<String>,
    /// Time in which an endpoint gets its full share.
    pub slow_start: Field<DurationText>,
}

/// One of `sni` of one of `proxy.tcp`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SniTable {
    /// Names that clients ask for.
    pub hosts: List<String>,
    /// Where they go.
    pub pool: Field<String>,
    /// The port of endpoints.
    pub port: Field<i64>,
}

/// One of `proxy.udp`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct UdpTable {
    /// What metrics and logs call it.
    pub name: Field<String>,
    /// Where datagrams come to.
    pub listen: Field<String>,
    /// Where they go.
    pub pool: Field<String>,
    /// The port of endpoints.
    pub port: Field<i64>,
    /// How an endpoint is chosen.
    pub balance: Field<String>,
    /// Time without a datagram in either direction.
    pub idle: Field<DurationText>,
    /// Clients at a time.
    pub flows: Field<i64>,
    /// Time in which an endpoint gets its full share.
    pub slow_start: Field<DurationText>,
}
