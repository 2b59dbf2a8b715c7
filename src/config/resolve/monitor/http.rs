//! The keys of kind `http`.

use std::ops::RangeInclusive;

use toml::Spanned;

use super::{regex, tls};
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{EnvTable, MonitorTable, TextOr};
use crate::config::value::{Fault, hostname, unknown_word, whole_in, word};
use crate::model::{HttpCheck, HttpVersion, Scheme};

/// Resolves the keys of the kind.
pub(super) fn resolve(section: &mut Section<'_>, table: &MonitorTable) -> HttpCheck {
    let (scheme, port) = scheme_and_port(section, table);
    let versions = [("1.1", HttpVersion::One), ("2", HttpVersion::Two)];
    let read = word("version", &versions);
    let version = section.value("version", &table.version, d::HTTP_VERSION, read);
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
    let read = |text: &String| regex("expect_body", text);
    let expect_body = section.optional("expect_body", table.expect_body.as_ref(), read);
    if let Some(field) = table.expect_body.as_ref().filter(|_| method == "HEAD") {
        let fault = Fault::new("`expect_body` cannot match, since answers to HEAD have no body");
        section.error(field.span(), fault.hint("write `method = \"GET\"`"));
    }
    if path == "/" && expect_status == [200..=200] {
        let at = table.expect_status.as_ref().map(Spanned::span).unwrap_or_default();
        let fault = Fault::new("a redirect from `/` counts as a failure here");
        section.warn(at, fault.hint("probe a path made for it, or expect \"200-399\""));
    }
    let (verify_certificate, expires_within) = tls::certificate(section, table, scheme);
    HttpCheck {
        scheme,
        version,
        port,
        path,
        host,
        method,
        headers,
        expect_status,
        expect_body,
        verify_certificate,
        expires_within,
    }
}

/// Scheme, and the port that is usual for it.
pub(super) fn scheme_and_port(section: &mut Section<'_>, table: &MonitorTable) -> (Scheme, u16) {
    let schemes = [("http", Scheme::Http), ("https", Scheme::Https)];
    let scheme = section.value("scheme", &table.scheme, d::SCHEME, word("scheme", &schemes));
    let usual = match scheme {
        Scheme::Http => d::Preset { value: 80, written: "80" },
        Scheme::Https => d::HTTPS_PORT,
    };
    (scheme, section.value("port", &table.port, usual, whole_in("port", &d::PORT_RANGE)))
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
pub(super) fn host(text: &str) -> Result<String, Fault> {
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
    let fault = Fault::new("`expect_status` is empty, so no answer is a success");
    let fault = fault.hint("such as [\"200-299\"]");
    statuses(section, table, (d::EXPECT_STATUS, d::STATUS_RANGE), fault)
}

/// The statuses that are a success: a default, the range they are from, and what to say of none.
pub(super) fn statuses(
    section: &mut Section<'_>,
    table: &MonitorTable,
    (preset, range): (d::Preset<RangeInclusive<u16>>, RangeInclusive<u16>),
    none: Fault,
) -> Vec<RangeInclusive<u16>> {
    if table.expect_status.is_none() {
        section.default("expect_status", preset.written);
        return vec![preset.value];
    }
    section.not_empty(&table.expect_status, none);
    let example = if range.contains(&0) { "\"0\" or \"0-3\"" } else { "\"200\" or \"200-299\"" };
    section
        .list("expect_status", &table.expect_status, |text| status(text, &range, example).map(Some))
}

/// `200` or `200-299`.
fn status(
    text: &str,
    range: &RangeInclusive<u16>,
    example: &str,
) -> Result<RangeInclusive<u16>, Fault> {
    let fault =
        || Fault::new(format!("`{text}` is not a status")).hint(format!("such as {example}"));
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| range.contains(code));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (code(first).ok_or_else(fault)?, code(last).ok_or_else(fault)?);
    if first > last {
        return Err(
            Fault::new(format!("`{text}` holds nothing")).hint(format!("`{last}-{first}`?"))
        );
    }
    Ok(first..=last)
}
