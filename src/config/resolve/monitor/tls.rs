//! The keys of kind `tls`, and those about certificates of every kind.

use std::time::Duration;

use toml::Spanned;

use super::http::host;
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::MonitorTable;
use crate::config::value::{Fault, duration_in, whole_in};
use crate::model::{Scheme, TlsCheck};

/// Resolves the keys of the kind.
pub(super) fn resolve(section: &mut Section<'_>, table: &MonitorTable) -> TlsCheck {
    let read = whole_in("port", &d::PORT_RANGE);
    let port = section.value("port", &table.port, d::HTTPS_PORT, read);
    let server_name =
        section.optional("server_name", table.server_name.as_ref(), |text| host(text));
    let empty = Fault::new("`alpn` is empty").hint("such as [\"h2\"], or leave it out");
    section.not_empty(&table.alpn, empty);
    let alpn = section.list("alpn", &table.alpn, |text| protocol(text).map(Some));
    let (verify_certificate, expires_within) = certificate(section, table, Scheme::Https);
    TlsCheck { port, server_name, alpn, verify_certificate, expires_within }
}

/// The name of a protocol (RFC 7301 section 3.1).
fn protocol(text: &str) -> Result<String, Fault> {
    if (1..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(format!("`{text}` is not the name of a protocol"));
    Err(fault.hint("such as \"h2\" or \"http/1.1\""))
}

/// What must hold of the certificate: whether it is verified, and how long it must last.
pub(super) fn certificate(
    section: &mut Section<'_>,
    table: &MonitorTable,
    scheme: Scheme,
) -> (bool, Option<Duration>) {
    let read = |flag: &bool| Ok(*flag);
    let verify = section.value("verify_certificate", &table.verify_certificate, d::VERIFY, read);
    let read = duration_in("expires_within", &d::EXPIRES_RANGE);
    let expires_within = section.optional("expires_within", table.expires_within.as_ref(), read);
    certificate_keys(section, table, scheme);
    (verify, expires_within)
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
