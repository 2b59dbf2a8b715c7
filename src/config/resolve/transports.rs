//! `[dns]`: the encrypted transports and their certificate.

use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;

use super::node::octets;
use crate::clock;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{DnsTable, List};
use crate::config::value::{Fault, listener, prefix};
use crate::model::Transports;
use crate::tls::{Certificate, CertificateError, day};

/// A certificate is warned of this many seconds before it expires: authorities that issue for a
/// short time renew long before.
const EXPIRES_SOON: i64 = 7 * 86_400;

/// Resolves the keys; `folder` is where the file is.
pub(super) fn transports(
    section: &mut Section<'_>,
    table: &DnsTable,
    folder: &Place,
    files: &mut Files,
) -> Transports {
    let lists =
        [("tls", &table.tls, 853), ("quic", &table.quic, 853), ("https", &table.https, 443)];
    let [tls, quic, https] = lists.map(|(key, list, port)| {
        let fault = Fault::new(format!("`{key}` is empty")).hint("leave it out to serve none");
        section.not_empty(list, fault);
        section.list(key, list, |text| listener(text, port).map(Some))
    });
    claimed(section, table);
    let used = |list: &List<String>| list.as_ref().is_some_and(|list| !list.get_ref().is_empty());
    let wanted = lists.iter().find(|(_, list, _)| used(list)).map(|(key, ..)| *key);
    let certificate = match (&table.certificate, wanted) {
        (Some(table), _) => {
            if wanted.is_none() {
                let fault =
                    Fault::new("`certificate` has no effect without an encrypted transport");
                section.warn(table.span(), fault.hint("add `tls`, `quic` or `https`"));
            }
            let mut section = section.inside("certificate", table.span());
            let table = &table.get_ref().0;
            let pair = (table.chain.as_ref(), table.key.as_ref());
            certificate(&mut section, pair, folder, files)
        }
        (None, Some(key)) => {
            let fault = Fault::new(format!("`certificate` is missing, which `{key}` needs"));
            let hint = "add `certificate = { chain = \"tls/dns.pem\", key = \"tls/dns.key\" }`";
            section.lacks("certificate", fault.hint(hint));
            None
        }
        (None, None) => None,
    };
    let fault = Fault::new("`proxy_protocol` is empty").hint("leave it out to believe no proxy");
    section.not_empty(&table.proxy_protocol, fault);
    let proxies = &table.proxy_protocol;
    let proxy_protocol = section.list("proxy_protocol", proxies, |text| prefix(text).map(Some));
    Transports { tls, quic, https, certificate, proxy_protocol }
}

/// Reports addresses whose port two transports would need.
fn claimed(section: &mut Section<'_>, table: &DnsTable) {
    let mut claimed: Vec<(SocketAddr, &str, Ports)> = Vec::new();
    for (key, list, ports) in [
        ("listen", &table.listen, Ports { tcp: true, udp: true }),
        ("tls", &table.tls, Ports { tcp: true, udp: false }),
        ("quic", &table.quic, Ports { tcp: false, udp: true }),
        ("https", &table.https, Ports { tcp: true, udp: true }),
    ] {
        for item in list.iter().flat_map(Spanned::get_ref) {
            // What is no address is reported where it is read; port 0 is another one each time.
            let Ok(address) = item.get_ref().parse::<SocketAddr>() else { continue };
            let both = |other: Ports| ports.tcp && other.tcp || ports.udp && other.udp;
            let taken = claimed.iter().find(|(other, name, held)| {
                *other == address && *name != key && both(*held) && address.port() != 0
            });
            if let Some((_, other, _)) = taken {
                let fault = Fault::new(format!("`{address}` is also in `{other}`"));
                section.error(item.span(), fault.hint("each transport needs a port of its own"));
            }
            claimed.push((address, key, ports));
        }
    }
}

/// Which ports of an address a transport needs.
#[derive(Clone, Copy)]
struct Ports {
    tcp: bool,
    udp: bool,
}

/// The certificate and key of a table: reads both files, because a reload must see what is in
/// them.
pub(super) fn certificate(
    section: &mut Section<'_>,
    (chain_at, key_at): (Option<&Spanned<String>>, Option<&Spanned<String>>),
    folder: &Place,
    files: &mut Files,
) -> Option<Certificate> {
    let mut read = |text: &String| {
        let (octets, place) = octets(text, folder, files)?;
        Ok((place.shown, octets))
    };
    let chain = section.required("chain", chain_at, &mut read);
    let key = section.required("key", key_at, &mut read);
    let ((chain_file, chain), (key_file, key)) = chain.zip(key)?;
    let span = |field: Option<&Spanned<String>>| field.map(Spanned::span).unwrap_or_default();
    let (chain_at, key_at) = (span(chain_at), span(key_at));
    match Certificate::from_pem(&chain, &key) {
        Ok(certificate) => {
            validity(section, chain_at, &chain_file, &certificate);
            Some(certificate)
        }
        Err(error) => {
            let (at, what) = match error {
                CertificateError::Chain(why) => (chain_at, format!("`{chain_file}` {why}")),
                CertificateError::Key(why) => (key_at, format!("`{key_file}` {why}")),
                CertificateError::Mismatch => {
                    let what = "does not belong to the certificate in";
                    (key_at, format!("the key in `{key_file}` {what} `{chain_file}`"))
                }
            };
            section.error(at, Fault::new(what));
            None
        }
    }
}

/// Warns of a certificate that clients will refuse, now or soon.
pub(super) fn validity(
    section: &mut Section<'_>,
    at: Range<usize>,
    file: &str,
    certificate: &Certificate,
) {
    let now = clock::unix_seconds().cast_signed();
    if let Some(what) = refused(certificate.validity(), now) {
        let fault = Fault::new(format!("the certificate in `{file}` {what}"));
        section.warn(at, fault.hint("replace the file; it is read again when it changes"));
    }
}

/// Why a certificate valid in this time is refused `now` or soon.
fn refused((from, until): (i64, i64), now: i64) -> Option<String> {
    if now > until {
        Some(format!("expired on {}", day(until)))
    } else if now + EXPIRES_SOON > until {
        Some(format!("expires on {}", day(until)))
    } else if now < from {
        Some(format!("is not valid before {}", day(from)))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_a_week_before_it_expires() {
        let day = 86_400;
        for (now, expected) in [
            (99 * day, Some("is not valid before 1970-04-11")),
            (100 * day, None),
            (193 * day, None),
            (194 * day, Some("expires on 1970-07-20")),
            (200 * day, Some("expires on 1970-07-20")),
            (201 * day, Some("expired on 1970-07-20")),
        ] {
            let found = refused((100 * day, 200 * day), now);
            assert_eq!(found.as_deref(), expected, "on day {}", now / day);
        }
    }
}
