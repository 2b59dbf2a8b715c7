//! What keeps the endpoints of a route alive: `eject`, `rescue`, `priority`, `rate_limit`, queues.

use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;
use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{
    DurationText, EjectTable, Field, PriorityTable, RateLimitTable, RescueTable, RouteTable, TextOr,
};
use crate::config::value::{Fault, duration_in, share, unknown_word, whole_in, word};
use crate::model::{
    Eject, EjectRules, Prioritized, Priority, Protection, RateBy, RateLimit, Rescue,
};

/// All of it.
pub(super) fn protection(route: &mut Section<'_>, table: &RouteTable) -> Protection {
    let times = table.timeouts.as_ref();
    let mut section = route.inside("timeouts", times.map(Spanned::span).unwrap_or_default());
    let field = times.and_then(|times| times.get_ref().0.queue.clone());
    let read = duration_in("queue", &d::PROXY_TIME_RANGE);
    let queue_time = section.value("queue", &field, d::QUEUE_TIME, read);
    let field = times.and_then(|times| times.get_ref().0.total.clone());
    let read = |text: &DurationText| or_off(text, duration_in("total", &d::PROXY_TIME_RANGE));
    let total = section.value("total", &field, d::TOTAL, read);
    let upstream = table.upstream.as_ref();
    let mut section = route.inside("upstream", upstream.map(Spanned::span).unwrap_or_default());
    let field = upstream.and_then(|upstream| upstream.get_ref().0.queue.clone());
    let queue = section.value("queue", &field, d::QUEUE, whole_in("queue", &d::QUEUE_RANGE));
    Protection {
        eject: eject(route, &table.eject),
        queue,
        queue_time,
        priority: priority(route, &table.priority),
        rate_limit: rate_limit(route, table),
        rescue: rescue(route, &table.rescue),
        total,
    }
}

/// A duration, or `"off"`.
fn or_off(
    text: &DurationText,
    read: impl Fn(&DurationText) -> Result<Duration, Fault>,
) -> Result<Option<Duration>, Fault> {
    if text.0 == "off" { Ok(None) } else { read(text).map(Some) }
}

/// The table of a key that is a table or `"off"`; `None`: it is off, or another word.
fn on<'t, T>(
    route: &mut Section<'_>,
    key: &str,
    field: &'t Field<TextOr<T>>,
    empty: &'t T,
) -> Option<(&'t T, std::ops::Range<usize>)> {
    let Some(field) = field else { return Some((empty, 0..0)) };
    match field.get_ref() {
        TextOr::Table(table) => Some((table, field.span())),
        TextOr::Text(text) if text == "off" => {
            route.written(key, field.span());
            None
        }
        TextOr::Text(text) => {
            let fault = Fault::new(format!("`{key}` is a table or `\"off\"`, found `{text}`"));
            route.error(field.span(), fault.hint("leave it out for the defaults"));
            None
        }
    }
}

fn eject(route: &mut Section<'_>, field: &Field<TextOr<EjectTable>>) -> Option<Eject> {
    let empty = EjectTable::default();
    let (table, header) = on(route, "eject", field, &empty)?;
    let mut section = route.inside("eject", header);
    let read = whole_in("errors", &d::EJECT_ERRORS_RANGE);
    let errors = section.value("errors", &table.errors, d::EJECT_ERRORS, read);
    let mut time = |key: &'static str, field, preset| {
        section.value(key, field, preset, duration_in(key, &d::EJECT_RANGE))
    };
    let within = time("within", &table.within, d::EJECT_WITHIN);
    let time = time("for", &table.r#for, d::EJECT_FOR);
    let read = share("max_share");
    let max_share = section.value("max_share", &table.max_share, d::EJECT_MAX_SHARE, read);
    if table.slow.is_none() {
        section.default("slow", d::EJECT_SLOW);
    }
    let slow = section.optional("slow", table.slow.as_ref(), |factor| {
        if (1.5..=1_000.0).contains(factor) {
            return Ok(*factor);
        }
        let fault = Fault::new(format!("`slow` must be from 1.5 to 1000, found `{factor}`"));
        Err(fault.hint("a multiple of the median response time"))
    });
    if table.status.is_none() {
        section.default("status", d::EJECT_STATUS_WRITTEN);
    }
    let mut statuses = section.list("status", &table.status, |status| {
        whole_in("status", &(400..=599_u16))(status).map(Some)
    });
    if table.status.is_none() {
        statuses = d::EJECT_STATUS.to_vec();
    }
    let rules = EjectRules { errors, within, time, max_share, slow };
    Some(Eject { rules, statuses })
}

