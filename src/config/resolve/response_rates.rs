//! The keys of `[dns.limits]` that bound the rate of answers.

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{LimitsTable, ResponseRateTable};
use crate::config::value::{Fault, prefix, rate_in, whole_in};
use crate::model::ResponseRates;

/// Resolves the keys; `limits` is the section of `table`.
pub(super) fn resolve(limits: &mut Section<'_>, table: &LimitsTable) -> ResponseRates {
    let header = table.response_rate.as_ref().map(Spanned::span).unwrap_or_default();
    let mut section = limits.inside("response_rate", header);
    let empty = ResponseRateTable::default();
    let rates = table.response_rate.as_ref().map_or(&empty, |table| &table.get_ref().0);
    let mut rate =
        |key, field, preset| section.value(key, field, preset, rate_in(key, &d::RATE_RANGE));
    let positive = rate("positive", &rates.positive, d::POSITIVE_RATE);
    let negative = rate("negative", &rates.negative, d::NEGATIVE_RATE);
    let error = rate("error", &rates.error, d::ERROR_RATE);
    let slip = limits.value("slip", &table.slip, d::SLIP, whole_in("slip", &d::SLIP_RANGE));
    if table.exempt.is_none() {
        limits.default("exempt", d::EXEMPT);
    }
    let exempt = limits.list("exempt", &table.exempt, |text| prefix(text).map(Some));
    let dry_run = limits.value("dry_run", &table.dry_run, d::DRY_RUN, |flag| Ok(*flag));
    let read = ResponseRates { positive, negative, error, slip, exempt, dry_run };
    let idle = [
        ("slip", table.slip.as_ref().map(Spanned::span)),
        ("exempt", table.exempt.as_ref().map(Spanned::span)),
        ("dry_run", table.dry_run.as_ref().map(Spanned::span)),
    ];
    for (key, span) in idle.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        if read.is_off() {
            let fault = Fault::new(format!("`{key}` has no effect while every rate is \"off\""));
            limits.warn(span, fault);
        }
    }
    read
}
