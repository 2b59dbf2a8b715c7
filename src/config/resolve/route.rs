//! `[[route]]`: which requests go to which pool.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use http::{HeaderName, Method};
use regex::Regex;
use toml::Spanned;

use crate::config::defaults as d;
use crate::config::names::Names;
use crate::config::sheet::Section;
use crate::config::spec::{FleetFile, RetryTable, RouteTable, Table, TimeoutsTable, UpstreamTable};
use crate::config::value::{Fault, duration_in, hostname, share, unknown_word, whole_in, word};
use crate::model::{
    Balance, HostPattern, PathPattern, PoolId, Retry, Route, RouteTimeouts, Upstream,
};

/// Most routes a fleet has: each request looks through those of its host.
const ROUTES_MAX: usize = 10_000;
/// Longest name of a route that is made of its host and path; metrics show it.
const NAME_MAX: usize = 100;

/// Resolves all routes, in the order of the file.
pub(super) fn resolve(
    top: &mut Section<'_>,
    spec: &FleetFile,
    pools: &Names<PoolId>,
) -> Vec<Arc<Route>> {
    let Some(list) = &spec.route else { return Vec::new() };
    let mut routes = Vec::new();
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut names: HashMap<String, Range<usize>> = HashMap::new();
    for (index, item) in list.get_ref().iter().enumerate() {
        if top.sheet.is_full() {
            break;
        }
        if index == ROUTES_MAX {
            top.error(item.span(), Fault::new(format!("more than {ROUTES_MAX} routes")));
            break;
        }
        let mut section = top.item("route", index, item.span());
        let table = &item.get_ref().0;
        let Some(mut route) = route(&mut section, table, pools) else { continue };
        let rule = format!("{:?} {:?} {:?}", route.hosts, route.headers, route.methods);
        let rule = format!("{rule} {}", table.path.as_ref().map_or("/", |path| path.get_ref()));
        let line = section.locate(item.span()).line;
        if let Some(before) = seen.get(&rule) {
            let fault = Fault::new("this route gets no request");
            section.warn(item.span(), fault.hint(format!("line {before} is for the same ones")));
        }
        seen.entry(rule).or_insert(line);
        if let Some(before) = names.get(&route.name).cloned() {
            let before = section.locate(before).line;
            match &table.name {
                Some(name) => {
                    let fault = Fault::new(format!("two routes are named `{}`", route.name));
                    section.error(name.span(), fault.hint(format!("first in line {before}")));
                }
                None => route.name = format!("{} (line {line})", route.name),
            }
        }
        names.insert(route.name.clone(), item.span());
        routes.push(Arc::new(route));
    }
    routes
}

fn route(section: &mut Section<'_>, table: &RouteTable, pools: &Names<PoolId>) -> Option<Route> {
    let name = section.optional("name", table.name.as_ref(), |text| name(text));
    if table.hosts.is_none() {
        section.default("hosts", d::ROUTE_HOSTS);
    }
    let fault = Fault::new("`hosts` is empty").hint("leave it out for all hosts");
    section.not_empty(&table.hosts, fault);
    let hosts = section.list("hosts", &table.hosts, |text| host(text).map(Some));
    if table.path.is_none() {
        section.default("path", d::ROUTE_PATH.written);
    }
    let path = section.optional("path", table.path.as_ref(), |text| path(text));
    let path = path.unwrap_or_else(|| PathPattern::Prefix(d::ROUTE_PATH.value.to_owned()));
    let headers = headers(section, table);
    let fault = Fault::new("`methods` is empty").hint("leave it out for all methods");
    section.not_empty(&table.methods, fault);
    let methods = section.list("methods", &table.methods, |text| method(text).map(Some));
    let pool = section.required("pool", table.pool.as_ref(), |text| pools.find(text));
    let words = Balance::ALL.map(|balance| (balance.name(), balance));
    let balance = section.value("balance", &table.balance, d::BALANCE, word("balance", &words));
    let timeouts = timeouts(section, table.timeouts.as_ref());
    let retry = retry(section, table.retry.as_ref());
    let upstream = upstream(section, table.upstream.as_ref());
    let read = duration_in("slow_start", &d::SLOW_START_RANGE);
    let slow_start = section.value("slow_start", &table.slow_start, d::SLOW_START, read);
    let shown = |host: Option<&HostPattern>| match host {
        None => "*".to_owned(),
        Some(HostPattern::Exact(host)) => host.clone(),
        Some(HostPattern::Below(host)) => format!("*{host}"),
    };
    let written = table.path.as_ref().map_or("", |path| path.get_ref());
    let made = || format!("{}{written}", shown(hosts.first())).chars().take(NAME_MAX).collect();
    Some(Route {
        name: name.unwrap_or_else(made),
        hosts,
        path,
        headers,
        methods,
        pool: pool??,
        balance,
        timeouts,
        retry,
        upstream,
        slow_start,
    })
}

fn name(text: &str) -> Result<String, Fault> {
    crate::config::value::name(text)
}

/// A hostname, or `*.` and one.
fn host(text: &str) -> Result<HostPattern, Fault> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name.contains('*') {
        return Err(Fault::new(format!("`{text}` is not a host")).hint(
            "`*.` at the start stands for all names below; leave `hosts` out for all hosts",
        ));
    }
    let plain = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    if name.len() == text.len() {
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
            let bare = address.to_string();
            return Ok(HostPattern::Exact(if address.is_ipv6() {
                format!("[{bare}]")
            } else {
                bare
            }));
        }
        if text.matches(':').count() == 1 {
            return Err(Fault::new(format!("`{text}` is not a hostname"))
                .hint("write it without the port; a route is for all ports"));
        }
        return hostname(text).map(|name| HostPattern::Exact(plain(&name.to_string())));
    }
    hostname(name).map(|name| HostPattern::Below(format!(".{}", plain(&name.to_string()))))
}

