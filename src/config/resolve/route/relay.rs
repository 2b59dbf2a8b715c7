//! `proxy.tcp` and `proxy.udp`: listeners whose octets go to a pool as they come.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::{asked, route};
use crate::config::defaults::{self as d, Preset};
use crate::config::files::{Files, Place};
use crate::config::names::Names;
use crate::config::sheet::{Section, Sheet};
use crate::config::spec::{
    DurationText, Field, List, RouteTable, SniTable, Table, TcpTable, UdpTable,
};
use crate::config::value::{Fault, duration_in, listener, name, whole_in, word};
use crate::diagnostic::Source;
use crate::model::{Action, Balance, HostPattern, PoolId, Route, TcpRelay, UdpRelay};
use crate::proxy_header::Version;

/// Most relays of a kind: each has sockets in every thread.
const RELAYS_MAX: usize = 256;
/// Most names of a relay: a connection is compared with each.
const NAMES_MAX: usize = 1_000;

/// Whether an address may be listened on; the text is as it was written.
type Free<'a> = &'a mut dyn FnMut(SocketAddr, &str) -> Result<SocketAddr, Fault>;

/// `name`, `listen` and `port`.
type Written<'a> = (&'a Field<String>, &'a Field<String>, &'a Field<i64>);

/// What relays of both kinds share while they are resolved.
struct Draft {
    name: Option<String>,
    listen: Option<SocketAddr>,
    port: u16,
    pool: Option<PoolId>,
    balance: Balance,
    slow_start: std::time::Duration,
}

/// `proxy.tcp`
pub(in crate::config::resolve) fn tcp(
    proxy: &mut Section<'_>,
    list: &List<Table<TcpTable>>,
    free: Free<'_>,
    pools: &Names<PoolId>,
) -> Vec<Arc<TcpRelay>> {
    each(proxy, "tcp", list, |section, table| {
        let written = (&table.name, &table.listen, &table.port);
        let mut draft = draft(section, ("tcp", written), (&table.balance, d::TCP_BALANCE), free);
        draft.slow_start = slow_start(section, &table.slow_start);
        let read = duration_in("connect", &d::PROXY_TIME_RANGE);
        let connect = section.value("connect", &table.connect, d::CONNECT, read);
        let read = duration_in("idle", &d::PROXY_TIME_RANGE);
        let idle = section.value("idle", &table.idle, d::TCP_IDLE_RELAYED, read);
        let read = whole_in("max_connections", &d::MAX_CONNECTIONS_RANGE);
        let most =
            section.value("max_connections", &table.max_connections, d::MAX_CONNECTIONS, read);
        let words = [("v1", Version::V1), ("v2", Version::V2)];
        let read = word("proxy_protocol", &words);
        let header = section.optional("proxy_protocol", table.proxy_protocol.as_ref(), read);
        draft.pool = match (&table.pool, &table.sni) {
            (None, Some(_)) => None,
            (pool, _) => section.required("pool", pool.as_ref(), |t| pools.find(t)).flatten(),
        };
        let mut targets = Vec::new();
        let mut add = |pool: PoolId, port: u16, draft: &Draft| {
            let mut route = blank(pool, draft, pools)?;
            route.timeouts.connect = connect;
            route.timeouts.idle = idle;
            route.upstream.max_connections = most;
            route.upstream.port = port;
            targets.push(Arc::new(route));
            Some(targets.len() - 1)
        };
        let others = draft.pool.and_then(|pool| add(pool, draft.port, &draft));
        let names =
            names(section, &table.sni, pools, draft.port, |pool, port| add(pool, port, &draft));
        Some(TcpRelay { listen: draft.listen?, targets, names, others, header })
    })
}

/// `proxy.udp`
pub(in crate::config::resolve) fn udp(
    proxy: &mut Section<'_>,
    list: &List<Table<UdpTable>>,
    free: Free<'_>,
    pools: &Names<PoolId>,
) -> Vec<Arc<UdpRelay>> {
    each(proxy, "udp", list, |section, table| {
        let written = (&table.name, &table.listen, &table.port);
        let mut draft = draft(section, ("udp", written), (&table.balance, d::BALANCE), free);
        draft.slow_start = slow_start(section, &table.slow_start);
        let read = duration_in("idle", &d::PROXY_TIME_RANGE);
        let idle = section.value("idle", &table.idle, d::UDP_IDLE, read);
        let read = whole_in::<u32>("flows", &d::FLOWS_RANGE);
        let flows = section.value("flows", &table.flows, d::FLOWS, |n| read(n).map(|n| n as usize));
        let pool = section.required("pool", table.pool.as_ref(), |text| pools.find(text));
        let mut route = blank(pool.flatten()?, &draft, pools)?;
        route.timeouts.idle = idle;
        route.upstream.max_connections = u32::MAX;
        Some(UdpRelay { listen: draft.listen?, target: Arc::new(route), flows })
    })
}

