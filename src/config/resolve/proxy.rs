//! `[proxy]`: where the proxy listens, whom it believes, what it allows.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use toml::Spanned;

use super::acme::ByZone;
use super::node::octets;
use super::transports::validity;
use super::{access_log, acme, route};
use crate::config::defaults as d;
use crate::config::files::{Files, Place, sha256};
use crate::config::names::Names;
use crate::config::sheet::Section;
use crate::config::spec::{List, ProxyLimitsTable, ProxyTable, Table};
use crate::config::value::{Fault, duration_in, listener, prefix, size_in, whole_in};
use crate::diagnostic::reason;
use crate::model::{
    Acme, Admin, AdminListen, Certificates, ClientAuthorities, Dns, PoolId, Proxy, ProxyLimits,
    TcpRelay, UdpRelay,
};
use crate::prefix::Prefix;
use crate::tls::{Certificate, CertificateError, authorities, roots};

/// Resolves the table.
pub(super) fn resolve(
    top: &mut Section<'_>,
    table: &Spanned<Table<ProxyTable>>,
    (dns, admin): (Option<&Dns>, Option<&Admin>),
    pools: &Names<PoolId>,
    (folder, state): (&Place, &Place),
    files: &mut Files,
) -> (Proxy, ByZone) {
    let mut section = top.inside("proxy", table.span());
    let table = &table.get_ref().0;
    let (http, https) = listeners(&mut section, table, (dns, admin));
    let fault = Fault::new("`http3` is empty").hint("leave it out to serve none");
    section.not_empty(&table.http3, fault);
    let mut datagrams: Vec<SocketAddr> = dns.into_iter().flat_map(over_udp).collect();
    let http3 = section.list("http3", &table.http3, |text| {
        let address = beside(listener(text, 443)?, text, &datagrams)?;
        datagrams.push(address);
        Ok(Some(address))
    });
    let taken = (http.iter().chain(&https).copied().collect(), datagrams);
    let (tcp, udp) = relays(&mut section, table, (dns, admin), taken, pools);
    let places = (folder, state);
    let (acme, by_zone) = acme::of(&mut section, table.acme.as_ref(), &http, places, files);
    let certificates = certificates(&mut section, table, acme.as_deref(), folder, files);
    let client_ca = client_ca(&mut section, table, folder, files);
    let read = whole_in("workers", &d::WORKERS_RANGE);
    let workers =
        section.value("workers", &table.workers, d::WORKERS, |n| read(n).map(usize::from));
    let announcing = &table.proxy_protocol;
    let proxy_protocol = prefixes(&mut section, "proxy_protocol", announcing, "no proxy");
    let trusted = &table.trusted_proxies;
    let trusted_proxies = prefixes(&mut section, "trusted_proxies", trusted, "nobody");
    let read = duration_in("drain", &d::DRAIN_RANGE);
    let drain = section.value("drain", &table.drain, d::DRAIN, read);
    let header = table.limits.as_ref().map(Spanned::span).unwrap_or_default();
    let empty = ProxyLimitsTable::default();
    let limits = table.limits.as_ref().map_or(&empty, |table| &table.get_ref().0);
    let limits = self::limits(&mut section.inside("limits", header), limits);
    let access_log = access_log::resolve(&mut section, table.access_log.as_ref(), folder);
    let proxy = Proxy {
        http,
        https,
        http3,
        tcp,
        udp,
        certificates,
        acme,
        client_ca,
        workers,
        proxy_protocol,
        trusted_proxies,
        drain,
        limits,
        access_log,
    };
    (proxy, by_zone)
}

/// The listeners of HTTP, in the clear and over TLS.
fn listeners(
    section: &mut Section<'_>,
    table: &ProxyTable,
    (dns, admin): (Option<&Dns>, Option<&Admin>),
) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let fault = Fault::new("`http` is empty").hint("leave it out to listen on every address");
    if table.https.is_none() && table.tcp.is_none() && table.udp.is_none() {
        section.not_empty(&table.http, fault);
    }
    let mut http = section
        .list("http", &table.http, |text| free(listener(text, 80)?, text, dns, admin).map(Some));
    if table.http.is_none() {
        section.default("http", d::PROXY_HTTP.written);
        http = d::PROXY_HTTP.value.to_vec();
    }
    let fault = Fault::new("`https` is empty").hint("leave it out to serve none");
    section.not_empty(&table.https, fault);
    let https = section.list("https", &table.https, |text| {
        let address = free(listener(text, 443)?, text, dns, admin)?;
        // Both would be bound, and the kernel would give each half of the connections.
        beside(address, text, &http).map(Some)
    });
    (http, https)
}

/// Prefixes of peers; without them `nobody` is believed.
fn prefixes(
    section: &mut Section<'_>,
    key: &'static str,
    field: &List<String>,
    nobody: &str,
) -> Vec<Prefix> {
    let fault = Fault::new(format!("`{key}` is empty"));
    section.not_empty(field, fault.hint(format!("leave it out to believe {nobody}")));
    section.list(key, field, |text| prefix(text).map(Some))
}

