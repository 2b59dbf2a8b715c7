//! Which requests a route is for: hosts, paths, header fields, methods.

use http::{HeaderName, Method};
use regex::Regex;

use crate::config::sheet::Section;
use crate::config::spec::RouteTable;
use crate::config::value::{Fault, hostname};
use crate::model::{HostPattern, PathPattern};

/// A hostname, or `*.` and one.
pub(super) fn host(text: &str) -> Result<HostPattern, Fault> {
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
pub(super) fn path(text: &str) -> Result<PathPattern, Fault> {
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

/// The header fields that a request must have.
pub(super) fn headers(section: &mut Section<'_>, table: &RouteTable) -> Vec<(HeaderName, String)> {
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

/// A method, in upper case.
pub(super) fn method(text: &str) -> Result<Method, Fault> {
    let fault = || Fault::new(format!("`{text}` is not a method"));
    if text != text.to_ascii_uppercase() {
        return Err(fault().hint(format!("write `{}`", text.to_ascii_uppercase())));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| fault())
}