/// Resolves the tables of a list.
fn each<T, R>(
    proxy: &mut Section<'_>,
    key: &str,
    list: &List<Table<T>>,
    mut resolve: impl FnMut(&mut Section<'_>, &T) -> Option<R>,
) -> Vec<Arc<R>> {
    let Some(list) = list else { return Vec::new() };
    let mut relays = Vec::new();
    for (index, item) in list.get_ref().iter().enumerate() {
        if index == RELAYS_MAX {
            let fault = Fault::new(format!("more than {RELAYS_MAX} items in `{key}`"));
            proxy.error(item.span(), fault);
            break;
        }
        let mut section = proxy.item(key, index, item.span());
        relays.extend(resolve(&mut section, &item.get_ref().0).map(Arc::new));
    }
    relays
}

/// What relays of both kinds share.
fn draft(
    section: &mut Section<'_>,
    (kind, (given, listen, port)): (&str, Written<'_>),
    (balance, preset): (&Field<String>, Preset<Balance>),
    free: Free<'_>,
) -> Draft {
    let given = section.optional("name", given.as_ref(), |text| name(text));
    let listen = section.required("listen", listen.as_ref(), |text| {
        let address = listener(text, 5432)?;
        free(address, text)
    });
    let own = Preset { value: listen.map_or(0, |listen| listen.port()), written: d::RELAY_PORT };
    let port = section.value("port", port, own, whole_in("port", &d::PORT_RANGE));
    let words = Balance::ALL.map(|balance| (balance.name(), balance));
    let balance = section.value("balance", balance, preset, word("balance", &words));
    let slow_start = d::SLOW_START.value;
    let name = given.or_else(|| listen.map(|listen| format!("{kind} {listen}")));
    Draft { name, listen, port, pool: None, balance, slow_start }
}

fn slow_start(section: &mut Section<'_>, field: &Field<DurationText>) -> std::time::Duration {
    let read = duration_in("slow_start", &d::SLOW_START_RANGE);
    section.value("slow_start", field, d::SLOW_START, read)
}

/// `sni`: the names that clients ask for, and where each goes.
fn names(
    relay: &mut Section<'_>,
    list: &List<Table<SniTable>>,
    pools: &Names<PoolId>,
    port: u16,
    mut add: impl FnMut(PoolId, u16) -> Option<usize>,
) -> Vec<(HostPattern, usize)> {
    let fault = Fault::new("`sni` is empty").hint("leave it out to relay whatever comes");
    relay.not_empty(list, fault);
    let Some(list) = list else { return Vec::new() };
    let mut names: Vec<(HostPattern, usize)> = Vec::new();
    for (index, item) in list.get_ref().iter().enumerate() {
        let table = &item.get_ref().0;
        let mut section = relay.item("sni", index, item.span());
        if table.hosts.is_none() {
            section.missing("hosts");
        }
        section.not_empty(&table.hosts, Fault::new("`hosts` is empty"));
        let hosts = section.list("hosts", &table.hosts, |text| {
            let host = asked::host(text)?;
            if names.iter().any(|(other, _)| *other == host) {
                return Err(Fault::new(format!("`{text}` is in an item before this one")));
            }
            Ok(Some(host))
        });
        let pool = section.required("pool", table.pool.as_ref(), |text| pools.find(text));
        let own = Preset { value: port, written: d::SNI_PORT };
        let port = section.value("port", &table.port, own, whole_in("port", &d::PORT_RANGE));
        let Some(target) = pool.flatten().and_then(|pool| add(pool, port)) else { continue };
        names.extend(hosts.into_iter().map(|host| (host, target)));
        if names.len() > NAMES_MAX {
            section.error(item.span(), Fault::new(format!("more than {NAMES_MAX} hosts")));
            break;
        }
    }
    names
}

/// A route with every default and no request of its own.
fn blank(pool: PoolId, draft: &Draft, pools: &Names<PoolId>) -> Option<Route> {
    // What is found there is about nothing that was written.
    let mut sheet = Sheet::new(Source::new("", ""));
    let any = pools.any().map(|name| Spanned::new(0..0, name.to_owned()));
    let table = RouteTable { pool: any, ..RouteTable::default() };
    let (nowhere, mut none) = (Place::new(Path::new("")), Files::default());
    let mut route = route(&mut sheet.top(), &table, pools, &nowhere, &mut none)?;
    route.name.clone_from(draft.name.as_ref()?);
    route.action = Action::Pool(pool);
    route.balance = draft.balance;
    route.slow_start = draft.slow_start;
    route.retry.attempts = RELAY_ATTEMPTS;
    route.retry.budget = 1.0;
    route.upstream.port = draft.port;
    Some(route)
}

/// Endpoints that are connected to before a client is sent away: nothing was sent to the others,
/// so that trying costs no more than time.
const RELAY_ATTEMPTS: u32 = 3;
