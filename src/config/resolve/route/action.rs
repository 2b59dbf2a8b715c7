//! What becomes of the requests of a route: `pool`, `redirect` or `respond`.

use http::StatusCode;
use toml::Spanned;

use super::body::{Written, body};
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::names::Names;
use crate::config::sheet::Section;
use crate::config::spec::{RedirectTable, RespondTable, RouteTable, Table};
use crate::config::value::{Fault, unknown_word};
use crate::model::{Action, Placeholder, PoolId, Redirect, Respond, Template};

/// Statuses of redirects that a client follows (RFC 9110 section 15.4).
const REDIRECTS: [i64; 5] = [301, 302, 303, 307, 308];
/// Statuses whose replies have no body (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5).
const BODILESS: [u16; 3] = [204, 205, 304];

/// The one of the three that is there.
pub(super) fn action(
    route: &mut Section<'_>,
    table: &RouteTable,
    pools: &Names<PoolId>,
    folder: &Place,
    files: &mut Files,
) -> Option<Action> {
    let written = [
        ("pool", table.pool.as_ref().map(Spanned::span)),
        ("redirect", table.redirect.as_ref().map(Spanned::span)),
        ("respond", table.respond.as_ref().map(Spanned::span)),
    ];
    let mut written = written.into_iter().filter_map(|(key, span)| Some((key, span?)));
    let Some((first, _)) = written.next() else {
        route.missing("pool");
        return None;
    };
    for (key, span) in written {
        let fault = Fault::new(format!("`{first}` and `{key}` are both there"));
        route.error(span, fault.hint("a route does one thing"));
    }
    if let Some(field) = &table.redirect {
        return redirect(route, field, table.hosts.is_none()).map(Action::Redirect);
    }
    if let Some(field) = &table.respond {
        return respond(route, field, folder, files).map(Action::Respond);
    }
    let pool = route.optional("pool", table.pool.as_ref(), |text| pools.find(text));
    pool?.map(Action::Pool)
}

/// Reports keys that mean nothing to a route without a pool.
pub(super) fn idle_keys(route: &mut Section<'_>, table: &RouteTable) {
    let keys = [
        ("balance", table.balance.as_ref().map(Spanned::span)),
        ("timeouts", table.timeouts.as_ref().map(Spanned::span)),
        ("retry", table.retry.as_ref().map(Spanned::span)),
        ("hedge", table.hedge.as_ref().map(Spanned::span)),
        ("cache", table.cache.as_ref().map(Spanned::span)),
        ("upstream", table.upstream.as_ref().map(Spanned::span)),
        ("slow_start", table.slow_start.as_ref().map(Spanned::span)),
        ("rewrite", table.rewrite.as_ref().map(Spanned::span)),
        ("request_headers", table.request_headers.as_ref().map(Spanned::span)),
        ("sticky", table.sticky.as_ref().map(Spanned::span)),
        ("compress", table.compress.as_ref().map(Spanned::span)),
        ("eject", table.eject.as_ref().map(Spanned::span)),
        ("priority", table.priority.as_ref().map(Spanned::span)),
        ("rescue", table.rescue.as_ref().map(Spanned::span)),
        ("unavailable", table.unavailable.as_ref().map(Spanned::span)),
    ];
    for (key, span) in keys {
        if let Some(span) = span {
            let fault = Fault::new(format!("`{key}` has no effect on a route without `pool`"));
            route.error(span, fault.hint("take it out"));
        }
    }
}

fn redirect(
    route: &mut Section<'_>,
    field: &Spanned<Table<RedirectTable>>,
    all_hosts: bool,
) -> Option<Redirect> {
    let mut section = route.inside("redirect", field.span());
    let table = &field.get_ref().0;
    let status = section.value("status", &table.status, d::REDIRECT_STATUS, |number| {
        let known = REDIRECTS.contains(number).then_some(*number as u16);
        known.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| {
            unknown_word("status", &number.to_string(), &["301", "302", "303", "307", "308"])
        })
    });
    let to = section.required("to", table.to.as_ref(), |text| target(text))?;
    if let Some(field) = &table.to
        && all_hosts
        && to.holds(Placeholder::Host)
    {
        let fault = Fault::new("clients are redirected to any host that they name");
        section.warn(field.span(), fault.hint("give the route `hosts`, or write the host out"));
    }
    Some(Redirect { to, status })
}

/// Where a redirect leads: a URL with a host, or a path. What a client asks for may fill in a path
/// or a query, never what decides on the host, beside a host that it asked for.
fn target(text: &str) -> Result<Template, Fault> {
    let template = Template::parse(text, &Placeholder::URL);
    let template = template.map_err(|error| Fault::new(error.to_string()))?;
    let fault = || Fault::new(format!("`{text}` is not a target of redirects"));
    if !text.bytes().all(|octet| octet.is_ascii_graphic()) || text.contains('\\') {
        return Err(fault().hint("write other characters as %XX"));
    }
    let schemes = ["https://", "http://", "{scheme}://"];
    if let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) {
        let end = ["/", "?", "#", "{path}", "{query}"];
        let end = end.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
        let host = rest.get(..end).unwrap_or_default();
        if host.is_empty() || host.contains('@') || host.contains("{scheme}") {
            return Err(fault().hint("a host comes behind `://`, such as `{host}`"));
        }
        return Ok(template);
    }
    if text.starts_with("{path}") {
        return Ok(template);
    }
    let doubled = ["//", "/{path}"].iter().any(|start| text.starts_with(start));
    if doubled {
        // RFC 3986 section 4.2: two slashes at the start are followed by a host.
        return Err(fault().hint("`{path}` begins with a slash itself; two lead to another host"));
    }
    if !text.starts_with('/') {
        return Err(fault().hint("such as `https://{host}{path}{query}`, or a path with a slash"));
    }
    Ok(template)
}

fn respond(
    route: &mut Section<'_>,
    field: &Spanned<Table<RespondTable>>,
    folder: &Place,
    files: &mut Files,
) -> Option<Respond> {
    let mut section = route.inside("respond", field.span());
    let table = &field.get_ref().0;
    let status = section.value("status", &table.status, d::RESPOND_STATUS, |number| {
        let known = u16::try_from(*number).ok().filter(|code| d::RESPOND_RANGE.contains(code));
        known.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| {
            Fault::new(format!("`status` must be from 200 to 599, found `{number}`"))
        })
    });
    let written = Written {
        body: &table.body,
        body_file: &table.body_file,
        content_type: &table.content_type,
    };
    let body = body(&mut section, &written, folder, files);
    if BODILESS.contains(&status.as_u16()) && body.is_some() {
        let fault = Fault::new(format!("a reply of status {} has no body", status.as_u16()));
        section.error(field.span(), fault);
        return None;
    }
    let (content_type, body) = body.unzip();
    let content_type =
        content_type.unwrap_or_else(|| http::HeaderValue::from_static(d::CONTENT_TYPE.value));
    Some(Respond { status, content_type, body: body.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_redirect_leads_where_a_client_says() {
        for text in [
            "https://{host}{path}{query}",
            "{scheme}://www.{host}:8443{path}",
            "http://a.example",
            "https://a.example?from={host}",
            "{path}?x=1",
            "/new{path}{query}",
            "/{host}/x",
        ] {
            assert!(target(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "a.example/x",
            "//a.example",
            "/{path}",
            "https://{path}",
            "https:///x",
            "https://a@{host}/",
            "https://{query}",
            "{query}",
            "{host}/x",
            "javascript:x",
            "https://{endpoint}/",
            "/a b",
            "/\\a.example",
            "https://{scheme}/",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
