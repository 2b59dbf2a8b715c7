//! Reading one TOML file into its spec, all mistakes of form at once.
//!
//! What [`super::syntax`] leaves is given to serde, which stops at the first mistake. So each one
//! is reported, cut out of the parsed file, and the rest is read again, until nothing is wrong
//! with what remains.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::effective::Effective;
use super::sheet::Sheet;
use super::syntax::{Mended, mend, words};
use super::tree::{Entry, Step, cut};
use super::value::Fault;
use super::wording::{date, is_unknown_key, is_wrong_type, mistyped};
use crate::diagnostic::{Diagnostic, Location, Source};

/// Passes over one file; each takes out one kind of mistake.
const PASSES_MAX: usize = 60;

/// Reads a file into its spec; what could not be read is left out and reported in the sheet.
pub(super) fn read<T: DeserializeOwned + Default>(
    source: Source,
    effective: Option<Vec<Effective>>,
) -> (T, Sheet) {
    let Mended { text, faults, broken } = mend(&source);
    let mut sheet = Sheet { broken, effective, ..Sheet::new(source) };
    let mut lines = Vec::new();
    for (at, fault) in faults {
        lines.push(sheet.source.locate(at.clone()).line);
        sheet.error(at, fault);
    }
    let (mut table, errors) = DeTable::parse_recoverable(&text);
    for (at, fault) in words(&mut table, &errors, &text, &mut sheet.cuts) {
        // One slip in a line is enough to mend; the next may come from the first.
        if !lines.contains(&sheet.source.locate(at.clone()).line) {
            sheet.error(at, fault);
        }
    }
    dates(&mut sheet, &mut table);
    let spec = spec(&mut sheet, table);
    sheet.broken |= spec.is_none();
    (spec.unwrap_or_default(), sheet)
}

/// Reports dates, which TOML has and this language has not.
fn dates(sheet: &mut Sheet, table: &mut Spanned<DeTable<'_>>) {
    let mut spans = Vec::new();
    let doomed = &mut |entry: &Entry<'_, '_>| {
        let is_date = matches!(entry.value.get_ref(), DeValue::Datetime(_));
        if is_date {
            spans.push(entry.value.span());
        }
        is_date
    };
    cut(table, doomed, &mut sheet.cuts);
    for span in spans {
        let fault = date(sheet.source.text().get(span.clone()).unwrap_or_default());
        sheet.error(span, fault);
    }
}

/// The spec of what can be read; `None` when the reader cannot say where it stumbled, or does so
/// too often.
fn spec<T: DeserializeOwned>(sheet: &mut Sheet, mut table: Spanned<DeTable<'_>>) -> Option<T> {
    for _ in 0..PASSES_MAX {
        let error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(spec) => return Some(spec),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        let mut wrong: Option<(Vec<Step>, &str)> = None;
        let find = &mut |entry: &Entry<'_, '_>| {
            let here = entry.key.as_ref() == Some(&span) || entry.value.span() == span;
            if here && wrong.is_none() {
                wrong = Some((entry.path.to_vec(), entry.value.get_ref().type_str()));
            }
            false
        };
        cut(&mut table, find, &mut Vec::new());
        let Some((path, kind)) = wrong else {
            sheet.error(span, Fault::new(error.message()));
            return None;
        };
        let unknown = is_unknown_key(error.message());
        let general = unknown || is_wrong_type(error.message());
        let mut faults = Vec::new();
        let doomed = &mut |entry: &Entry<'_, '_>| {
            let alike = unknown || entry.value.get_ref().type_str() == kind;
            let doomed = entry.path == path || (general && alike && is_twin(entry.path, &path));
            if doomed {
                let at = entry.key.clone().filter(|_| unknown);
                let fault = mistyped(error.message(), entry.path, entry.value.get_ref());
                faults.push((at.unwrap_or_else(|| entry.value.span()), fault));
            }
            doomed
        };
        cut(&mut table, doomed, &mut sheet.cuts);
        for (span, fault) in faults {
            sheet.error(span, fault);
        }
    }
    let at = Location::file(sheet.source.file());
    let what = format!("more than {PASSES_MAX} kinds of mistakes, the rest is not shown");
    sheet.findings.push(Diagnostic::error(at, what));
    None
}

/// Tables that hold tables by name.
const NAMED: [&str; 5] = ["region", "monitor", "pool", "network", "service"];

/// Whether the same key of another table of the kind is meant: `[pool.a] x` and `[pool.b] x`.
/// Taking all at once saves a pass for each.
fn is_twin(path: &[Step], other: &[Step]) -> bool {
    let named = matches!(path, [Step::Key(kind), _, _, ..] if NAMED.contains(&kind.as_str()));
    path.len() == other.len()
        && path.iter().zip(other).enumerate().all(|(index, pair)| match pair {
            (Step::Key(_), Step::Key(_)) if index == 1 && named => true,
            (Step::Item(_), Step::Item(_)) => true,
            (a, b) => a == b,
        })
}
