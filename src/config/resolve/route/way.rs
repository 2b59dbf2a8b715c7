//! `upstream.protocol`, `.tls` and `.proxy_protocol` of a route: how its endpoints are spoken to.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use toml::Spanned;

use crate::config::defaults as d;
use crate::config::files::{Files, Place, sha256};
use crate::config::resolve::node::path;
use crate::config::resolve::transports;
use crate::config::sheet::Section;
use crate::config::spec::{FlagOr, UpstreamTable, UpstreamTlsTable};
use crate::config::value::{Fault, word};
use crate::diagnostic::reason;
use crate::model::{UpstreamTls, Way};
use crate::proxy_header::Version;
use crate::tls::{Certificate, authorities, system_authorities, upstream_config};

/// Where the files are that fleet.toml names.
pub(super) struct Around<'a> {
    pub(super) folder: &'a Place,
    pub(super) files: &'a mut Files,
}

/// The way of a table `upstream`.
pub(super) fn way(
    section: &mut Section<'_>,
    table: &UpstreamTable,
    around: &mut Around<'_>,
) -> Way {
    let words = [("http1", false), ("http2", true)];
    let read = word("protocol", &words);
    let http2 = section.value("protocol", &table.protocol, d::UPSTREAM_PROTOCOL, read);
    let words = [("v1", Version::V1), ("v2", Version::V2)];
    let header =
        section.optional("proxy_protocol", table.proxy_protocol.as_ref(), |text: &String| {
            word("proxy_protocol", &words)(text)
        });
    let mut identity = format!("{http2} {header:?}").into_bytes();
    let tls = match &table.tls {
        None => {
            section.default("tls", "false");
            None
        }
        Some(field) => match field.get_ref() {
            FlagOr::Flag(on) => {
                section.written("tls", field.span());
                on.then(UpstreamTlsTable::default).map(|table| (table, field.span()))
            }
            FlagOr::Table(table) => Some((table.clone(), field.span())),
        },
    };
    let tls = tls.and_then(|(table, span)| {
        let mut section = section.inside("tls", span.clone());
        tls_of(&mut section, &table, http2, around, &mut identity)
    });
    let is_plain = !http2 && header.is_none() && tls.is_none();
    let identity = if is_plain { 0 } else { short(&identity) };
    Way { http2, tls: tls.map(Arc::new), header, identity }
}

/// The first octets of a digest, which nobody can choose.
fn short(octets: &[u8]) -> u64 {
    sha256(octets).first_chunk().map_or(1, |first| u64::from_be_bytes(*first))
}

fn tls_of(
    section: &mut Section<'_>,
    table: &UpstreamTlsTable,
    http2: bool,
    around: &mut Around<'_>,
    identity: &mut Vec<u8>,
) -> Option<UpstreamTls> {
    let name = section.optional("server_name", table.server_name.as_ref(), |text: &String| {
        let name = ServerName::try_from(text.clone());
        name.map_err(|_| Fault::new(format!("`{text}` is neither a hostname nor an IP address")))
    });
    let verify = section.value("verify", &table.verify, d::VERIFY, |flag| Ok(*flag));
    if let (false, Some(field)) = (verify, &table.verify) {
        let fault = Fault::new("anyone on the way can be this route's endpoints");
        section.warn(field.span(), fault.hint("write `ca`, or take `verify` out"));
    }
    let ca = section.optional("ca", table.ca.as_ref(), |text: &String| {
        path(text)?;
        let place = around.folder.join(text);
        let octets = around.files.octets(&place).map_err(|error| {
            Fault::new(format!("`{}` cannot be read: {}", place.shown, reason(&error)))
        })?;
        identity.extend_from_slice(&sha256(&octets));
        authorities(&octets).map_err(|why| Fault::new(format!("`{}` {why}", place.shown)))
    });
    if table.ca.is_some() && ca.is_none() {
        return None;
    }
    let shown = shown(section, table, around)?;
    if let Some(certificate) = &shown {
        for part in &certificate.certified().cert {
            identity.extend_from_slice(&sha256(part));
        }
    }
    identity.extend_from_slice(format!(" tls {verify} {:?}", table.server_name).as_bytes());
    let authorities = verify.then(|| ca.unwrap_or_else(system_authorities));
    let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
    match upstream_config(authorities.as_deref(), shown.as_ref(), protocol) {
        Ok(config) => Some(UpstreamTls { name, config: Arc::new(config) }),
        Err(error) => {
            section.error(section.header(), Fault::new(format!("TLS cannot be set up: {error}")));
            None
        }
    }
}

/// The certificate that endpoints are shown; outer `None`: it is wrong.
#[allow(clippy::option_option)] // As said.
fn shown(
    section: &mut Section<'_>,
    table: &UpstreamTlsTable,
    around: &mut Around<'_>,
) -> Option<Option<Certificate>> {
    let pair: (Option<&Spanned<String>>, Option<&Spanned<String>>) =
        (table.chain.as_ref(), table.key.as_ref());
    if pair.0.is_none() && pair.1.is_none() {
        return Some(None);
    }
    transports::certificate(section, pair, around.folder, around.files).map(Some)
}
