//! A monitor: from what is written to [`Monitor`].

use std::ops::RangeInclusive;
use std::time::Duration;

use regex::bytes::RegexBuilder;
use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{EnvTable, MonitorTable, TextOr, VantageTable};
use crate::config::value::{Fault, duration_in, hostname, unknown_word, whole_in, word, written};
use crate::model::{Check, HttpCheck, Monitor, Scheme, TcpCheck, Vantage};
use regex::bytes::Regex;

/// The kinds that are built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Tcp,
}

/// Resolves one table; `alone`: the fleet has no second region that could probe.
pub(super) fn resolve(
    section: &mut Section<'_>,
    name: &str,
    table: &MonitorTable,
    alone: bool,
) -> Option<Monitor> {
    let kinds = [("http", Kind::Http), ("tcp", Kind::Tcp)];
    let kind = section.required("kind", table.kind.as_ref(), |text| match text.as_str() {
        "https" => Err(Fault::new("unknown kind `https`")
            .hint("write `kind = \"http\"` and `scheme = \"https\"`")),
        _ => word("kind", &kinds)(text),
    });
    let check = match kind {
        Some(Kind::Http) => Some(Check::Http(http(section, table))),
        Some(Kind::Tcp) => tcp(section, table).map(Check::Tcp),
        None => None,
    };
    let read = duration_in("interval", &d::INTERVAL_RANGE);
    let interval = section.value("interval", &table.interval, d::INTERVAL, read);
    let read = duration_in("timeout", &d::TIMEOUT_RANGE);
    let timeout = section.value("timeout", &table.timeout, d::TIMEOUT, read);
    let read = whole_in("fall", &d::COUNT_RANGE);
    let fall = section.value("fall", &table.fall, d::FALL, read);
    let read = whole_in("rise", &d::COUNT_RANGE);
    let rise = section.value("rise", &table.rise, d::RISE, read);
    let vantage = vantage(section, table, alone);
    let read = duration_in("hold_down", &d::HOLD_DOWN_RANGE);
    let hold_down = section.value("hold_down", &table.hold_down, d::HOLD_DOWN, read);
    hierarchy(section, table, interval, timeout);
    Some(Monitor {
        name: name.to_owned(),
        check: check?,
        interval,
        timeout,
        fall,
        rise,
        vantage,
        hold_down,
    })
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

fn vantage(section: &mut Section<'_>, table: &MonitorTable, alone: bool) -> Vantage {
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
    if !alone && vantage.is_some_and(|vantage| vantage != Vantage::Any) {
        let fault = Fault::new("one probing region decides alone, whatever `vantage` says");
        let hint = "each node goes by its own probes until nodes share verdicts";
        section.warn(field.span(), fault.hint(hint));
    }
    vantage.unwrap_or(d::VANTAGE.value)
}

/// `{ at_least = 2 }`; one is `any`.
fn at_least(table: &VantageTable) -> Result<Vantage, Fault> {
    let field = table.at_least.as_ref().ok_or_else(|| Fault::new("`at_least` is missing"))?;
    let number = whole_in("at_least", &d::AT_LEAST_RANGE)(field.get_ref())?;
    Ok(if number == 1 { Vantage::Any } else { Vantage::AtLeast(number) })
}

fn tcp(section: &mut Section<'_>, table: &MonitorTable) -> Option<TcpCheck> {
    let foreign = [
        ("scheme", table.scheme.as_ref().map(Spanned::span)),
        ("path", table.path.as_ref().map(Spanned::span)),
        ("host", table.host.as_ref().map(Spanned::span)),
        ("method", table.method.as_ref().map(Spanned::span)),
        ("headers", table.headers.as_ref().map(Spanned::span)),
        ("expect_status", table.expect_status.as_ref().map(Spanned::span)),
        ("expect_body", table.expect_body.as_ref().map(Spanned::span)),
        ("verify_certificate", table.verify_certificate.as_ref().map(Spanned::span)),
        ("expires_within", table.expires_within.as_ref().map(Spanned::span)),
    ];
    for (key, span) in foreign {
        if let Some(span) = span {
            let fault = Fault::new(format!("`{key}` does not belong to kind `tcp`"));
            section.error(span, fault.hint("write `kind = \"http\"`, or leave it out"));
        }
    }
    let port = section.required("port", table.port.as_ref(), whole_in("port", &d::PORT_RANGE));
    port.map(|port| TcpCheck { port })
}

fn http(section: &mut Section<'_>, table: &MonitorTable) -> HttpCheck {
    let schemes = [("http", Scheme::Http), ("https", Scheme::Https)];
    let scheme = section.value("scheme", &table.scheme, d::SCHEME, word("scheme", &schemes));
    let usual = match scheme {
        Scheme::Http => d::Preset { value: 80, written: "80" },
        Scheme::Https => d::Preset { value: 443, written: "443" },
    };
    let port = section.value("port", &table.port, usual, whole_in("port", &d::PORT_RANGE));
    if table.path.is_none() {
        section.default("path", d::PATH.written);
    }
    let path = section.optional("path", table.path.as_ref(), |text| path(text));
    let path = path.unwrap_or_else(|| d::PATH.value.to_owned());
    let host = section.optional("host", table.host.as_ref(), |text| host(text));
    if table.method.is_none() {
        section.default("method", d::METHOD.written);
    }
    let method = section.optional("method", table.method.as_ref(), |text| method(text));
    let method = method.unwrap_or_else(|| d::METHOD.value.to_owned());
    let headers = headers(section, table);
    let expect_status = expect_status(section, table);
    let expect_body =
        section.optional("expect_body", table.expect_body.as_ref(), |text| regex(text));
    if let Some(field) = table.expect_body.as_ref().filter(|_| method == "HEAD") {
        let fault = Fault::new("`expect_body` cannot match, since answers to HEAD have no body");
        section.error(field.span(), fault.hint("write `method = \"GET\"`"));
    }
    if path == "/" && expect_status == [200..=200] {
        let at = table.expect_status.as_ref().map(Spanned::span).unwrap_or_default();
        let fault = Fault::new("a redirect from `/` counts as a failure here");
        section.warn(at, fault.hint("probe a path made for it, or expect \"200-399\""));
    }
    let read = |flag: &bool| Ok(*flag);
    let verify = section.value("verify_certificate", &table.verify_certificate, d::VERIFY, read);
    let read = duration_in("expires_within", &d::EXPIRES_RANGE);
    let expires_within = section.optional("expires_within", table.expires_within.as_ref(), read);
    certificate_keys(section, table, scheme);
    HttpCheck {
        scheme,
        port,
        path,
        host,
        method,
        headers,
        expect_status,
        expect_body,
        verify_certificate: verify,
        expires_within,
    }
}

/// Refuses keys about certificates where there is none.
fn certificate_keys(section: &mut Section<'_>, table: &MonitorTable, scheme: Scheme) {
    let keys = [
        ("verify_certificate", table.verify_certificate.as_ref().map(Spanned::span)),
        ("expires_within", table.expires_within.as_ref().map(Spanned::span)),
    ];
    for (key, span) in keys {
        if let Some(span) = span.filter(|_| scheme == Scheme::Http) {
            let fault = Fault::new(format!("`{key}` has no effect without TLS"));
            section.error(span, fault.hint("write `scheme = \"https\"`"));
        }
    }
}

/// Path and query of a request (RFC 9112 section 3.2.1).
fn path(text: &str) -> Result<String, Fault> {
    let fault = Fault::new(format!("`{text}` is not a path"));
    if text.contains("://") {
        return Err(fault.hint("write what follows the host; that is in `host` and `port`"));
    }
    if !text.starts_with('/') {
        return Err(fault.hint(format!("write `/{}`", text.trim_start())));
    }
    if text.contains('#') {
        return Err(fault.hint("the part from `#` on is never sent to a server"));
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(fault.hint("write spaces and other characters as %XX"));
    }
    Ok(text.to_owned())
}

/// Host header and server name: a hostname or an address.
fn host(text: &str) -> Result<String, Fault> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    if text.matches(':').count() == 1 {
        let fault = Fault::new(format!("`{text}` is not a hostname"));
        return Err(fault.hint("the port belongs in `port`"));
    }
    hostname(text).map(|name| name.to_string().trim_end_matches('.').to_owned())
}

