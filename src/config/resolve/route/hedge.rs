//! `hedge` of a route.

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{DurationText, RouteTable};
use crate::config::value::{Fault, duration_in, share};
use crate::model::{Hedge, HedgeAfter, RouteTimeouts};

/// Resolves the table; without one there is no hedging.
pub(super) fn hedge(
    route: &mut Section<'_>,
    table: &RouteTable,
    timeouts: RouteTimeouts,
) -> Option<Hedge> {
    let field = table.hedge.as_ref()?;
    let mut section = route.inside("hedge", field.span());
    let table = &field.get_ref().0;
    let after = section.value("after", &table.after, d::HEDGE_AFTER, after);
    let budget = section.value("budget", &table.budget, d::HEDGE_BUDGET, share("budget"));
    if let HedgeAfter::Time(time) = after
        && time >= timeouts.response
    {
        let span = table.after.as_ref().map_or_else(|| field.span(), Spanned::span);
        let fault = Fault::new("the hedge comes no sooner than the end of `response`");
        section.warn(span, fault.hint("write the time that nearly all replies take"));
    }
    Some(Hedge { after, budget })
}

/// A time, or `"p95"`.
fn after(text: &DurationText) -> Result<HedgeAfter, Fault> {
    if text.0 == "p95" {
        return Ok(HedgeAfter::P95);
    }
    duration_in("after", &d::HEDGE_AFTER_RANGE)(text).map(HedgeAfter::Time)
}
