//! `query_log` of `[dns]`: from what is written to [`QueryLog`].

use toml::Spanned;

use super::node::path;
use crate::config::defaults as d;
use crate::config::files::Place;
use crate::config::sheet::Section;
use crate::config::spec::{QueryLogTable, Table};
use crate::config::value::{Fault, share, word};
use crate::model::{LogTarget, QueryLog, QueryLogFormat};

/// Resolves the table; `folder` is where node.toml is.
pub(super) fn resolve(
    dns: &mut Section<'_>,
    table: Option<&Spanned<Table<QueryLogTable>>>,
    folder: &Place,
) -> Option<QueryLog> {
    let field = table?;
    let mut section = dns.inside("query_log", field.span());
    let table = &field.get_ref().0;
    let sample = section.value("sample", &table.sample, d::SAMPLE, share("sample"));
    let words = [("json", QueryLogFormat::Json), ("dnstap", QueryLogFormat::Dnstap)];
    let format =
        section.value("format", &table.format, d::QUERY_LOG_FORMAT, word("format", &words));
    let place = |text: &String| path(text).map(|()| folder.join(text).real);
    let file = section.optional("file", table.file.as_ref(), place);
    let socket = section.optional("socket", table.socket.as_ref(), place);
    match (&table.file, &table.socket) {
        (Some(_), Some(both)) => {
            let fault = Fault::new("`file` and `socket` are both there");
            section.error(both.span(), fault.hint("keep one of them"));
        }
        (None, None) => {
            let fault = Fault::new("`file` is missing in `dns.query_log`");
            section.lacks("file", fault.hint("or `socket`, with format \"dnstap\""));
        }
        (None, Some(field)) if format == QueryLogFormat::Json => {
            let fault = Fault::new("`socket` speaks frame streams, not lines of JSON");
            section.error(field.span(), fault.hint("write `format = \"dnstap\"`, or `file`"));
        }
        _ => {}
    }
    let target = file.map(LogTarget::File).or(socket.map(LogTarget::Socket))?;
    Some(QueryLog { sample, target, format })
}