/// Methods that make sense for a probe; CONNECT and TRACE do not.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

fn method(text: &str) -> Result<String, Fault> {
    if METHODS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(unknown_word("method", text, &METHODS))
}

/// Header fields that the probe writes itself.
const OWN_HEADERS: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];
/// Header fields that carry secrets.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

fn headers(section: &mut Section<'_>, table: &MonitorTable) -> Vec<(String, String)> {
    let Some(field) = &table.headers else { return Vec::new() };
    section.written("headers", field.span());
    let mut headers: Vec<(String, String)> = Vec::new();
    for (key, value) in field.get_ref() {
        let name = key.get_ref().to_ascii_lowercase();
        if let Err(fault) = header_name(&name) {
            section.error(key.span(), fault);
            continue;
        }
        if headers.iter().any(|(other, _)| *other == name) {
            let fault = Fault::new(format!("header `{}` is there twice", key.get_ref()));
            section.error(key.span(), fault.hint("names of headers do not tell case"));
        }
        match header_value(&name, value.get_ref()) {
            Ok(text) => headers.push((name, text)),
            Err(fault) => section.error(value.span(), fault),
        }
    }
    headers
}

/// A field name (RFC 9110 section 5.6.2) that the operator may set.
fn header_name(name: &str) -> Result<(), Fault> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return Err(Fault::new(format!("`{name}` is not a header name")));
    }
    if OWN_HEADERS.contains(&name) {
        let fault = Fault::new(format!("header `{name}` is written by the probe itself"));
        return Err(if name == "host" { fault.hint("use the key `host`") } else { fault });
    }
    Ok(())
}

