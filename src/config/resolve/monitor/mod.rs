//! A monitor: from what is written to [`Monitor`].

mod calculated;
mod dns;
mod exec;
mod feed;
mod grpc;
mod http;
mod keys;
mod tcp;
mod tls;

use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};
use toml::Spanned;

use crate::config::defaults as d;
use crate::config::files::Place;
use crate::config::names::Names;
use crate::config::sheet::Section;
use crate::config::spec::{MonitorTable, TextOr, VantageTable};
use crate::config::value::{Fault, duration_in, ip, whole_in, word, written};
use crate::model::{Check, Family, Monitor, MonitorId, Reach, Vantage};

pub(super) use calculated::loops;

/// The kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Tcp,
    Tls,
    Grpc,
    Dns,
    Icmp,
    Exec,
    Feed,
    Calculated,
}

/// The words of the kinds.
const KINDS: [(&str, Kind); 9] = [
    ("http", Kind::Http),
    ("tcp", Kind::Tcp),
    ("tls", Kind::Tls),
    ("grpc", Kind::Grpc),
    ("dns", Kind::Dns),
    ("icmp", Kind::Icmp),
    ("exec", Kind::Exec),
    ("feed", Kind::Feed),
    ("calculated", Kind::Calculated),
];

/// What stands around the monitors.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// There are regions that could probe, too, and nothing brings their verdicts here.
    pub unshared: bool,
    /// All monitors.
    pub monitors: &'a Names<MonitorId>,
    /// Where the file is.
    pub folder: &'a Place,
}

/// Resolves one table.
pub(super) fn resolve(
    section: &mut Section<'_>,
    name: &str,
    table: &MonitorTable,
    around: Around<'_>,
) -> Option<Monitor> {
    let kind = section.required("kind", table.kind.as_ref(), |text| match text.as_str() {
        "https" => Err(Fault::new("unknown kind `https`")
            .hint("write `kind = \"http\"` and `scheme = \"https\"`")),
        _ => word("kind", &KINDS)(text),
    });
    if let Some((kind, _)) = KINDS.iter().find(|(_, known)| Some(*known) == kind) {
        keys::refuse_foreign(section, table, kind);
    }
    let check = match kind {
        Some(Kind::Http) => Some(Check::Http(http::resolve(section, table))),
        Some(Kind::Tcp) => tcp::resolve(section, table).map(Check::Tcp),
        Some(Kind::Tls) => Some(Check::Tls(tls::resolve(section, table))),
        Some(Kind::Grpc) => Some(Check::Grpc(grpc::resolve(section, table))),
        Some(Kind::Dns) => dns::resolve(section, table).map(Check::Dns),
        Some(Kind::Icmp) => Some(Check::Icmp),
        Some(Kind::Exec) => exec::resolve(section, table, around.folder).map(Check::Exec),
        Some(Kind::Feed) => Some(Check::Feed(feed::resolve(section, table, around.folder))),
        Some(Kind::Calculated) => {
            let calculated = calculated::resolve(section, table, around.monitors)?;
            return Some(calculated::monitor(name.to_owned(), calculated));
        }
        None => None,
    };
    let read = duration_in("interval", &d::INTERVAL_RANGE);
    let interval = section.value("interval", &table.interval, d::INTERVAL, read);
    let timeout = timeout(section, table, kind, interval);
    // A report is a judgement already, not one look of several.
    let [fall, rise] = if kind == Some(Kind::Feed) { [d::REPORTS; 2] } else { [d::FALL, d::RISE] };
    let fall = section.value("fall", &table.fall, fall, whole_in("fall", &d::COUNT_RANGE));
    let rise = section.value("rise", &table.rise, rise, whole_in("rise", &d::COUNT_RANGE));
    let vantage = vantage(section, table, around.unshared);
    let read = duration_in("hold_down", &d::HOLD_DOWN_RANGE);
    let hold_down = section.value("hold_down", &table.hold_down, d::HOLD_DOWN, read);
    let reach = reach(section, table, kind);
    let (name, check) = (name.to_owned(), check?);
    Some(Monitor { name, check, reach, interval, timeout, fall, rise, vantage, hold_down })
}

