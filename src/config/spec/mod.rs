//! What an operator may write, file by file: plain serde types, unknown keys denied, nothing
//! checked beyond the TOML type.
//!
//! Nearly every key is optional here, because the reader must go on after a mistake; the resolver
//! says what is missing. Everything keeps its place in the file.

mod acme;
mod drill;
mod fleet;
mod keys;
mod latency;
mod node;
mod protection;
mod relay;
mod shape;
mod telemetry;
mod tokens;
mod webhook;
mod zone;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

pub(super) use acme::{AcmeTable, ExternalAccountTable, OrderedTable};
pub(super) use drill::{AbortTable, DrillFile, DrillTable, ExpectTable};
pub(super) use fleet::{
    CacheTable, CoordinatesTable, EndpointTable, EnvTable, FleetFile, MonitorTable, NetworkTable,
    PlanTable, PoolTable, RegionTable, RetryTable, RouteTable, SafetyTable, TimeoutsTable,
    UpstreamTable, UpstreamTlsTable, VantageTable,
};
pub(super) use keys::{KeyTable, KeysFile};
pub(super) use latency::{LatencyTable, ResolversTable};
pub(super) use node::{
    AccessLogTable, AdminTable, AdminTlsTable, BusTlsTable, ClientSubnetTable, ClusterTable,
    CookiesTable, DnsTable, GeoTable, LimitsTable, LogTable, NatsTable, NodeFile, ProbeTable,
    ProxyLimitsTable, ProxyTable, QueryLogTable, ResponseRateTable, SecondaryTable, XdpTable,
};
pub(super) use protection::{EjectTable, PriorityTable, RateLimitTable, RescueTable};
pub(super) use relay::{SniTable, TcpTable, UdpTable};
pub(super) use shape::{
    CompressTable, EditsTable, RedirectTable, RespondTable, RewriteTable, StickyTable,
    UnavailableTable,
};
pub(super) use telemetry::TelemetryTable;
pub(super) use tokens::TokensFile;
pub(super) use webhook::WebhookTable;
pub(super) use zone::{
    AllDownTable, FailbackTable, FenceTable, HttpsTable, MethodTable, ServiceTable, TrustedTable,
    TtlTable, ZoneFile, ZoneTable,
};

/// A key that may be left out.
pub(super) type Field<T> = Option<Spanned<T>>;
/// A list whose items keep their places.
pub(super) type List<T> = Option<Spanned<Vec<Spanned<T>>>>;
/// Tables by name: `[pool.web]`.
pub(super) type Named<T> = BTreeMap<Spanned<String>, Spanned<Table<T>>>;

/// A table. Derived code alone would also take a list and read it by position.
#[derive(Clone, Debug, Default)]
pub(super) struct Table<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor(PhantomData))
    }
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableVisitor<T> {
    type Value = Table<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Table)
    }
}

/// Either a word or a table: `vantage = "any"`, `vantage = { at_least = 1 }`.
#[derive(Clone, Debug)]
pub(super) enum TextOr<T> {
    /// The word.
    Text(String),
    /// The table.
    Table(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

struct TextOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T> {
    type Value = TextOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a table")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(TextOr::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(TextOr::Table)
    }
}

/// Either on or off, or on with a table: `tls = true`, `tls = { ca = "ca.pem" }`.
#[derive(Clone, Debug)]
pub(super) enum FlagOr<T> {
    /// On or off.
    Flag(bool),
    /// On, and how.
    Table(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for FlagOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagOrVisitor(PhantomData))
    }
}

struct FlagOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FlagOrVisitor<T> {
    type Value = FlagOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a table")
    }

    fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Self::Value, E> {
        Ok(FlagOr::Flag(on))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(FlagOr::Table)
    }
}

/// Either a word or a list of words.
#[derive(Clone, Debug)]
pub(super) enum TextOrList {
    /// The word.
    Text(String),
    /// The list.
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for TextOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrListVisitor)
    }
}

struct TextOrListVisitor;

impl<'de> Visitor<'de> for TextOrListVisitor {
    type Value = TextOrList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(TextOrList::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(TextOrList::List)
    }
}

/// A duration as text; a type of its own so that a bare number is told what to write.
#[derive(Clone, Debug)]
pub(super) struct DurationText(pub String);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DurationVisitor)
    }
}

struct DurationVisitor;

/// What a [`DurationText`] must look like, as shown in messages.
pub(super) const DURATION_EXPECTED: &str = "a duration such as `\"5s\"`";

impl Visitor<'_> for DurationVisitor {
    type Value = DurationText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DURATION_EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(DurationText(text.to_owned()))
    }
}

/// A rate as text; a type of its own for the reason that durations have one.
#[derive(Clone, Debug)]
pub(super) struct RateText(pub String);

impl<'de> Deserialize<'de> for RateText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(RateVisitor)
    }
}

struct RateVisitor;

/// What a [`RateText`] must look like, as shown in messages.
pub(super) const RATE_EXPECTED: &str = "a rate such as `\"100/s\"`, or `\"off\"`";

impl Visitor<'_> for RateVisitor {
    type Value = RateText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(RATE_EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(RateText(text.to_owned()))
    }
}
