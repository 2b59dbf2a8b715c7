//! `[proxy.acme]`: which certificates the proxy orders by itself, and where.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use http::Uri;
use toml::Spanned;

use super::keys::{Form, secret_of};
use super::node::octets;
use super::transports::validity;
use super::zones::ZonesDraft;
use crate::config::defaults::acme as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::{Section, Sheet};
use crate::config::spec::{AcmeTable, ExternalAccountTable, OrderedTable, Table};
use crate::config::value::{Fault, hostname, word};
use crate::model::{Acme, ChallengeKind, ExternalAccount, Ordered};
use crate::name::Name;
use crate::tls::{Certificate, authorities};

/// The port at which authorities look for files (RFC 8555 section 8.3).
const HTTP_PORT: u16 = 80;

/// Names that are to be shown to be ours by a TXT record, and where they stand.
pub(in crate::config) type ByZone = Vec<(Name, Range<usize>)>;

/// Resolves the table of a proxy that listens at `http` in the clear; `folder` is where node.toml
/// is, `state` the state folder.
pub(super) fn of(
    proxy: &mut Section<'_>,
    table: Option<&Spanned<Table<AcmeTable>>>,
    http: &[SocketAddr],
    places: (&Place, &Place),
    files: &mut Files,
) -> (Option<Arc<Acme>>, ByZone) {
    let resolved = table.map(|table| resolve(proxy, table, http, places, files));
    let (acme, by_zone) = resolved.unzip();
    (acme.map(Arc::new), by_zone.unwrap_or_default())
}

fn resolve(
    proxy: &mut Section<'_>,
    table: &Spanned<Table<AcmeTable>>,
    http: &[SocketAddr],
    (folder, state): (&Place, &Place),
    files: &mut Files,
) -> (Acme, ByZone) {
    let mut section = proxy.inside("acme", table.span());
    let table = &table.get_ref().0;
    if table.directory.is_none() {
        section.default("directory", d::DIRECTORY.written);
    }
    let directory = section.optional("directory", table.directory.as_ref(), |text| url(text));
    let directory = directory.unwrap_or_else(|| d::DIRECTORY.value.to_owned());
    let authorities = section.optional("authority", table.authority.as_ref(), |text| {
        let (octets, place) = octets(text, folder, files)?;
        authorities(&octets).map_err(|why| Fault::new(format!("`{}` {why}", place.shown)))
    });
    agreed(&mut section, table);
    let contact = section.list("contact", &table.contact, |text| mail(text).map(Some));
    let external = table.external_account.as_ref();
    let external = external.and_then(|table| external_account(&mut section, table, folder, files));
    let mut by_zone = Vec::new();
    let certificates = certificates(&mut section, table, http, (state, &mut by_zone), files);
    (Acme { directory, authorities, contact, external, certificates }, by_zone)
}

/// The account that the authority knows already.
fn external_account(
    acme: &mut Section<'_>,
    table: &Spanned<Table<ExternalAccountTable>>,
    folder: &Place,
    files: &mut Files,
) -> Option<ExternalAccount> {
    let mut section = acme.inside("external_account", table.span());
    let table = &table.get_ref().0;
    let key_id = section.required("key_id", table.key_id.as_ref(), |text| {
        let fits = (1..=d::KEY_ID_MAX).contains(&text.len());
        if fits && text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Ok(text.to_owned());
        }
        let most = d::KEY_ID_MAX;
        let fault = Fault::new(format!("`{text}` is not what an authority calls an account"));
        Err(fault.hint(format!("1 to {most} visible characters, as the authority shows them")))
    });
    let fields = (table.secret_file.as_ref(), table.secret.as_ref());
    let secret = secret_of(&mut section, fields, Form::Given, (folder, files));
    Some(ExternalAccount { key_id: key_id?, secret: secret? })
}

/// Nobody is made a party to a contract by a default.
fn agreed(section: &mut Section<'_>, table: &AcmeTable) {
    let hint = "read the authority's terms of service, then write `agree_terms = true`";
    match &table.agree_terms {
        None => section.lacks("agree_terms", Fault::new("`agree_terms` is missing").hint(hint)),
        Some(field) if !field.get_ref() => {
            let fault = Fault::new("without agreed terms an authority makes no account");
            section.error(field.span(), fault.hint(hint));
        }
        Some(field) => section.written("agree_terms", field.span()),
    }
}

fn certificates(
    section: &mut Section<'_>,
    table: &AcmeTable,
    http: &[SocketAddr],
    (state, by_zone): (&Place, &mut ByZone),
    files: &mut Files,
) -> Vec<Ordered> {
    let Some(list) = &table.certificates else {
        section.missing("certificates");
        return Vec::new();
    };
    let fault = Fault::new("`certificates` is empty").hint("leave [proxy.acme] out to order none");
    section.not_empty(&table.certificates, fault);
    section.written("certificates", list.span());
    if list.get_ref().len() > d::CERTIFICATES_MAX {
        let most = d::CERTIFICATES_MAX;
        section.error(list.span(), Fault::new(format!("more than {most} certificates")));
    }
    let mut all: Vec<Ordered> = Vec::new();
    for (index, item) in list.get_ref().iter().enumerate().take(d::CERTIFICATES_MAX) {
        let mut section = section.item("certificates", index, item.span());
        let places = (state, &mut *by_zone);
        let Some(ordered) = ordered(&mut section, item, http, places, files) else {
            continue;
        };
        if all.iter().any(|other| other.file == ordered.file) {
            let first = ordered.names.first().map_or("", String::as_str);
            let fault = Fault::new(format!("`{first}` is the first name of two certificates"));
            section.error(item.span(), fault.hint("put another name first"));
        }
        all.push(ordered);
    }
    all
}

