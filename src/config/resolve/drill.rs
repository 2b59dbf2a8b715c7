//! A drill file: from what is written to [`Drill`].

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use toml::Spanned;

use crate::clock;
use crate::config::defaults::drill as d;
use crate::config::sheet::{Section, Sheet};
use crate::config::spec::{AbortTable, DrillFile, DrillTable, ExpectTable, List, Table};
use crate::config::value::{Fault, duration_in, hostname, listener, prefix, share, word};
use crate::model::{Abort, Drill, Expect, How, Written};
use crate::prefix::Prefix;

/// Resolves the file, read at `unix_now`; `None`: something that it needs is missing.
pub(in crate::config) fn resolve(
    spec: &DrillFile,
    sheet: &mut Sheet,
    unix_now: u64,
) -> Option<Drill> {
    let mut top = sheet.top();
    super::version(&mut top, &spec.version);
    let expect = expect(&mut top, spec.expect.as_ref());
    let abort = abort(&mut top, spec.abort.as_ref());
    let Some(table) = &spec.drill else {
        let fault = Fault::new("`[drill]` is missing");
        top.lacks("drill", fault.hint("it needs `name`, `fail`, `for` and `services`"));
        return None;
    };
    let mut section = top.inside("drill", table.span());
    drill(&mut section, &table.get_ref().0, (expect, abort), unix_now)
}

fn drill(
    section: &mut Section<'_>,
    table: &DrillTable,
    (expect, abort): (Expect, Abort),
    unix_now: u64,
) -> Option<Drill> {
    let name = section.required("name", table.name.as_ref(), |text| title(text));
    let fail = items(section, "fail", &table.fail, target);
    let words = [("health", Some(How::Health)), ("drain", Some(How::Drain)), ("network", None)];
    let how = section.value("how", &table.how, d::HOW, |text| {
        let read = word("how", &words)(text)?;
        read.is_some().then_some(read).ok_or_else(|| {
            let fault = Fault::new("a node cannot cut a region off the network");
            fault.hint("write `\"health\"`, and cut it off by hand while the drill runs")
        })
    });
    let how = how.unwrap_or_default();
    let read = duration_in("for", &d::FOR_RANGE);
    let lasts = section.required("for", table.lasts.as_ref(), read);
    let services = items(section, "services", &table.services, hostname);
    let starts = section.optional("at", table.at.as_ref(), |text| moment(text, unix_now));
    let nodes = section.list("nodes", &table.nodes, |text| {
        match text.parse::<IpAddr>() {
            // The port of DNS goes without saying.
            Ok(address) => Ok(Some(SocketAddr::new(address, 53))),
            Err(_) => listener(text, 53).map(Some),
        }
    });
    let clients: Vec<Prefix> =
        section.list("clients", &table.clients, |text| prefix(text).map(Some));
    let read = duration_in("every", &d::EVERY_RANGE);
    let every = section.value("every", &table.every, d::EVERY, read);
    let (name, lasts) = (name?, lasts?);
    if fail.is_empty() || services.is_empty() {
        return None;
    }
    Some(Drill { name, fail, how, lasts, services, starts, nodes, clients, every, expect, abort })
}

/// The items of a list that must hold something, each with its place.
fn items<U: Clone + Eq + std::hash::Hash>(
    section: &mut Section<'_>,
    key: &str,
    list: &List<String>,
    read: impl Fn(&str) -> Result<U, Fault>,
) -> Vec<Written<U>> {
    if list.is_none() {
        section.missing(key);
    }
    section.not_empty(list, Fault::new(format!("`{key}` is empty")));
    placed(section, key, list, read)
}

fn placed<U: Clone + Eq + std::hash::Hash>(
    section: &mut Section<'_>,
    key: &str,
    list: &List<String>,
    read: impl Fn(&str) -> Result<U, Fault>,
) -> Vec<Written<U>> {
    let values = section.list(key, list, |text| read(text).map(Some));
    let spans = list.iter().flat_map(Spanned::get_ref);
    let spans = spans.filter(|item| read(item.get_ref()).is_ok()).map(Spanned::span);
    let spans: Vec<Range<usize>> = spans.collect();
    let place = |(value, span)| Written { value, at: Some(section.locate(span)) };
    values.into_iter().zip(spans).map(place).collect()
}

/// A name for people: one line of moderate length.
fn title(text: &str) -> Result<String, Fault> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > d::NAME_MAX || text.contains(char::is_control) {
        let most = d::NAME_MAX;
        return Err(Fault::new(format!("`name` must be one line of 1 to {most} characters")));
    }
    Ok(text.trim().to_owned())
}

/// A target as overrides have it; whether it is there is known to the nodes.
fn target(text: &str) -> Result<String, Fault> {
    let known = ["region:", "pool:", "endpoint:"].iter().any(|kind| {
        text.strip_prefix(kind).is_some_and(|name| {
            !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control())
        })
    });
    if known {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(format!("`{text}` is not a target"));
    Err(fault.hint("such as `region:eu`, `pool:web`, `pool:web@eu` or `endpoint:192.0.2.10`"))
}

/// A region as `abort.down` names it.
fn region(text: &str) -> Result<String, Fault> {
    if text.starts_with("region:") {
        return target(text);
    }
    Err(Fault::new(format!("`{text}` is not a region")).hint(format!("write `region:{text}`")))
}

/// A time to come, `2026-12-01 03:00 UTC`, in seconds since 1970-01-01 UTC.
fn moment(text: &str, unix_now: u64) -> Result<u64, Fault> {
    let read = clock::from_utc(text).ok_or_else(|| {
        let fault = Fault::new(format!("`{text}` is not a time"));
        fault.hint("such as `\"2026-12-01 03:00 UTC\"`")
    })?;
    if read <= unix_now {
        let fault = Fault::new(format!("`{text}` is past"));
        let now = clock::utc(unix_now);
        return Err(fault.hint(format!("it is {now} now; leave `at` out to begin at once")));
    }
    if read - unix_now > d::AHEAD_MAX.as_secs() {
        return Err(Fault::new(format!("`{text}` is more than a week away")));
    }
    Ok(read)
}

fn expect(top: &mut Section<'_>, table: Option<&Spanned<Table<ExpectTable>>>) -> Expect {
    let mut section = top.inside("expect", table.map(Spanned::span).unwrap_or_default());
    let empty = ExpectTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    let within = |key| duration_in(key, &d::WITHIN_RANGE);
    let moved = within("moved_within");
    let moved_within = section.optional("moved_within", table.moved_within.as_ref(), moved);
    let no_errors = section.value("no_errors", &table.no_errors, d::NO_ERRORS, |b| Ok(*b));
    let load = share("survivor_load");
    let survivor_load = section.optional("survivor_load", table.survivor_load.as_ref(), load);
    let back = within("back_within");
    let back_within = section.optional("back_within", table.back_within.as_ref(), back);
    Expect { moved_within, no_errors, survivor_load, back_within }
}

fn abort(top: &mut Section<'_>, table: Option<&Spanned<Table<AbortTable>>>) -> Abort {
    let mut section = top.inside("abort", table.map(Spanned::span).unwrap_or_default());
    let empty = AbortTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    let load = |number: &f64| {
        let range = 0.0..=d::LOAD_MAX;
        range.contains(number).then_some(*number).ok_or_else(|| {
            let most = d::LOAD_MAX;
            Fault::new(format!("`survivor_load` must be from 0 to {most}, found `{number}`"))
        })
    };
    let survivor_load = section.optional("survivor_load", table.survivor_load.as_ref(), load);
    let down = placed(&mut section, "down", &table.down, region);
    Abort { survivor_load, down }
}