/// The longest probe; reading a report takes no time.
fn timeout(
    section: &mut Section<'_>,
    table: &MonitorTable,
    kind: Option<Kind>,
    interval: Duration,
) -> Duration {
    if kind == Some(Kind::Feed) {
        return d::TIMEOUT.value;
    }
    let read = duration_in("timeout", &d::TIMEOUT_RANGE);
    let timeout = section.value("timeout", &table.timeout, d::TIMEOUT, read);
    hierarchy(section, table, interval, timeout);
    timeout
}

/// From where, and over which family.
fn reach(section: &mut Section<'_>, table: &MonitorTable, kind: Option<Kind>) -> Reach {
    if kind == Some(Kind::Feed) {
        return Reach::default();
    }
    let words = [("any", Family::Any), ("v4", Family::V4), ("v6", Family::V6)];
    let family = section.value("family", &table.family, d::FAMILY, word("family", &words));
    let source = section.optional("source", table.source.as_ref(), |text| {
        let source = ip(text)?;
        if family.holds(source) {
            return Ok(source);
        }
        Err(Fault::new(format!("`{text}` is not of the `family` of this monitor"))
            .hint("probes leave from it, so they can keep to its family alone"))
    });
    let family = match source {
        Some(source) if source.is_ipv4() => Family::V4,
        Some(_) => Family::V6,
        None => family,
    };
    Reach { source, family }
}

/// Warns of a probe that may last longer than the time to the next one.
fn hierarchy(
    section: &mut Section<'_>,
    table: &MonitorTable,
    interval: Duration,
    timeout: Duration,
) {
    let at = table.timeout.as_ref().or(table.interval.as_ref()).map(Spanned::span);
    if let Some(at) = at.filter(|_| timeout >= interval) {
        let (timeout, interval) = (written(timeout), written(interval));
        let fault = Fault::new(format!("timeout {timeout} is not below interval {interval}"));
        let hint = "a hanging endpoint is probed less often, so its failure is found later";
        section.warn(at, fault.hint(hint));
    }
}

fn vantage(section: &mut Section<'_>, table: &MonitorTable, unshared: bool) -> Vantage {
    let words = [("any", Vantage::Any), ("majority", Vantage::Majority), ("all", Vantage::All)];
    let Some(field) = &table.vantage else {
        section.default("vantage", d::VANTAGE.written);
        return d::VANTAGE.value;
    };
    let read = match field.get_ref() {
        TextOr::Text(text) => word("vantage", &words)(text),
        TextOr::Table(table) => at_least(table),
    };
    let vantage = section.read("vantage", field.span(), read);
    if unshared && vantage.is_some_and(|vantage| vantage != Vantage::Any) {
        let fault = Fault::new("one probing region decides alone, whatever `vantage` says");
        let hint = "each node goes by its own probes without `engine = \"nats\"` in [cluster]";
        section.warn(field.span(), fault.hint(hint));
    }
    vantage.unwrap_or(d::VANTAGE.value)
}

/// `{ at_least = 2 }`; one is `any`.
fn at_least(table: &VantageTable) -> Result<Vantage, Fault> {
    let field = table.at_least.as_ref().ok_or_else(|| Fault::new("`at_least` is missing"))?;
    let number = whole_in("at_least", &d::VANTAGE_RANGE)(field.get_ref())?;
    Ok(if number == 1 { Vantage::Any } else { Vantage::AtLeast(number) })
}

/// Largest compiled expression; the library's own default of 10 MiB is much for one monitor.
const REGEX_MAX: usize = 1 << 20;

/// A regular expression over octets.
fn regex(key: &str, text: &str) -> Result<Regex, Fault> {
    RegexBuilder::new(text).size_limit(REGEX_MAX).build().map_err(|error| {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let why = last.chars().next().map_or_else(String::new, |c| c.to_lowercase().to_string())
            + last.get(1..).unwrap_or_default().trim_end_matches('.');
        Fault::new(format!("`{key}` is not a regular expression: {why}"))
    })
}
