//! node.toml: from what is written to [`Node`].

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::acme::ByZone;
use super::fleet::FleetNames;
use super::keys::{Keys, server};
use super::transports::transports;
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::names::Names;
use crate::config::sheet::{Section, Sheet};
use crate::config::spec::{
    ClientSubnetTable, DnsTable, GeoTable, LimitsTable, List, LogTable, NodeFile, ProbeTable,
    SecondaryTable, Table,
};
use crate::config::value::{
    Fault, duration_in, listener, name, prefix, rate_in, unknown_word, whole_in, word,
};
use crate::diagnostic::{Source, reason};
use crate::model::{
    ClientSubnet, Dns, Geo, Log, LogFormat, Node, Probe, RegionId, Secondary, Token,
};
use crate::prefix::Prefix;

/// What node.toml means.
pub(in crate::config) struct NodeDraft {
    /// The node; `None` when something required is missing.
    pub node: Option<Node>,
    /// The folder of the zone files, and where it is written.
    pub zones: (Place, Option<std::ops::Range<usize>>),
    /// The folder of what must survive a restart.
    pub state: Place,
    /// Its `[dns]` role, also while the rest of the file is wrong.
    pub dns: bool,
    /// Its `[probe]` role, likewise.
    pub probe: Option<Probe>,
    /// Where `[dns]` stands, for warnings.
    pub dns_at: std::ops::Range<usize>,
    /// Where `[proxy]` stands, likewise; `None`: no proxy of HTTP.
    pub proxy_at: Option<std::ops::Range<usize>>,
    /// Names whose certificates the zones are to vouch for.
    pub by_zone: ByZone,
}

/// Resolves the file; `folder` is where it is.
pub(in crate::config) fn resolve(
    spec: &NodeFile,
    sheet: &mut Sheet,
    folder: &Place,
    names: &FleetNames,
    (keys, tokens): (&Keys, Option<Vec<Token>>),
    files: &mut Files,
) -> NodeDraft {
    let mut top = sheet.top();
    super::version(&mut top, &spec.version);
    let identity = identity(&mut top, spec, &names.regions);
    let place = |text: &String| path(text).map(|()| folder.join(text));
    let table = spec.zones.as_ref().map(|table| &table.get_ref().0);
    let field = table.and_then(|table| table.directory.as_ref());
    let mut section = top.inside("zones", header(spec.zones.as_ref()));
    if field.is_none() {
        section.default("directory", d::ZONES.written);
    }
    let zones = section.optional("directory", field, place);
    let zones = (zones.unwrap_or_else(|| folder.join(d::ZONES.value)), field.map(Spanned::span));
    let geo = geo(&mut top, spec.geo.as_ref(), folder, files);
    let name = identity.as_ref().map(|identity| identity.name.as_str()).unwrap_or_default();
    let dns = spec.dns.as_ref().map(|table| dns(&mut top, table, name, keys, folder, files));
    let probe = spec.probe.as_ref().map(|table| probe(&mut top, table));
    let cluster = super::cluster::resolve(&mut top, spec.cluster.as_ref(), folder, files);
    let admin = spec
        .admin
        .as_ref()
        .map(|table| super::admin::resolve(&mut top, table, dns.as_ref(), tokens, folder, files));
    let state = identity.as_ref().map_or(d::STATE.value, |identity| &identity.state);
    let state = folder.join(state);
    let proxy = spec.proxy.as_ref().map(|table| {
        let (others, places) = ((dns.as_ref(), admin.as_ref()), (folder, &state));
        super::proxy::resolve(&mut top, table, others, &names.pools, places, files)
    });
    let (proxy, by_zone) = proxy.unzip();
    let log = log(&mut top, spec.log.as_ref());
    let proxies = proxy.is_some() || top.sheet.lost_table("proxy");
    let telemetry = super::telemetry::resolve(&mut top, spec.telemetry.as_ref(), proxies);
    let webhooks = super::webhook::resolve(&mut top, &spec.webhook, folder, files);
    let idle = dns.is_none() && probe.is_none() && admin.is_none() && proxy.is_none();
    if idle && spec.node.is_some() && !top.sheet.lost_table("dns") {
        let fault = Fault::new("this node has no role").hint("add [dns], [probe] or [proxy]");
        top.warn(header(spec.node.as_ref()), fault);
    }
    let dns_at = header(spec.dns.as_ref());
    let http = proxy.as_ref().is_some_and(|proxy| proxy.http.len() + proxy.https.len() > 0);
    let proxy_at = spec.proxy.as_ref().filter(|_| http).map(Spanned::span);
    let role = dns.is_some();
    let shared = probe.clone();
    let node = identity.map(|Identity { name, region, resolvers, .. }| Node {
        name,
        region,
        state: state.real.clone(),
        resolvers,
        keys: keys.all().cloned().collect(),
        zones: zones.0.real.clone(),
        geo,
        dns,
        probe,
        proxy,
        cluster,
        admin,
        log,
        telemetry,
        webhooks,
    });
    let by_zone = by_zone.unwrap_or_default();
    NodeDraft { node, zones, state, dns: role, probe: shared, dns_at, proxy_at, by_zone }
}