/// A field value (RFC 9110 section 5.5), from the file or the environment.
fn header_value(name: &str, value: &TextOr<EnvTable>) -> Result<String, Fault> {
    let text = match value {
        TextOr::Text(_) if SECRET_HEADERS.contains(&name) => {
            return Err(Fault::new(format!(
                "the value of `{name}` is a secret and stands in the file"
            ))
            .hint("write { env = \"NAME\" } and set that variable for the process"));
        }
        TextOr::Text(text) => text.clone(),
        TextOr::Table(EnvTable { env: None }) => {
            return Err(Fault::new("`env` is missing").hint("write { env = \"NAME\" }"));
        }
        TextOr::Table(EnvTable { env: Some(variable) }) => {
            let variable = variable.get_ref();
            std::env::var(variable).map_err(|_| {
                Fault::new(format!("the environment has no variable `{variable}`"))
                    .hint("set it for the process that runs this")
            })?
        }
    };
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Fault::new(format!("the value of `{name}` holds control characters")));
    }
    Ok(text)
}

fn expect_status(section: &mut Section<'_>, table: &MonitorTable) -> Vec<RangeInclusive<u16>> {
    if table.expect_status.is_none() {
        section.default("expect_status", d::EXPECT_STATUS.written);
        return vec![d::EXPECT_STATUS.value];
    }
    let fault = Fault::new("`expect_status` is empty, so no answer is a success");
    section.not_empty(&table.expect_status, fault.hint("such as [\"200-299\"]"));
    section.list("expect_status", &table.expect_status, |text| status(text).map(Some))
}

/// `200` or `200-299`.
fn status(text: &str) -> Result<RangeInclusive<u16>, Fault> {
    let fault =
        || Fault::new(format!("`{text}` is not a status")).hint("such as \"200\" or \"200-299\"");
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| d::STATUS_RANGE.contains(code));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (code(first).ok_or_else(fault)?, code(last).ok_or_else(fault)?);
    if first > last {
        return Err(
            Fault::new(format!("`{text}` holds nothing")).hint(format!("`{last}-{first}`?"))
        );
    }
    Ok(first..=last)
}

/// Largest compiled expression; the library's own default of 10 MiB is much for one monitor.
const REGEX_MAX: usize = 1 << 20;

fn regex(text: &str) -> Result<Regex, Fault> {
    RegexBuilder::new(text).size_limit(REGEX_MAX).build().map_err(|error| {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let why = last.chars().next().map_or_else(String::new, |c| c.to_lowercase().to_string())
            + last.get(1..).unwrap_or_default().trim_end_matches('.');
        Fault::new(format!("`expect_body` is not a regular expression: {why}"))
    })
}
