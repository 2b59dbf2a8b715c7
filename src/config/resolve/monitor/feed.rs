//! The keys of kind `feed`.

use crate::config::defaults as d;
use crate::config::files::Place;
use crate::config::sheet::Section;
use crate::config::spec::MonitorTable;
use crate::config::value::{Fault, duration_in, word};
use crate::model::{FeedCheck, Stale};

/// Resolves the keys of the kind; `folder` is where the file is.
pub(super) fn resolve(
    section: &mut Section<'_>,
    table: &MonitorTable,
    folder: &Place,
) -> FeedCheck {
    let file = section.optional("file", table.file.as_ref(), |text| {
        if text.is_empty() {
            return Err(Fault::new("`file` is empty").hint("the path of the file of reports"));
        }
        Ok(folder.join(text).real)
    });
    let read = duration_in("expires", &d::REPORT_RANGE);
    let expires = section.value("expires", &table.expires, d::REPORT_EXPIRES, read);
    let words = [("unknown", Stale::Unknown), ("down", Stale::Down), ("keep", Stale::Keep)];
    let stale = section.value("stale", &table.stale, d::STALE, word("stale", &words));
    FeedCheck { file, expires, stale }
}
