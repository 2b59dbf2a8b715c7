//! `[proxy]`: where the proxy listens, whom it believes, what it allows.

use std::net::SocketAddr;
use std::sync::Arc;

use toml::Spanned;

use super::transports::validity;
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{ProxyLimitsTable, ProxyTable, Table};
use crate::config::value::{Fault, duration_in, listener, prefix, size_in, whole_in};
use crate::diagnostic::reason;
use crate::model::{Admin, AdminListen, Certificates, Dns, Proxy, ProxyLimits};
use crate::tls::{Certificate, CertificateError};

/// Resolves the table.
pub(super) fn resolve(
    top: &mut Section<'_>,
    table: &Spanned<Table<ProxyTable>>,
    dns: Option<&Dns>,
    admin: Option<&Admin>,
    folder: &Place,
    files: &mut Files,
) -> Proxy {
    let mut section = top.inside("proxy", table.span());
    let table = &table.get_ref().0;
    let fault = Fault::new("`http` is empty").hint("leave it out to listen on every address");
    section.not_empty(&table.http, fault);
    let mut http = section
        .list("http", &table.http, |text| free(listener(text, 80)?, text, dns, admin).map(Some));
    if table.http.is_none() {
        section.default("http", d::PROXY_HTTP.written);
        http = d::PROXY_HTTP.value.to_vec();
    }
    let fault = Fault::new("`https` is empty").hint("leave it out to serve none");
    section.not_empty(&table.https, fault);
    let https = section
        .list("https", &table.https, |text| free(listener(text, 443)?, text, dns, admin).map(Some));
    let certificates = certificates(&mut section, table, folder, files);
    let read = whole_in("workers", &d::WORKERS_RANGE);
    let workers =
        section.value("workers", &table.workers, d::WORKERS, |n| read(n).map(usize::from));
    let fault = Fault::new("`trusted_proxies` is empty").hint("leave it out to believe nobody");
    section.not_empty(&table.trusted_proxies, fault);
    let trusted = &table.trusted_proxies;
    let trusted_proxies = section.list("trusted_proxies", trusted, |text| prefix(text).map(Some));
    let read = duration_in("drain", &d::DRAIN_RANGE);
    let drain = section.value("drain", &table.drain, d::DRAIN, read);
    let header = table.limits.as_ref().map(Spanned::span).unwrap_or_default();
    let empty = ProxyLimitsTable::default();
    let limits = table.limits.as_ref().map_or(&empty, |table| &table.get_ref().0);
    let limits = self::limits(&mut section.inside("limits", header), limits);
    Proxy { http, https, certificates, workers, trusted_proxies, drain, limits }
}

/// The pairs NAME.pem and NAME.key of a folder, which `https` needs.
fn certificates(
    section: &mut Section<'_>,
    table: &ProxyTable,
    folder: &Place,
    files: &mut Files,
) -> Arc<Certificates> {
    let Some(field) = &table.certificates else {
        if table.https.is_some() {
            let fault = Fault::new("`certificates` is missing, which `https` needs");
            section.lacks("certificates", fault.hint("add `certificates = \"tls/\"`"));
        }
        return Arc::default();
    };
    section.written("certificates", field.span());
    let place = folder.join(field.get_ref());
    let names = match files.list(&place) {
        Ok(names) => names,
        Err(error) => {
            let what = format!("`{}` cannot be read: {}", place.shown, reason(&error));
            section.error(field.span(), Fault::new(what));
            return Arc::default();
        }
    };
    let mut found = Vec::new();
    let stems: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".pem")).collect();
    for stem in &stems {
        match pair(&place, stem, files) {
            Ok(certificate) => {
                let chain = place.join(&format!("{stem}.pem"));
                validity(section, field.span(), &chain.shown, &certificate);
                found.push(certificate);
            }
            Err(fault) => section.error(field.span(), fault),
        }
    }
    if stems.is_empty() {
        let fault = Fault::new(format!("`{}` holds no certificate", place.shown));
        section.error(field.span(), fault.hint("it needs `NAME.pem` with `NAME.key` beside it"));
    }
    Arc::new(Certificates::new(found))
}