fn header<T>(table: Option<&Spanned<T>>) -> std::ops::Range<usize> {
    table.map(Spanned::span).unwrap_or_default()
}

/// A path must be something.
pub(super) fn path(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new("the path is empty"));
    }
    if text.contains('\0') {
        return Err(Fault::new(format!("`{}` is not a path", text.escape_debug())));
    }
    Ok(())
}

/// The octets of a file that a section names, and its place; `folder` is where that section is.
pub(super) fn octets(
    text: &str,
    folder: &Place,
    files: &mut Files,
) -> Result<(Vec<u8>, Place), Fault> {
    path(text)?;
    let place = folder.join(text);
    match files.octets(&place) {
        Ok(octets) => Ok((octets, place)),
        Err(error) => {
            Err(Fault::new(format!("`{}` cannot be read: {}", place.shown, reason(&error))))
        }
    }
}

/// The same of a file that holds text.
pub(super) fn content(
    text: &str,
    folder: &Place,
    files: &mut Files,
) -> Result<(Source, Place), Fault> {
    path(text)?;
    let place = folder.join(text);
    match files.read(&place) {
        Ok(source) => Ok((source, place)),
        Err(error) => Err(Fault::new(format!("`{}` {}", place.shown, error.what))),
    }
}

/// `[node]`, but for the state folder's place.
struct Identity {
    name: String,
    region: RegionId,
    state: String,
    resolvers: Vec<SocketAddr>,
}

fn identity(top: &mut Section<'_>, spec: &NodeFile, regions: &Names<RegionId>) -> Option<Identity> {
    let Some(table) = &spec.node else {
        top.lacks("node", Fault::new("`[node]` is missing").hint("it needs `name` and `region`"));
        return None;
    };
    let mut section = top.inside("node", table.span());
    let table = &table.get_ref().0;
    let name = section.required("name", table.name.as_ref(), |text| name(text));
    let region = section.required("region", table.region.as_ref(), |text| regions.find(text));
    if table.state.is_none() {
        section.default("state", d::STATE.written);
    }
    let read = |text: &String| path(text).map(|()| text.clone());
    let state = section.optional("state", table.state.as_ref(), read);
    if table.resolvers.is_none() {
        section.default("resolvers", d::RESOLVERS);
    }
    let resolvers = section.list("resolvers", &table.resolvers, |text| server(text, 53).map(Some));
    let state = state.unwrap_or_else(|| d::STATE.value.to_owned());
    Some(Identity { name: name?, region: region??, state, resolvers })
}

/// `[geo]`; files are looked for here, because here it is known where their names stand.
fn geo(
    top: &mut Section<'_>,
    table: Option<&Spanned<Table<GeoTable>>>,
    folder: &Place,
    files: &mut Files,
) -> Geo {
    let mut section = top.inside("geo", header(table));
    let empty = GeoTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    if table.databases.is_none() {
        section.default("databases", d::DATABASES);
    }
    let databases: Vec<PathBuf> = section.list("databases", &table.databases, |text| {
        path(text)?;
        let place = folder.join(text);
        files.note(&place);
        match std::fs::metadata(&place.real) {
            Ok(found) if found.is_file() => Ok(Some(place.real)),
            Ok(_) => Err(Fault::new(format!("`{}` is not a file", place.shown))),
            Err(error) => {
                Err(Fault::new(format!("`{}` cannot be read: {}", place.shown, reason(&error))))
            }
        }
    });
    let read = duration_in("max_age", &d::MAX_AGE_RANGE);
    let max_age = section.value("max_age", &table.max_age, d::MAX_AGE, read);
    Geo { databases, max_age }
}