/// `/prefix`, `=/exact` or `~regex`.
fn path(text: &str) -> Result<PathPattern, Fault> {
    if let Some(regex) = text.strip_prefix('~') {
        return Regex::new(regex).map(PathPattern::Regex).map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Fault::new(format!("`{regex}` is not a regular expression: {why}"))
        });
    }
    let plain = text.strip_prefix('=').unwrap_or(text);
    let fault = || Fault::new(format!("`{text}` is not a path"));
    if !plain.starts_with('/') {
        let sign = &text[..text.len() - plain.len()];
        return Err(fault().hint(format!("write `{sign}/{}`", plain.trim_start())));
    }
    if plain.contains(['?', '#']) || !plain.chars().all(|c| c.is_ascii_graphic()) {
        return Err(fault().hint("a path without the query, other characters as %XX"));
    }
    Ok(match text.strip_prefix('=') {
        Some(exact) => PathPattern::Exact(exact.to_owned()),
        None => PathPattern::Prefix(plain.to_owned()),
    })
}

fn headers(section: &mut Section<'_>, table: &RouteTable) -> Vec<(HeaderName, String)> {
    let Some(field) = &table.headers else { return Vec::new() };
    section.written("headers", field.span());
    let mut headers: Vec<(HeaderName, String)> = Vec::new();
    for (key, value) in field.get_ref() {
        match HeaderName::from_bytes(key.get_ref().as_bytes()) {
            Err(_) => {
                let fault = Fault::new(format!("`{}` is not a header name", key.get_ref()));
                section.error(key.span(), fault);
            }
            Ok(name) if headers.iter().any(|(other, _)| *other == name) => {
                let fault = Fault::new(format!("header `{}` is there twice", key.get_ref()));
                section.error(key.span(), fault.hint("names of headers do not tell case"));
            }
            Ok(name) => headers.push((name, value.get_ref().clone())),
        }
    }
    headers
}

fn method(text: &str) -> Result<Method, Fault> {
    let fault = || Fault::new(format!("`{text}` is not a method"));
    if text != text.to_ascii_uppercase() {
        return Err(fault().hint(format!("write `{}`", text.to_ascii_uppercase())));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| fault())
}

fn timeouts(
    route: &mut Section<'_>,
    table: Option<&Spanned<Table<TimeoutsTable>>>,
) -> RouteTimeouts {
    let mut section = route.inside("timeouts", table.map(Spanned::span).unwrap_or_default());
    let empty = TimeoutsTable::default();
    let fields = table.map_or(&empty, |table| &table.get_ref().0);
    let mut time = |key: &'static str, field, preset| {
        section.value(key, field, preset, duration_in(key, &d::PROXY_TIME_RANGE))
    };
    let read = RouteTimeouts {
        connect: time("connect", &fields.connect, d::CONNECT),
        response: time("response", &fields.response, d::RESPONSE),
        idle: time("idle", &fields.idle, d::ROUTE_IDLE),
        request: time("request", &fields.request, d::REQUEST),
    };
    if let Some(table) = table {
        for (what, below, above) in [
            ("`request` is shorter than `response`", read.request, read.response),
            ("`request` is shorter than `connect`", read.request, read.connect),
        ] {
            if below < above {
                let fault = Fault::new(format!("{what}, which can then never pass"));
                section.warn(table.span(), fault.hint("`request` is the time of all tries"));
            }
        }
    }
    read
}

fn retry(route: &mut Section<'_>, table: Option<&Spanned<Table<RetryTable>>>) -> Retry {
    let mut section = route.inside("retry", table.map(Spanned::span).unwrap_or_default());
    let empty = RetryTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    let read = whole_in("attempts", &d::ATTEMPTS_RANGE);
    let attempts = section.value("attempts", &table.attempts, d::ATTEMPTS, read);
    if table.on.is_none() {
        section.default("on", d::RETRY_ON);
    }
    let fault = Fault::new("`on` is empty, so nothing is tried again").hint("write `attempts = 1`");
    section.not_empty(&table.on, fault);
    let mut retry = Retry {
        attempts,
        on_connect: table.on.is_none(),
        on_reset: table.on.is_none(),
        on_status: Vec::new(),
        budget: section.value("budget", &table.budget, d::BUDGET, share("budget")),
    };
    section.list("on", &table.on, |text| {
        match text.as_str() {
            "connect" => retry.on_connect = true,
            "reset" => retry.on_reset = true,
            // A reply of success or a redirect is what the client wants.
            code => match code.parse::<u16>().ok().filter(|code| (400..600).contains(code)) {
                Some(code) if text.len() == 3 => retry.on_status.push(code),
                _ => {
                    let fault = unknown_word("cause", code, &["connect", "reset"]);
                    return Err(fault.hint("`connect`, `reset`, or a status from 400 to 599"));
                }
            },
        }
        Ok(Some(text.clone()))
    });
    retry
}

fn upstream(route: &mut Section<'_>, table: Option<&Spanned<Table<UpstreamTable>>>) -> Upstream {
    let mut section = route.inside("upstream", table.map(Spanned::span).unwrap_or_default());
    let empty = UpstreamTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    let port =
        section.value("port", &table.port, d::UPSTREAM_PORT, whole_in("port", &d::PORT_RANGE));
    let read = whole_in("max_connections", &d::MAX_CONNECTIONS_RANGE);
    let max_connections =
        section.value("max_connections", &table.max_connections, d::MAX_CONNECTIONS, read);
    Upstream { port, max_connections }
}