fn priority(route: &mut Section<'_>, field: &Field<TextOr<PriorityTable>>) -> Option<Prioritized> {
    let Some(field) = field else {
        route.default("priority", d::PRIORITY);
        return None;
    };
    let table = match field.get_ref() {
        TextOr::Table(table) => table,
        TextOr::Text(text) => {
            let words = Priority::ALL.map(|priority| (priority.as_str(), priority));
            let read = word("priority", &words)(text);
            return route.read("priority", field.span(), read).map(Prioritized::Fixed);
        }
    };
    let mut section = route.inside("priority", field.span());
    let name = section.required("header", table.header.as_ref(), |text| header(text));
    let words = [("trusted", false), ("all", true)];
    let from_all = section.value("from", &table.from, d::PRIORITY_FROM, word("from", &words));
    Some(Prioritized::Header { name: name?, from_all })
}

/// The name of a header field.
fn header(text: &str) -> Result<HeaderName, Fault> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Fault::new(format!("`{text}` is not a header name")))
}

fn rate_limit(route: &mut Section<'_>, table: &RouteTable) -> Option<RateLimit> {
    let field = table.rate_limit.as_ref()?;
    let mut section = route.inside("rate_limit", field.span());
    let table: &RateLimitTable = &field.get_ref().0;
    if table.by.is_none() {
        section.default("by", d::RATE_BY);
    }
    let by = section.optional("by", table.by.as_ref(), |text| by(text)).unwrap_or(RateBy::Client);
    let rate = section.required("rate", table.rate.as_ref(), |text| rate(text));
    let whole = |key| whole_in::<u32>(key, &d::RATE_NUMBER_RANGE);
    if table.burst.is_none() {
        section.default("burst", d::RATE_BURST);
    }
    let burst = section.optional("burst", table.burst.as_ref(), whole("burst"));
    let v6 = section.value("v6", &table.v6, d::RATE_V6, whole_in("v6", &d::RATE_V6_RANGE));
    let (requests, per) = rate?;
    let burst = burst.and_then(NonZeroU32::new).unwrap_or(requests);
    Some(RateLimit { by, requests, per, burst, v6 })
}

fn by(text: &str) -> Result<RateBy, Fault> {
    match text.split_once(':') {
        Some(("header", name)) => header(name).map(RateBy::Header),
        Some(("cookie", name))
            if !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic()) =>
        {
            Ok(RateBy::Cookie(name.to_owned()))
        }
        None if text == "client-ip" => Ok(RateBy::Client),
        None if text == "route" => Ok(RateBy::Route),
        _ => {
            let known = ["client-ip", "header:NAME", "cookie:NAME", "route"];
            Err(unknown_word("by", text, &known))
        }
    }
}

/// A number of requests and the time that it is for.
fn rate(text: &str) -> Result<(NonZeroU32, Duration), Fault> {
    let units = [("s", 1), ("m", 60), ("h", 3_600)];
    let read = text.split_once('/').and_then(|(number, unit)| {
        let (_, seconds) = units.iter().find(|(name, _)| *name == unit)?;
        let digits = !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit());
        let number: i64 = number.parse().ok().filter(|_| digits)?;
        Some((number, Duration::from_secs(*seconds)))
    });
    let (number, per) = read.ok_or_else(|| {
        Fault::new(format!("`{text}` is not a rate"))
            .hint("a whole number for one of s, m, h, such as `\"100/s\"`")
    })?;
    let number = whole_in::<u32>("rate", &d::RATE_NUMBER_RANGE)(&number)?;
    NonZeroU32::new(number).map(|number| (number, per)).ok_or_else(|| Fault::new("no rate"))
}

fn rescue(route: &mut Section<'_>, field: &Field<TextOr<RescueTable>>) -> Option<Rescue> {
    let empty = RescueTable::default();
    let (table, header) = on(route, "rescue", field, &empty)?;
    let mut section = route.inside("rescue", header);
    let read = |text: &DurationText| or_off(text, duration_in("for", &d::RESCUE_RANGE));
    let time = section.value("for", &table.r#for, d::RESCUE_FOR, read);
    let share = section.value("share", &table.share, d::RESCUE_SHARE, share("share"));
    Some(Rescue { time, share })
}