/// `[dns]` of the node of this name; `folder` is where node.toml is.
fn dns(
    top: &mut Section<'_>,
    table: &Spanned<Table<DnsTable>>,
    name: &str,
    keys: &Keys,
    folder: &Place,
    files: &mut Files,
) -> Dns {
    let mut section = top.inside("dns", table.span());
    let table = &table.get_ref().0;
    let mut listen = section.list("listen", &table.listen, |text| listener(text, 53).map(Some));
    let fault = Fault::new("`listen` is empty").hint("leave it out to listen on every address");
    section.not_empty(&table.listen, fault);
    if table.listen.is_none() {
        section.default("listen", d::DNS_LISTEN.written);
        listen = d::DNS_LISTEN.value.to_vec();
    }
    let transports = transports(&mut section, table, folder, files);
    let read = whole_in("workers", &d::WORKERS_RANGE);
    let workers =
        section.value("workers", &table.workers, d::WORKERS, |n| read(n).map(usize::from));
    let io = super::io::resolve(&mut section, table);
    let read = whole_in("udp_payload", &d::UDP_PAYLOAD_RANGE);
    let udp_payload = section.value("udp_payload", &table.udp_payload, d::UDP_PAYLOAD, read);
    if table.nsid.is_none() {
        section.default("nsid", d::NSID);
    }
    let nsid = section.optional("nsid", table.nsid.as_ref(), |text| nsid(text));
    let nsid = nsid.unwrap_or_else(|| name.to_owned());
    let chaos = section.value("chaos", &table.chaos, d::CHAOS, |flag| Ok(*flag));
    let transfer = secondaries(&mut section, &table.transfer, keys);
    let client_subnet = client_subnet(&mut section, table.client_subnet.as_ref());
    let cookies = super::cookies::resolve(&mut section, table.cookies.as_ref(), folder, files);
    let query_log = super::query_log::resolve(&mut section, table.query_log.as_ref(), folder);
    let mut section = section.inside("limits", header(table.limits.as_ref()));
    let empty = LimitsTable::default();
    let limits = table.limits.as_ref().map_or(&empty, |table| &table.get_ref().0);
    let response_rates = super::response_rates::resolve(&mut section, limits);
    let read = whole_in("tcp_clients", &d::TCP_CLIENTS_RANGE);
    let tcp_clients = section
        .value("tcp_clients", &limits.tcp_clients, d::TCP_CLIENTS, |n| read(n).map(|n| n as usize));
    let read = duration_in("tcp_idle", &d::TCP_IDLE_RANGE);
    let tcp_idle = section.value("tcp_idle", &limits.tcp_idle, d::TCP_IDLE, read);
    Dns {
        listen,
        transports,
        workers,
        io,
        udp_payload,
        client_subnet,
        nsid,
        chaos,
        cookies,
        response_rates,
        transfer,
        tcp_clients,
        tcp_idle,
        query_log,
    }
}

/// `dns.transfer`: who may transfer the zones.
fn secondaries(
    dns: &mut Section<'_>,
    list: &List<Table<SecondaryTable>>,
    keys: &Keys,
) -> Vec<Secondary> {
    let Some(list) = list else { return Vec::new() };
    dns.written("transfer", list.span());
    let mut all: Vec<Secondary> = Vec::new();
    for (index, item) in list.get_ref().iter().enumerate() {
        let mut section = dns.item("transfer", index, item.span());
        let table = &item.get_ref().0;
        let secondary = Secondary {
            to: section.server("to", table.to.as_ref(), 53),
            key: section.key(&table.key, keys),
        };
        if table.to.is_none() && table.key.is_none() {
            let fault = Fault::new("neither `to` nor `key` is there");
            section.lacks("to", fault.hint("everybody could copy the zones; write one or both"));
        } else if all.contains(&secondary) && secondary.to.is_some() {
            section.error(item.span(), Fault::new("the same secondary is listed twice"));
        }
        all.push(secondary);
    }
    all
}