fn ordered(
    section: &mut Section<'_>,
    item: &Spanned<Table<OrderedTable>>,
    http: &[SocketAddr],
    (state, by_zone): (&Place, &mut ByZone),
    files: &mut Files,
) -> Option<Ordered> {
    let table = &item.get_ref().0;
    let words = [("http-01", ChallengeKind::Http), ("dns-01", ChallengeKind::Dns)];
    let read = word("challenge", &words);
    let challenge = section.value("challenge", &table.challenge, d::CHALLENGE, read);
    if table.names.is_none() {
        section.missing("names");
    }
    section.not_empty(&table.names, Fault::new("`names` is empty"));
    let mut spans = table.names.iter().flat_map(Spanned::get_ref).map(Spanned::span);
    let names = section.list("names", &table.names, |text| {
        let span = spans.next().unwrap_or_default();
        let (name, base) = name(text, challenge)?;
        if challenge == ChallengeKind::Dns {
            by_zone.push((base, span));
        }
        Ok(Some(name))
    });
    if let Some(list) = table.names.as_ref().filter(|_| names.len() > d::NAMES_MAX) {
        let most = d::NAMES_MAX;
        let fault = Fault::new(format!("{} names, {most} at most", names.len()));
        section.error(list.span(), fault.hint("order several certificates"));
    }
    if challenge == ChallengeKind::Http {
        heard(section, item.span(), http);
    }
    // A star is part of no file name.
    let file = format!("{}.pem", names.first()?.replacen('*', "_", 1));
    let place = state.join("acme/certificates").join(&file);
    let held = held(section, item.span(), &place, files);
    Some(Ordered { names, challenge, file: place.real, held })
}

/// Authorities must find somebody where they look for files.
fn heard(section: &mut Section<'_>, at: Range<usize>, http: &[SocketAddr]) {
    if http.is_empty() {
        let fault = Fault::new("http-01 needs a listener in the clear, and `http` has none");
        section.error(at, fault.hint("write `challenge = \"dns-01\"`, or let the proxy listen"));
    } else if http.iter().all(|address| address.port() != HTTP_PORT) {
        let fault = Fault::new("authorities look at port 80, where `http` has no listener");
        section.warn(at, fault.hint("fine where that port leads here all the same"));
    }
}

/// A name and what it is below of, itself but for a star.
fn name(text: &str, challenge: ChallengeKind) -> Result<(String, Name), Fault> {
    let (star, rest) = match text.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", text),
    };
    let base = hostname(rest)?;
    if base.labels().count() < 2 {
        return Err(Fault::new(format!("`{text}` has a single label, which nobody vouches for")));
    }
    if !star.is_empty() && challenge == ChallengeKind::Http {
        let fault = Fault::new(format!("`{text}` is for all names of a zone"));
        return Err(fault.hint("write `challenge = \"dns-01\"`; http-01 shows single names"));
    }
    let plain = base.to_string();
    Ok((format!("{star}{}", plain.trim_end_matches('.')), base))
}

/// What was ordered before. A file that is missing is no news, and one that is of no use is
/// replaced by the next order.
fn held(
    section: &mut Section<'_>,
    at: Range<usize>,
    place: &Place,
    files: &mut Files,
) -> Option<Certificate> {
    let octets = files.octets(place).ok()?;
    match Certificate::from_pem(&octets, &octets) {
        Ok(certificate) => {
            validity(section, at, &place.shown, &certificate);
            Some(certificate)
        }
        Err(error) => {
            let fault = Fault::new(format!("the certificate in `{}` is of no use", place.shown));
            section.warn(at, fault.hint(format!("it {error}; another one is ordered")));
            None
        }
    }
}

/// A URL of HTTP over TLS.
fn url(text: &str) -> Result<String, Fault> {
    let fault = Fault::new(format!("`{text}` is not a URL of HTTP over TLS"));
    let hint = "such as `https://acme-v02.api.letsencrypt.org/directory`";
    let read = text.parse::<Uri>().ok();
    let https = read.is_some_and(|url| url.scheme_str() == Some("https"));
    if https { Ok(text.to_owned()) } else { Err(fault.hint(hint)) }
}

/// A mail address, without its scheme.
fn mail(text: &str) -> Result<String, Fault> {
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | ','))
    };
    match text.split_once('@') {
        Some((user, host)) if plain(user) && hostname(host).is_ok() && !user.contains(':') => {
            Ok(text.to_owned())
        }
        _ => {
            let fault = Fault::new(format!("`{text}` is not a mail address"));
            Err(fault.hint("such as `ops@example.com`"))
        }
    }
}

/// Reports names that are to be shown to be ours by a zone that is not there. A node without zones
/// leaves that to others.
pub(in crate::config) fn unanswered(by_zone: &ByZone, sheet: &mut Sheet, zones: &ZonesDraft) {
    if zones.zones.is_empty() {
        return;
    }
    for (name, span) in by_zone {
        if !zones.zones.iter().any(|zone| name.is_at_or_below(&zone.origin)) {
            let fault = Fault::new(format!("`{name}` is in no zone, where dns-01 is answered"));
            sheet.error(
                span.clone(),
                fault.hint("write `challenge = \"http-01\"`, or add the zone"),
            );
        }
    }
}
