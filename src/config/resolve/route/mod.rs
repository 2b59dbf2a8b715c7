//! `[[route]]`: which requests go to which pool, and what else becomes of them.

mod action;
mod asked;
mod body;
mod cache;
mod compress;
mod edits;
mod hedge;
mod protection;
mod relay;
mod rewrite;
mod sticky;
mod tries;
mod unavailable;
mod upstream;
mod way;

pub(super) use relay::{tcp, udp};

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use self::edits::{Head, edits};
use self::way::Around;
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::names::Names;
use crate::config::sheet::Section;
use crate::config::spec::{FleetFile, RouteTable};
use crate::config::value::{Fault, duration_in, word};
use crate::model::{
    Action, Balance, ClientCertificate, HostPattern, PathPattern, PoolId, Route, Shape,
};

/// Most routes a fleet has: each request looks through those of its host.
const ROUTES_MAX: usize = 10_000;
/// Longest name of a route that is made of its host and path; metrics show it.
const NAME_MAX: usize = 100;

/// Resolves all routes, in the order of the file; `folder` is where it is.
pub(super) fn resolve(
    top: &mut Section<'_>,
    spec: &FleetFile,
    pools: &Names<PoolId>,
    folder: &Place,
    files: &mut Files,
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
        let Some(mut route) = route(&mut section, table, pools, folder, files) else { continue };
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

fn route(
    section: &mut Section<'_>,
    table: &RouteTable,
    pools: &Names<PoolId>,
    folder: &Place,
    files: &mut Files,
) -> Option<Route> {
    let name = section.optional("name", table.name.as_ref(), |text| name(text));
    if table.hosts.is_none() {
        section.default("hosts", d::ROUTE_HOSTS);
    }
    let fault = Fault::new("`hosts` is empty").hint("leave it out for all hosts");
    section.not_empty(&table.hosts, fault);
    let hosts = section.list("hosts", &table.hosts, |text| asked::host(text).map(Some));
    if table.path.is_none() {
        section.default("path", d::ROUTE_PATH.written);
    }
    let path = section.optional("path", table.path.as_ref(), |text| asked::path(text));
    let path = path.unwrap_or_else(|| PathPattern::Prefix(d::ROUTE_PATH.value.to_owned()));
    let headers = asked::headers(section, table);
    let fault = Fault::new("`methods` is empty").hint("leave it out for all methods");
    section.not_empty(&table.methods, fault);
    let methods = section.list("methods", &table.methods, |text| asked::method(text).map(Some));
    let action = action::action(section, table, pools, folder, files);
    if matches!(action, Some(Action::Redirect(_) | Action::Respond(_))) {
        action::idle_keys(section, table);
    }
    let shape = shape(section, table, &path, folder, files);
    let words = Balance::ALL.map(|balance| (balance.name(), balance));
    let balance = section.value("balance", &table.balance, d::BALANCE, word("balance", &words));
    let timeouts = tries::timeouts(section, table.timeouts.as_ref());
    let retry = tries::retry(section, table.retry.as_ref());
    tries::hierarchy(section, table, timeouts, &retry);
    let hedge = hedge::hedge(section, table, timeouts);
    let cache = cache::cache(section, table.cache.as_ref());
    let upstream =
        upstream::upstream(section, table.upstream.as_ref(), &mut Around { folder, files });
    let read = word("client_certificate", &ClientCertificate::ALL);
    let rule = table.client_certificate.clone();
    let client_certificate =
        section.value("client_certificate", &rule, d::CLIENT_CERTIFICATE, read);
    let read = duration_in("slow_start", &d::SLOW_START_RANGE);
    let slow_start = section.value("slow_start", &table.slow_start, d::SLOW_START, read);
    let protection = protection::protection(section, table);
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
        action: action?,
        balance,
        timeouts,
        retry,
        hedge,
        cache,
        upstream,
        client_certificate,
        slow_start,
        shape,
        protection,
    })
}

/// What a route does with heads and bodies.
fn shape(
    section: &mut Section<'_>,
    table: &RouteTable,
    path: &PathPattern,
    folder: &Place,
    files: &mut Files,
) -> Shape {
    let pool = table.pool.as_ref().map_or("", |pool| pool.get_ref());
    Shape {
        request: edits(section, table.request_headers.as_ref(), Head::Request),
        response: edits(section, table.response_headers.as_ref(), Head::Response),
        rewrite: rewrite::rewrite(section, table.rewrite.as_ref(), path),
        sticky: sticky::sticky(section, table.sticky.as_ref(), pool, folder, files),
        compress: compress::compress(section, table.compress.as_ref()),
        unavailable: unavailable::unavailable(section, table.unavailable.as_ref(), folder, files),
    }
}

fn name(text: &str) -> Result<String, Fault> {
    crate::config::value::name(text)
}
