//! `[admin]`: where the listener is, and who may use it.

use std::net::SocketAddr;
use std::sync::Arc;

use toml::Spanned;

use super::node::{octets, path};
use super::transports::certificate;
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{AdminTable, AdminTlsTable, Table};
use crate::config::value::{Fault, hostname, listener};
use crate::model::{Admin, AdminListen, AdminTls, Dns, Token};
use crate::tls::{authorities, roots};

/// How a socket file is written as listener.
const UNIX: &str = "unix:";

/// Resolves the table; `folder` is where node.toml is, `tokens` what tokens.toml says.
pub(super) fn resolve(
    top: &mut Section<'_>,
    table: &Spanned<Table<AdminTable>>,
    dns: Option<&Dns>,
    tokens: Option<Vec<Token>>,
    folder: &Place,
    files: &mut Files,
) -> Admin {
    let mut section = top.inside("admin", table.span());
    let table = &table.get_ref().0;
    let read = |text: &String| listen(text, dns, folder);
    let (preset, field) = (d::ADMIN_LISTEN, &table.listen);
    let preset = d::Preset { value: AdminListen::Tcp(preset.value), written: preset.written };
    let listen = section.value("listen", field, preset, read);
    let hosts = section.list("hosts", &table.hosts, |text| {
        let name = hostname(text)?.to_string();
        Ok(Some(name.strip_suffix('.').unwrap_or(&name).to_owned()))
    });
    section.optional("tokens", table.tokens.as_ref(), |text| path(text));
    let tls = table.tls.as_ref().and_then(|table| tls(&mut section, table, folder, files));
    let at = table.listen.as_ref().map_or_else(|| section.header(), Spanned::span);
    let certified = table.tls.as_ref().is_some_and(|tls| tls.get_ref().0.client_ca.is_some());
    let shown = table.listen.as_ref().map(|listen| listen.get_ref().as_str()).unwrap_or_default();
    if !listen.is_local() && table.tokens.is_none() && !certified {
        let fault = Fault::new(format!("`{shown}` is not on loopback, and everybody may use it"));
        let hint = "add `tokens = \"tokens.toml\"`, or `tls` with `client_ca`";
        section.error(at, fault.hint(hint));
    } else if !listen.is_local() && table.tls.is_none() {
        let fault = Fault::new(format!("tokens can be read on the way to `{shown}`"));
        section.warn(at, fault.hint("add `tls`, or listen on loopback behind a proxy that has it"));
    }
    Admin { listen, hosts, tokens, tls }
}

/// An address with a port that DNS does not need, or a socket file.
fn listen(text: &str, dns: Option<&Dns>, folder: &Place) -> Result<AdminListen, Fault> {
    if let Some(file) = text.strip_prefix(UNIX) {
        path(file)?;
        return Ok(AdminListen::Unix(folder.join(file).real));
    }
    let read = listener(text, 8_053)?;
    let same = |other: &&SocketAddr| {
        other.port() == read.port()
            && other.is_ipv4() == read.is_ipv4()
            && (other.ip() == read.ip() || other.ip().is_unspecified())
    };
    if let Some(other) = dns.and_then(|dns| dns.listen.iter().find(same)) {
        return Err(Fault::new(format!("`{text}` is taken by `{other}` of [dns]"))
            .hint("DNS listens on TCP as well; write another port"));
    }
    Ok(AdminListen::Tcp(read))
}

/// `tls`: its certificate, and the authorities of its clients.
fn tls(
    admin: &mut Section<'_>,
    table: &Spanned<Table<AdminTlsTable>>,
    folder: &Place,
    files: &mut Files,
) -> Option<AdminTls> {
    let mut section = admin.inside("tls", table.span());
    let table = &table.get_ref().0;
    let pair = (table.chain.as_ref(), table.key.as_ref());
    let certificate = certificate(&mut section, pair, folder, files);
    let client_ca = section.optional("client_ca", table.client_ca.as_ref(), |text| {
        let (octets, place) = octets(text, folder, files)?;
        let found = authorities(&octets);
        found
            .map(|found| Arc::new(roots(&found)))
            .map_err(|why| Fault::new(format!("`{}` {why}", place.shown)))
    });
    if table.client_ca.is_some() && client_ca.is_none() {
        return None;
    }
    Some(AdminTls { certificate: certificate?, client_ca })
}