/// A certificate and the key beside it.
fn pair(folder: &Place, stem: &str, files: &mut Files) -> Result<Certificate, Fault> {
    let key = folder.join(&format!("{stem}.key"));
    let chain = folder.join(&format!("{stem}.pem"));
    let mut read = |place: &Place| {
        files.octets(place).map_err(|error| {
            Fault::new(format!("`{}` cannot be read: {}", place.shown, reason(&error)))
        })
    };
    let octets = (read(&chain)?, read(&key)?);
    Certificate::from_pem(&octets.0, &octets.1).map_err(|error| match &error {
        CertificateError::Chain(why) => Fault::new(format!("`{}` {why}", chain.shown)),
        CertificateError::Key(why) => Fault::new(format!("`{}` {why}", key.shown)),
        CertificateError::Mismatch => Fault::new(format!(
            "the key in `{}` does not belong to the certificate in `{}`",
            key.shown, chain.shown
        )),
    })
}

/// An address that no other listener over TCP has.
fn free(
    address: SocketAddr,
    text: &str,
    dns: Option<&Dns>,
    admin: Option<&Admin>,
) -> Result<SocketAddr, Fault> {
    let dns = dns.into_iter().flat_map(|dns| {
        let streams = [&dns.listen, &dns.transports.tls, &dns.transports.https];
        streams.into_iter().flatten().map(|taken| (*taken, "[dns]"))
    });
    let admin = admin.and_then(|admin| match &admin.listen {
        AdminListen::Tcp(taken) => Some((*taken, "[admin]")),
        AdminListen::Unix(_) => None,
    });
    let same = |(taken, _): &(SocketAddr, &str)| {
        let everywhere = taken.ip().is_unspecified() || address.ip().is_unspecified();
        taken.port() == address.port()
            && (taken.ip() == address.ip() || everywhere && taken.is_ipv4() == address.is_ipv4())
    };
    match dns.chain(admin).find(same) {
        None => Ok(address),
        Some((taken, whose)) => {
            Err(Fault::new(format!("`{text}` is taken by `{taken}` of {whose}"))
                .hint("write another port"))
        }
    }
}

fn limits(section: &mut Section<'_>, table: &ProxyLimitsTable) -> ProxyLimits {
    let mut whole = |key: &'static str, field, preset, range| {
        let read = whole_in::<u32>(key, range);
        section.value(key, field, preset, |n| read(n).map(|n| n as usize))
    };
    let connections =
        whole("connections", &table.connections, d::CONNECTIONS, &d::CONNECTIONS_RANGE);
    let per_client = whole("per_client", &table.per_client, d::PER_CLIENT, &d::CONNECTIONS_RANGE);
    let headers = whole("headers", &table.headers, d::HEADERS, &d::HEADERS_RANGE);
    let mut time = |key: &'static str, field, preset| {
        section.value(key, field, preset, duration_in(key, &d::PROXY_TIME_RANGE))
    };
    let header_timeout = time("header_timeout", &table.header_timeout, d::HEADER_TIMEOUT);
    let idle = time("idle", &table.idle, d::PROXY_IDLE);
    let mut octets = |key: &'static str, field, preset, range| {
        section.value(key, field, preset, size_in(key, range))
    };
    let header_size = octets("header_size", &table.header_size, d::HEADER_SIZE, &d::HEAD_RANGE);
    let target = octets("target", &table.target, d::TARGET_SIZE, &d::HEAD_RANGE);
    let body = section.value("body", &table.body, d::BODY_SIZE, |text| match text.as_str() {
        "off" => Ok(None),
        _ => size_in("body", &d::BODY_RANGE)(text).map(Some),
    });
    let (header_size, target) = (header_size as usize, target as usize);
    ProxyLimits {
        connections,
        per_client,
        header_timeout,
        idle,
        headers,
        header_size,
        target,
        body,
    }
}
