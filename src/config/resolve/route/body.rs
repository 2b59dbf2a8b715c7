//! A body that replies of the proxy have: a text or a file, bounded, and what it is.

use bytes::Bytes;
use http::HeaderValue;

use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::resolve::node::octets;
use crate::config::sheet::Section;
use crate::config::spec::Field;
use crate::config::value::{Fault, size};

/// Where a body may stand in a table.
pub(super) struct Written<'t> {
    pub(super) body: &'t Field<String>,
    pub(super) body_file: &'t Field<String>,
    pub(super) content_type: &'t Field<String>,
}

/// The body and its type; `None`: there is none. `folder` is where the file with the table is.
pub(super) fn body(
    section: &mut Section<'_>,
    written: &Written<'_>,
    folder: &Place,
    files: &mut Files,
) -> Option<(HeaderValue, Bytes)> {
    let text = section.optional("body", written.body.as_ref(), |text| bounded(text.as_bytes()));
    let file = section.optional("body_file", written.body_file.as_ref(), |text| {
        let (octets, _) = octets(text, folder, files)?;
        bounded(&octets)
    });
    if let (Some(_), Some(both)) = (written.body, written.body_file) {
        let fault = Fault::new("`body` and `body_file` are both there");
        section.error(both.span(), fault.hint("keep one of them"));
    }
    let preset = HeaderValue::from_static(d::CONTENT_TYPE.value);
    let is_there = written.body.is_some() || written.body_file.is_some();
    let kind = match written.content_type {
        Some(field) if !is_there => {
            let fault = Fault::new("`content_type` has no effect without a body");
            section.error(field.span(), fault.hint("add `body` or `body_file`"));
            preset
        }
        None if is_there => {
            section.default("content_type", d::CONTENT_TYPE.written);
            preset
        }
        field => {
            let read = section.optional("content_type", field.as_ref(), |text| media_type(text));
            read.unwrap_or(preset)
        }
    };
    text.or(file).map(|body| (kind, body))
}

fn bounded(octets: &[u8]) -> Result<Bytes, Fault> {
    if octets.len() as u64 <= d::OWN_BODY_MAX {
        return Ok(Bytes::copy_from_slice(octets));
    }
    let fault = Fault::new(format!("a body of {} octets is too long", octets.len()));
    Err(fault.hint(format!("{} at most; what is longer is for a server", size(d::OWN_BODY_MAX))))
}

/// A media type (RFC 9110 section 8.3.1), its parameters as they are.
fn media_type(text: &str) -> Result<HeaderValue, Fault> {
    let plain = text.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| {
        let other = |octet: u8| b"!#$&-^_.+".contains(&octet);
        !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || other(octet))
    };
    let sound = plain.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
    HeaderValue::from_str(text).ok().filter(|_| sound).ok_or_else(|| {
        Fault::new(format!("`{text}` is not a media type")).hint("such as `text/html`")
    })
}