/// The listeners whose octets go to pools as they come, beside those that are `taken`.
fn relays(
    section: &mut Section<'_>,
    table: &ProxyTable,
    (dns, admin): (Option<&Dns>, Option<&Admin>),
    (mut taken, mut datagrams): (Vec<SocketAddr>, Vec<SocketAddr>),
    pools: &Names<PoolId>,
) -> (Vec<Arc<TcpRelay>>, Vec<Arc<UdpRelay>>) {
    let mut stream = |address, text: &str| {
        let address = beside(free(address, text, dns, admin)?, text, &taken)?;
        taken.push(address);
        Ok(address)
    };
    let tcp = route::tcp(section, &table.tcp, &mut stream, pools);
    let mut datagram = |address, text: &str| {
        let address = beside(address, text, &datagrams)?;
        datagrams.push(address);
        Ok(address)
    };
    (tcp, route::udp(section, &table.udp, &mut datagram, pools))
}

/// The pairs NAME.pem and NAME.key of a folder, and what was ordered; `https` and `http3` need one
/// of them.
fn certificates(
    section: &mut Section<'_>,
    table: &ProxyTable,
    acme: Option<&Acme>,
    folder: &Place,
    files: &mut Files,
) -> Arc<Certificates> {
    let ordered = acme.map_or(&[][..], |acme| &acme.certificates);
    let ordered = ordered.iter().filter_map(|ordered| ordered.held.clone());
    let Some(field) = &table.certificates else {
        if acme.is_some() {
            return Arc::new(Certificates::new(ordered.collect()));
        }
        let needs = [("https", table.https.is_some()), ("http3", table.http3.is_some())];
        if let Some((key, _)) = needs.into_iter().find(|(_, written)| *written) {
            let fault = Fault::new(format!("`certificates` is missing, which `{key}` needs"));
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
    found.extend(ordered);
    Arc::new(Certificates::new(found))
}

/// The authorities of clients.
fn client_ca(
    section: &mut Section<'_>,
    table: &ProxyTable,
    folder: &Place,
    files: &mut Files,
) -> Option<ClientAuthorities> {
    section.optional("client_ca", table.client_ca.as_ref(), |text| {
        let (octets, place) = octets(text, folder, files)?;
        let found = authorities(&octets);
        let found = found.map_err(|why| Fault::new(format!("`{}` {why}", place.shown)))?;
        let sum = sha256(&octets);
        let identity = sum.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        Ok(ClientAuthorities { roots: Arc::new(roots(&found)), identity })
    })
}

/// A certificate and its key: beside it, or else in the same file.
fn pair(folder: &Place, stem: &str, files: &mut Files) -> Result<Certificate, Fault> {
    let mut key = folder.join(&format!("{stem}.key"));
    let chain = folder.join(&format!("{stem}.pem"));
    let mut read = |place: &Place| files.octets(place);
    let unread = |place: &Place, error: &io::Error| {
        Fault::new(format!("`{}` cannot be read: {}", place.shown, reason(error)))
    };
    let octets = read(&chain).map_err(|error| unread(&chain, &error))?;
    let octets = match read(&key) {
        Ok(own) => (octets, own),
        Err(error) if error.kind() == io::ErrorKind::NotFound && holds_key(&octets) => {
            key = chain.clone();
            (octets.clone(), octets)
        }
        Err(error) => return Err(unread(&key, &error)),
    };
    Certificate::from_pem(&octets.0, &octets.1).map_err(|error| match &error {
        CertificateError::Chain(why) => Fault::new(format!("`{}` {why}", chain.shown)),
        CertificateError::Key(why) => Fault::new(format!("`{}` {why}", key.shown)),
        CertificateError::Mismatch => Fault::new(format!(
            "the key in `{}` does not belong to the certificate in `{}`",
            key.shown, chain.shown
        )),
    })
}

/// Whether a PEM file holds a key, too.
fn holds_key(octets: &[u8]) -> bool {
    let mark = b"PRIVATE KEY-----";
    octets.windows(mark.len()).any(|window| window == mark)
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
    match dns.chain(admin).find(|(taken, _)| same(*taken, address)) {
        None => Ok(address),
        Some((taken, whose)) => {
            Err(Fault::new(format!("`{text}` is taken by `{taken}` of {whose}"))
                .hint("write another port"))
        }
    }
}

/// An address that no listener of the proxy has that was read before.
fn beside(address: SocketAddr, text: &str, taken: &[SocketAddr]) -> Result<SocketAddr, Fault> {
    match taken.iter().find(|taken| same(**taken, address)) {
        None => Ok(address),
        Some(taken) => {
            Err(Fault::new(format!("`{text}` is taken by `{taken}`")).hint("write another port"))
        }
    }
}

/// Where DNS listens over UDP.
fn over_udp(dns: &Dns) -> Vec<SocketAddr> {
    let transports = &dns.transports;
    [&dns.listen, &transports.quic, &transports.https].into_iter().flatten().copied().collect()
}

/// Whether two listeners would be in each other's way.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port()
        && (one.ip() == other.ip() || everywhere && one.is_ipv4() == other.is_ipv4())
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
    let read = |text: &String| rate_of_octets(text);
    let body_rate = section.value("body_rate", &table.body_rate, d::BODY_RATE, read);
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
        body_rate,
    }
}

/// `"1KiB/s"`, or `"off"`.
fn rate_of_octets(text: &str) -> Result<Option<u64>, Fault> {
    if text == "off" {
        return Ok(None);
    }
    let Some(size) = text.strip_suffix("/s") else {
        let fault = Fault::new(format!("`{text}` is not a rate"));
        return Err(fault.hint("a size a second, such as `\"500B/s\"`, or `\"off\"`"));
    };
    size_in("body_rate", &d::BODY_RATE_RANGE)(&size.to_owned()).map(Some)
}
