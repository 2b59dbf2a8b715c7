//! `[proxy.access_log]`: from what is written to [`AccessLog`].

use toml::Spanned;

use super::node::path;
use crate::config::defaults as d;
use crate::config::files::Place;
use crate::config::sheet::Section;
use crate::config::spec::{AccessLogTable, Table};
use crate::config::value::{Fault, share};
use crate::model::AccessLog;

/// Resolves the table; `folder` is where node.toml is.
pub(super) fn resolve(
    proxy: &mut Section<'_>,
    table: Option<&Spanned<Table<AccessLogTable>>>,
    folder: &Place,
) -> Option<AccessLog> {
    let field = table?;
    let mut section = proxy.inside("access_log", field.span());
    let table = &field.get_ref().0;
    let sample = section.value("sample", &table.sample, d::ACCESS_SAMPLE, share("sample"));
    let errors = section.value("errors", &table.errors, d::ACCESS_ERRORS, |flag| Ok(*flag));
    let place = |text: &String| path(text).map(|()| folder.join(text).real);
    let file = section.optional("file", table.file.as_ref(), place);
    let stderr = section.value("stderr", &table.stderr, d::ACCESS_STDERR, |flag| Ok(*flag));
    if table.file.is_some() && stderr {
        let fault = Fault::new("`file` and `stderr` are both there");
        section.error(field.span(), fault.hint("keep one of them"));
    }
    if table.file.is_none() && !stderr {
        section.lacks(
            "file",
            Fault::new("`file` is missing in `proxy.access_log`").hint("or write `stderr = true`"),
        );
        return None;
    }
    Some(AccessLog { file, sample, errors })
}
