//! `timeouts` and `retry` of a route.

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{RetryTable, RouteTable, Table, TimeoutsTable};
use crate::config::value::{Fault, duration_in, share, unknown_word, whole_in};
use crate::model::{Retry, RouteTimeouts};

/// `timeouts` of a route.
pub(super) fn timeouts(
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
        websocket: time("websocket", &fields.websocket, d::WEBSOCKET),
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

/// Warns of times of which the inner ones do not fit into the outer one.
pub(super) fn hierarchy(
    route: &mut Section<'_>,
    table: &RouteTable,
    timeouts: RouteTimeouts,
    retry: &Retry,
) {
    let written = table.timeouts.as_ref().map(Spanned::span);
    let Some(span) = written.or(table.retry.as_ref().map(Spanned::span)) else { return };
    let RouteTimeouts { connect, response, request, .. } = timeouts;
    // Beyond that is more plainly wrong, and said already.
    let each = connect <= request && response <= request;
    let tries = if retry.on_connect { retry.attempts } else { 1 };
    let needed = connect * tries + response;
    if each && needed > request {
        let fault = Fault::new("`request` ends before the last try may have its reply");
        let needed = crate::config::value::written(needed);
        let hint = format!("`connect` for each of the `attempts` and one `response` take {needed}");
        route.warn(span, fault.hint(hint));
    }
}

/// `retry` of a route.
pub(super) fn retry(route: &mut Section<'_>, table: Option<&Spanned<Table<RetryTable>>>) -> Retry {
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
