//! `unavailable` of a route: the reply when no endpoint can take a request.

use std::time::Duration;

use http::StatusCode;
use toml::Spanned;

use super::body::{Written, body};
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{Table, UnavailableTable};
use crate::config::value::{Fault, duration_in};
use crate::model::Unavailable;

/// Resolves the table; `None`: the reply is the usual one.
pub(super) fn unavailable(
    route: &mut Section<'_>,
    field: Option<&Spanned<Table<UnavailableTable>>>,
    folder: &Place,
    files: &mut Files,
) -> Option<Unavailable> {
    let mut section = route.inside("unavailable", field.map(Spanned::span).unwrap_or_default());
    let empty = UnavailableTable::default();
    let table = field.map_or(&empty, |table| &table.get_ref().0);
    let status = section.value("status", &table.status, d::UNAVAILABLE_STATUS, |number| {
        let known = u16::try_from(*number).ok().filter(|code| d::UNAVAILABLE_RANGE.contains(code));
        known.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| {
            Fault::new(format!("`status` must be from 500 to 599, found `{number}`"))
        })
    });
    let read = duration_in("retry_after", &d::RETRY_AFTER_RANGE);
    let retry_after = section.value("retry_after", &table.retry_after, d::RETRY_AFTER, |text| {
        let time = read(text)?;
        if time.subsec_millis() != 0 {
            // RFC 9110 section 10.2.3.
            return Err(Fault::new("`retry_after` counts whole seconds"));
        }
        Ok(time)
    });
    let cause_header =
        section.value("cause_header", &table.cause_header, d::CAUSE_HEADER, |flag| Ok(*flag));
    let written = Written {
        body: &table.body,
        body_file: &table.body_file,
        content_type: &table.content_type,
    };
    let body = body(&mut section, &written, folder, files);
    let retry_after = Some(retry_after).filter(|time| *time > Duration::ZERO);
    field.map(|_| Unavailable { status, retry_after, cause_header, body })
}
