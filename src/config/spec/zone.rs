//! `zones/NAME.toml` as written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{DurationText, Field, List, Named, Table, TextOr};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ZoneFile {
    /// Version of the language.
    pub version: Field<i64>,
    /// The zone as a whole.
    pub zone: Field<Table<ZoneTable>>,
    /// Services by owner.
    pub service: Named<ServiceTable>,
}

/// `[zone]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ZoneTable {
    /// How it is transferred to others.
    pub transfer: Field<Table<TransferTable>>,
    /// Where it is fetched from.
    pub primary: Field<Table<PrimaryTable>>,
}

/// `[zone.transfer]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TransferTable {
    /// default or omit.
    pub steered: Field<String>,
}

/// `[zone.primary]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PrimaryTable {
    /// Address, with or without port.
    pub address: Field<String>,
    /// A key of keys.toml.
    pub key: Field<String>,
}

/// `[service.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ServiceTable {
    /// The one pool.
    pub pool: Field<String>,
    /// Pools in order.
    pub pools: List<String>,
    /// Methods in order.
    pub policy: List<TextOr<MethodTable>>,
    /// Most addresses in an answer.
    pub answers: Field<i64>,
    /// Bounds of the TTL.
    pub ttl: Field<Table<TtlTable>>,
    /// What is answered while nothing is up.
    pub all_down: Field<TextOr<AllDownTable>>,
    /// Whose client subnets count.
    pub client_subnet: Field<TextOr<TrustedTable>>,
    /// How clients return.
    pub failback: Field<TextOr<FailbackTable>>,
    /// HTTPS records.
    pub https: Field<Table<HttpsTable>>,
    /// The label between a region and this name.
    pub direct: Field<String>,
}

/// `{ delay = "5m" }` or `{ ramp = "10m" }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct FailbackTable {
    /// Time without a new loss.
    pub delay: Field<DurationText>,
    /// Time to grow.
    pub ramp: Field<DurationText>,
}

/// `{ trusted = ["198.51.100.0/24"] }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TrustedTable {
    /// Resolvers that are believed.
    pub trusted: List<String>,
}

/// `{ alpn = ["h2", "h3"] }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct HttpsTable {
    /// Protocols.
    pub alpn: List<String>,
    /// Destination port.
    pub port: Field<i64>,
}

/// A method with its keys; those of all methods.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct MethodTable {
    /// The method's name.
    pub method: Field<String>,
    /// fence: country, continent or a network.
    pub by: Field<TextOr<FenceTable>>,
    /// fence: never left.
    pub strict: Field<bool>,
    /// proximity: per region.
    pub bias: Field<BTreeMap<Spanned<String>, Spanned<i64>>>,
    /// proximity, nearest: band that ties.
    pub tolerance: Field<f64>,
    /// latency: share of answers to the runner-up.
    pub explore: Field<f64>,
    /// order: best first.
    pub regions: List<String>,
    /// nearest: how many.
    pub n: Field<i64>,
    /// affinity: prefix lengths.
    pub prefix: Field<Table<PrefixTable>>,
    /// spill: share of a region's capacity.
    pub target: Field<f64>,
    /// spill: share that moves within a minute.
    pub ramp: Field<f64>,
    /// spill: share that keeps standbys warm.
    pub standby: Field<f64>,
}

/// `{ network = "office" }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct FenceTable {
    /// A network of the fleet.
    pub network: Field<String>,
}

/// `{ v4 = 24, v6 = 48 }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PrefixTable {
    /// Bits of an IPv4 client.
    pub v4: Field<i64>,
    /// Bits of an IPv6 client.
    pub v6: Field<i64>,
}

/// `{ min = "5s", max = "30s" }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TtlTable {
    /// Never below.
    pub min: Field<DurationText>,
    /// Never above.
    pub max: Field<DurationText>,
}

/// `{ address = ["192.0.2.99"] }` or `{ cname = "status.example.net." }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AllDownTable {
    /// Addresses answered.
    pub address: List<String>,
    /// Target of the CNAME answered.
    pub cname: Field<String>,
}