/// What the node calls itself: text that every tool shows as it is.
fn nsid(text: &str) -> Result<String, Fault> {
    if text.len() > d::NSID_MAX {
        let fault =
            format!("`nsid` must have {} octets at most, found {}", d::NSID_MAX, text.len());
        return Err(Fault::new(fault));
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::new("`nsid` holds control characters"));
    }
    Ok(text.to_owned())
}

/// The three policies for EDNS client subnet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SubnetPolicy {
    On,
    Off,
    Trusted,
}

fn client_subnet(
    dns: &mut Section<'_>,
    table: Option<&Spanned<Table<ClientSubnetTable>>>,
) -> ClientSubnet {
    let mut section = dns.inside("client_subnet", header(table));
    let empty = ClientSubnetTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    let words =
        [("on", SubnetPolicy::On), ("off", SubnetPolicy::Off), ("trusted", SubnetPolicy::Trusted)];
    let preset = d::Preset { value: SubnetPolicy::On, written: d::CLIENT_SUBNET };
    let policy = section.value("policy", &table.policy, preset, word("policy", &words));
    let trusted = section.list("trusted", &table.trusted, |text| prefix(text).map(Some));
    let fault = || Fault::new("`trusted` names no resolver, so no client subnet is believed");
    match policy {
        SubnetPolicy::Trusted if table.trusted.is_none() => {
            section.lacks("trusted", fault().hint("add it, or write `policy = \"off\"`"));
        }
        SubnetPolicy::Trusted => {
            section.not_empty(&table.trusted, fault().hint("or write `policy = \"off\"`"));
        }
        SubnetPolicy::On | SubnetPolicy::Off => {
            if let Some(field) = &table.trusted {
                let fault = Fault::new("`trusted` has no effect with this policy");
                section.error(field.span(), fault.hint("write `policy = \"trusted\"`"));
            }
        }
    }
    match policy {
        SubnetPolicy::On => ClientSubnet::On,
        SubnetPolicy::Off => ClientSubnet::Off,
        SubnetPolicy::Trusted => ClientSubnet::Trusted(trusted),
    }
}

fn probe(top: &mut Section<'_>, table: &Spanned<Table<ProbeTable>>) -> Probe {
    let mut section = top.inside("probe", table.span());
    let table = &table.get_ref().0;
    let read = whole_in("max_in_flight", &d::MAX_IN_FLIGHT_RANGE);
    let max_in_flight =
        section.value("max_in_flight", &table.max_in_flight, d::MAX_IN_FLIGHT, |n| {
            read(n).map(|n| n as usize)
        });
    let read = rate_in("rate", &d::PROBE_RATE_RANGE);
    let rate = section.value("rate", &table.rate, d::PROBE_RATE, read);
    let allow_private =
        section.value("allow_private", &table.allow_private, d::ALLOW_PRIVATE, |flag| Ok(*flag));
    let mut deny = section.list("deny", &table.deny, |text| prefix(text).map(Some));
    if table.deny.is_none() {
        section.default("deny", d::DENY.written);
        deny = d::DENY.value.parse::<Prefix>().into_iter().collect();
    }
    Probe { max_in_flight, rate, allow_private, deny }
}

fn log(top: &mut Section<'_>, table: Option<&Spanned<Table<LogTable>>>) -> Log {
    let mut section = top.inside("log", header(table));
    let empty = LogTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    let words = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.value("format", &table.format, d::LOG_FORMAT, word("format", &words));
    if table.level.is_none() {
        section.default("level", d::LOG_LEVEL.written);
    }
    let level = section.optional("level", table.level.as_ref(), |text| level(text));
    Log { format, level: level.unwrap_or_else(|| d::LOG_LEVEL.value.to_owned()) }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// A level, or a filter: `info,meridian::dns=debug`.
fn level(text: &str) -> Result<String, Fault> {
    for part in text.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if !LEVELS.contains(&level) {
            return Err(unknown_word("level", level, &LEVELS));
        }
    }
    Ok(text.to_owned())
}
