//! `upstream` of a route: how endpoints are spoken to.

use toml::Spanned;

use super::way::{Around, way};
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{FlagOr, Table, UpstreamTable};
use crate::config::value::whole_in;
use crate::model::Upstream;

/// `upstream` of a route.
pub(super) fn upstream(
    route: &mut Section<'_>,
    table: Option<&Spanned<Table<UpstreamTable>>>,
    around: &mut Around<'_>,
) -> Upstream {
    let mut section = route.inside("upstream", table.map(Spanned::span).unwrap_or_default());
    let empty = UpstreamTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    let secure =
        table.tls.as_ref().is_some_and(|tls| !matches!(tls.get_ref(), FlagOr::Flag(false)));
    let preset = if secure { d::HTTPS_PORT } else { d::UPSTREAM_PORT };
    let port = section.value("port", &table.port, preset, whole_in("port", &d::PORT_RANGE));
    let read = whole_in("max_connections", &d::MAX_CONNECTIONS_RANGE);
    let max_connections =
        section.value("max_connections", &table.max_connections, d::MAX_CONNECTIONS, read);
    let way = way(&mut section, table, around);
    Upstream { port, max_connections, way }
}
