//! `failback` of a service.

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{FailbackTable, TextOr};
use crate::config::value::{Fault, duration_in, word};
use crate::model::Failback;

/// Resolves `"auto"`, `"manual"`, `{ delay = "5m" }` or `{ ramp = "10m" }`.
pub(super) fn resolve(
    section: &mut Section<'_>,
    field: Option<&Spanned<TextOr<FailbackTable>>>,
) -> Failback {
    let Some(field) = field else {
        section.default("failback", d::FAILBACK.written);
        return d::FAILBACK.value;
    };
    let words = [("auto", Failback::Auto), ("manual", Failback::Manual)];
    let read = match field.get_ref() {
        TextOr::Text(text) => {
            section.read("failback", field.span(), word("failback", &words)(text))
        }
        TextOr::Table(FailbackTable { delay: Some(delay), ramp: None }) => {
            let read = duration_in("delay", &d::FAILBACK_RANGE)(delay.get_ref());
            let mut inside = section.inside("failback", field.span());
            inside.read("delay", delay.span(), read.map(Failback::Delay))
        }
        TextOr::Table(FailbackTable { delay: None, ramp: Some(ramp) }) => {
            let read = duration_in("ramp", &d::FAILBACK_RANGE)(ramp.get_ref());
            let mut inside = section.inside("failback", field.span());
            inside.read("ramp", ramp.span(), read.map(Failback::Ramp))
        }
        TextOr::Table(_) => {
            let fault = Fault::new("`failback` needs either `delay` or `ramp`")
                .hint("{ delay = \"5m\" } or { ramp = \"10m\" }");
            section.inside("failback", field.span()).lacks("delay", fault);
            None
        }
    };
    read.unwrap_or(d::FAILBACK.value)
}
