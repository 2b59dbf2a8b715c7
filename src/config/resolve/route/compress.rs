//! `compress` of a route: which bodies become shorter, and how.

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{CompressTable, FlagOr};
use crate::config::value::{Fault, size_in, word};
use crate::model::{Compress, Encoding};

/// Resolves the key; `None`: bodies stay as they are.
pub(super) fn compress(
    route: &mut Section<'_>,
    field: Option<&Spanned<FlagOr<CompressTable>>>,
) -> Option<Compress> {
    let Some(field) = field else {
        route.default("compress", "false");
        return None;
    };
    let empty = CompressTable::default();
    let table = match field.get_ref() {
        FlagOr::Flag(false) => {
            route.written("compress", field.span());
            return None;
        }
        FlagOr::Flag(true) => &empty,
        FlagOr::Table(table) => table,
    };
    route.written("compress", field.span());
    let mut section = route.inside("compress", field.span());
    let fault = Fault::new("`encodings` is empty").hint("write `compress = false`");
    section.not_empty(&table.encodings, fault);
    let words = Encoding::ALL.map(|encoding| (encoding.name(), encoding));
    let read = word("encoding", &words);
    let mut encodings = section.list("encodings", &table.encodings, |text| read(text).map(Some));
    if table.encodings.is_none() {
        section.default("encodings", d::ENCODINGS);
        encodings = Encoding::ALL.to_vec();
    }
    let fault = Fault::new("`types` is empty").hint("leave it out for those that compress well");
    section.not_empty(&table.types, fault);
    let mut types = section.list("types", &table.types, |text| media_range(text).map(Some));
    if table.types.is_none() {
        section.default("types", d::COMPRESSED_TYPES.written);
        types = d::COMPRESSED_TYPES.value.map(str::to_owned).to_vec();
    }
    let read = size_in("min_size", &d::MIN_SIZE_RANGE);
    let min_size = section.value("min_size", &table.min_size, d::MIN_SIZE, read);
    Some(Compress { encodings, types, min_size })
}

/// `type/subtype` or `type/*`.
fn media_range(text: &str) -> Result<String, Fault> {
    let token = |part: &str| {
        let sound = |octet: u8| octet.is_ascii_alphanumeric() || b"-+._".contains(&octet);
        !part.is_empty() && part.bytes().all(sound)
    };
    match text.split_once('/') {
        Some((kind, sub)) if token(kind) && (sub == "*" || token(sub)) => {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(Fault::new(format!("`{text}` is not a media type"))
            .hint("such as `text/html` or `text/*`, without parameters")),
    }
}
