//! The keys of kind `calculated`, and the loops that such monitors must not form.

use std::time::Duration;

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::names::Names;
use crate::config::resolve::loops;
use crate::config::sheet::{Section, Sheet};
use crate::config::spec::{MonitorTable, Named};
use crate::config::value::{Fault, whole_in};
use crate::model::{Calculated, Check, Monitor, MonitorId, Reach, Vantage};

/// Monitors with their weights, and what those that are up must weigh.
type Sum = (Vec<(MonitorId, u32)>, u32);

/// Resolves the keys of the kind.
pub(super) fn resolve(
    section: &mut Section<'_>,
    table: &MonitorTable,
    monitors: &Names<MonitorId>,
) -> Option<Calculated> {
    let read = |flag: &bool| Ok(*flag);
    let invert = section.value("invert", &table.invert, d::INVERT, read);
    let (of, threshold) = match (&table.of, &table.weights) {
        (Some(_), Some(weights)) => {
            let fault = Fault::new("`of` counts monitors, `weights` weighs them");
            section.error(weights.span(), fault.hint("keep one of the two"));
            return None;
        }
        (None, None) => {
            let fault = Fault::new("`of` is missing, the monitors this one is calculated from");
            section.lacks("of", fault.hint("or `weights = { NAME = 2 }` with `threshold`"));
            return None;
        }
        (Some(_), None) => counted(section, table, monitors)?,
        (None, Some(_)) => weighed(section, table, monitors)?,
    };
    Some(Calculated { of, threshold, invert })
}

/// `of` and `at_least`.
fn counted(
    section: &mut Section<'_>,
    table: &MonitorTable,
    monitors: &Names<MonitorId>,
) -> Option<Sum> {
    refuse(section, "threshold", table.threshold.as_ref(), "write `at_least`");
    let fault = Fault::new("`of` is empty, so there is nothing to calculate from");
    section.not_empty(&table.of, fault);
    let of = section.list("of", &table.of, |name| monitors.find(name));
    let read = whole_in("at_least", &d::AT_LEAST_RANGE);
    let at_least = section.required("at_least", table.at_least.as_ref(), read)?;
    let most = table.of.as_ref().map_or(0, |field| field.get_ref().len() as u32);
    enough(section, "at_least", table.at_least.as_ref(), at_least, most)?;
    Some((of.into_iter().map(|id| (id, 1)).collect(), at_least))
}

/// `weights` and `threshold`.
fn weighed(
    section: &mut Section<'_>,
    table: &MonitorTable,
    monitors: &Names<MonitorId>,
) -> Option<Sum> {
    refuse(section, "at_least", table.at_least.as_ref(), "write `threshold`");
    let field = table.weights.as_ref()?;
    section.written("weights", field.span());
    let mut of = Vec::new();
    let mut most = 0_u32;
    for (name, weight) in field.get_ref() {
        let read = whole_in("weights", &d::MONITOR_WEIGHT_RANGE)(weight.get_ref());
        let weight = read.map_err(|fault| section.error(weight.span(), fault)).ok();
        most = most.saturating_add(weight.unwrap_or(0));
        match monitors.find(name.get_ref()) {
            Ok(id) => of.extend(id.zip(weight)),
            Err(fault) => section.error(name.span(), fault),
        }
    }
    let read = whole_in("threshold", &d::THRESHOLD_RANGE);
    let threshold = section.required("threshold", table.threshold.as_ref(), read)?;
    enough(section, "threshold", table.threshold.as_ref(), threshold, most)?;
    Some((of, threshold))
}

/// Refuses a key of the other form.
fn refuse(section: &mut Section<'_>, key: &str, field: Option<&Spanned<i64>>, hint: &str) {
    if let Some(field) = field {
        let fault = Fault::new(format!("`{key}` has no effect here"));
        section.error(field.span(), fault.hint(hint));
    }
}

/// Refuses a bound that can never be met.
fn enough(
    section: &mut Section<'_>,
    key: &str,
    field: Option<&Spanned<i64>>,
    wanted: u32,
    most: u32,
) -> Option<()> {
    if wanted <= most {
        return Some(());
    }
    let fault = Fault::new(format!("`{key}` is {wanted}, and all monitors together give {most}"));
    section.error(field?.span(), fault.hint("so this monitor would never be up"));
    None
}

/// The monitor around the check; nothing of it is probed.
pub(super) fn monitor(name: String, calculated: Calculated) -> Monitor {
    Monitor {
        name,
        check: Check::Calculated(calculated),
        reach: Reach::default(),
        interval: d::INTERVAL.value,
        timeout: d::TIMEOUT.value,
        fall: 1,
        rise: 1,
        vantage: Vantage::Any,
        hold_down: Duration::ZERO,
    }
}

/// Reports monitors that are calculated from themselves, each loop once, with the way around.
pub(in crate::config::resolve) fn loops(
    sheet: &mut Sheet,
    tables: &Named<MonitorTable>,
    monitors: &[Option<Monitor>],
) {
    let below = |at: usize| match monitors.get(at).and_then(Option::as_ref).map(|m| &m.check) {
        Some(Check::Calculated(rule)) => rule.of.iter().map(|(id, _)| usize::from(id.0)).collect(),
        _ => Vec::new(),
    };
    let name = |at: usize| tables.keys().nth(at).map(|name| name.get_ref().as_str());
    for way in loops::loops(tables.len(), below) {
        let Some(first) = way.first().and_then(|at| tables.keys().nth(*at)) else { continue };
        let what = format!("monitor `{}` is calculated from itself", first.get_ref());
        sheet.error(first.span(), Fault::new(what).hint(loops::words(&way, name)));
    }
}
