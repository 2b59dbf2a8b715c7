//! `cache` of a route: which replies are kept.

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{CacheTable, Table};
use crate::config::value::{Fault, duration_in, size_in};
use crate::model::CacheRules;

/// What is kept; `None`: nothing.
pub(super) fn cache(
    route: &mut Section<'_>,
    table: Option<&Spanned<Table<CacheTable>>>,
) -> Option<CacheRules> {
    let table = table?;
    let mut section = route.inside("cache", table.span());
    let fields = &table.get_ref().0;
    let read = size_in("size", &d::CACHE_SIZE_RANGE);
    let size = section.value("size", &fields.size, d::CACHE_SIZE, read);
    let read = size_in("object", &d::CACHE_OBJECT_RANGE);
    let object = section.value("object", &fields.object, d::CACHE_OBJECT, read);
    if object > size {
        let fault = Fault::new("`object` is larger than `size`");
        section.error(table.span(), fault.hint("nothing of that length would ever be kept"));
    }
    let mut stale = |key: &'static str, field| {
        section.value(key, field, d::CACHE_STALE, duration_in(key, &d::CACHE_STALE_RANGE))
    };
    Some(CacheRules {
        size,
        object,
        stale_while_revalidate: stale("stale_while_revalidate", &fields.stale_while_revalidate),
        stale_if_error: stale("stale_if_error", &fields.stale_if_error),
        collapse: section.value("collapse", &fields.collapse, d::CACHE_COLLAPSE, |yes| Ok(*yes)),
        obey_requests: section.value(
            "obey_requests",
            &fields.obey_requests,
            d::CACHE_OBEY,
            |yes| Ok(*yes),
        ),
    })
}
