//! `request_headers` and `response_headers` of a route: fields that are set, added and removed.

use std::collections::BTreeMap;

use http::HeaderName;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use toml::Spanned;

use crate::config::sheet::Section;
use crate::config::spec::{EditsTable, Field, Table};
use crate::config::value::Fault;
use crate::model::{Edits, Placeholder, Template};

/// Whose head is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Request,
    Response,
}

impl Head {
    fn key(self) -> &'static str {
        match self {
            Self::Request => "request_headers",
            Self::Response => "response_headers",
        }
    }

    /// What can be filled in when it is edited.
    fn placeholders(self) -> Vec<Placeholder> {
        let mut known = Placeholder::ALL.to_vec();
        // Which endpoint it will be is decided later, and anew with each try.
        known.retain(|known| self == Self::Response || *known != Placeholder::Endpoint);
        known
    }
}

/// Fields that say where a message ends or what the connection does (RFC 9110 section 7.6.1, RFC
/// 9112 section 6): those are no operator's to edit.
fn is_framing(name: &HeaderName) -> bool {
    let known = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, TE, TRAILER];
    known.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Resolves the table.
pub(super) fn edits(
    route: &mut Section<'_>,
    field: Option<&Spanned<Table<EditsTable>>>,
    head: Head,
) -> Edits {
    let Some(field) = field else { return Edits::default() };
    let mut section = route.inside(head.key(), field.span());
    let table = &field.get_ref().0;
    let set = fields(&mut section, "set", &table.set, head);
    let add = fields(&mut section, "add", &table.add, head);
    let remove = section.list("remove", &table.remove, |text| {
        let name = name(text, head)?;
        if name == HOST && head == Head::Request {
            let fault = Fault::new("a request without `host` goes nowhere");
            return Err(fault.hint("`set` can give it another value"));
        }
        Ok(Some(name))
    });
    for (name, _) in set.iter().chain(&add) {
        if remove.contains(name) {
            let fault = Fault::new(format!("`{name}` is removed, and also set or added"));
            section.error(field.span(), fault.hint("`set` alone replaces what was there"));
        }
    }
    let edits = Edits { remove, set, add };
    if edits.is_empty() && table.set.is_none() && table.add.is_none() && table.remove.is_none() {
        let fault = Fault::new(format!("`{}` is empty", head.key()));
        section.lacks("set", fault.hint("give it `set`, `add` or `remove`"));
    }
    edits
}

/// The fields of `set` or `add`.
fn fields(
    section: &mut Section<'_>,
    key: &str,
    field: &Field<BTreeMap<Spanned<String>, Spanned<String>>>,
    head: Head,
) -> Vec<(HeaderName, Template)> {
    let Some(field) = field else { return Vec::new() };
    section.written(key, field.span());
    let mut read: Vec<(HeaderName, Template)> = Vec::new();
    for (text, value) in field.get_ref() {
        let name = match name(text.get_ref(), head) {
            Ok(name) => name,
            Err(fault) => {
                section.error(text.span(), fault);
                continue;
            }
        };
        if read.iter().any(|(other, _)| *other == name) {
            let fault = Fault::new(format!("header `{name}` is there twice"));
            section.error(text.span(), fault.hint("names of headers do not tell case"));
        }
        if name == HOST && (key == "add" || value.get_ref().is_empty()) {
            let fault = Fault::new("a request has one `host`");
            section.error(text.span(), fault.hint("`set` can give it another value"));
        }
        match Template::parse(value.get_ref(), &head.placeholders()) {
            Ok(template) => read.push((name, template)),
            Err(error) => section.error(value.span(), Fault::new(error.to_string())),
        }
    }
    read
}

fn name(text: &str, head: Head) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Fault::new(format!("`{text}` is not a header name")))?;
    if is_framing(&name) {
        let fault = Fault::new(format!("`{name}` cannot be edited"));
        return Err(fault.hint("it says where messages end or what the connection does"));
    }
    if name == HOST && head == Head::Response {
        return Err(Fault::new("`host` is no field of a reply"));
    }
    Ok(name)
}
