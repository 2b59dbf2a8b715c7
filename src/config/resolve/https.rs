//! `https` of a service: from what is written to [`Https`].

use toml::Spanned;

use super::fleet::FleetDraft;
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{HttpsTable, Table};
use crate::config::value::{Fault, unknown_word, whole_in};
use crate::model::{Address, Https, Service};
use crate::name::Name;

/// The protocols of HTTPS by their ALPN identifiers (RFC 7301 section 6, RFC 9114 section 3.1).
const PROTOCOLS: [&str; 3] = ["h3", "h2", "http/1.1"];

/// Warns of records that are never answered: the CNAME that hostnames alone are answered with
/// stands for every type (RFC 1034 section 3.6.2). The apex cannot have one.
pub(super) fn idle(
    section: &mut Section<'_>,
    table: Option<&Spanned<Table<HttpsTable>>>,
    service: &Service,
    origin: &Name,
    fleet: &FleetDraft,
) {
    let Some(field) = table else { return };
    let pools = service.pools.iter().filter_map(|id| fleet.pools.get(usize::from(id.0))?.as_ref());
    let mut endpoints = pools.flat_map(|pool| fleet.endpoints_of(pool)).peekable();
    let some = endpoints.peek().is_some();
    let hosts = endpoints.all(|endpoint| matches!(endpoint.address, Address::Host(_)));
    if some && hosts && service.answers == Some(1) && service.owner != *origin {
        let fault = Fault::new("https has no effect, since every endpoint is a hostname");
        section.warn(field.span(), fault.hint("every type is answered with a CNAME"));
    }
}

/// Resolves the table; `None` when a mistake leaves nothing to answer.
pub(super) fn resolve(
    section: &mut Section<'_>,
    table: Option<&Spanned<Table<HttpsTable>>>,
) -> Option<Https> {
    let field = table?;
    let mut section = section.inside("https", field.span());
    let table = &field.get_ref().0;
    if table.alpn.is_none() {
        section.missing("alpn");
    }
    let fault =
        Fault::new("`alpn` is empty").hint("the protocols spoken, such as [\"h2\", \"h3\"]");
    section.not_empty(&table.alpn, fault);
    let alpn = section.list("alpn", &table.alpn, |text| match text {
        known if PROTOCOLS.contains(&known.as_str()) => Ok(Some(known.clone())),
        other => Err(unknown_word("protocol", other, &PROTOCOLS)),
    });
    let port = section.optional("port", table.port.as_ref(), whole_in("port", &d::PORT_RANGE));
    (!alpn.is_empty()).then_some(Https { alpn, port })
}
