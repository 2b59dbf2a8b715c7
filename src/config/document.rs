//! Reading one TOML file into its spec, all mistakes of form at once.
//!
//! What [`super::syntax`] leaves is given to serde, which stops at the first mistake. So each one is reported, cut out of the parsed file, and the
//! rest is read again, until nothing is wrong with what remains.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::effective::Effective;
use super::sheet::Sheet;
use super::syntax::{Mended, mend, words};
use super::tree::{Cut, Entry, cut};
use super::unsupported::{Rule, refuse};
use super::value::Fault;
use super::wording::{date, mistyped};
use crate::diagnostic::{Diagnostic, Diagnostics, Source};

/// Mistakes of form reported for one file; each costs another pass over it, and nobody reads more.
const MISTAKES_MAX: usize = 200;

/// Reads a file into its spec; what could not be read is left out and reported in the sheet.
pub(super) fn read<T: DeserializeOwned + Default>(
    source: Source,
    rules: &[Rule],
    effective: Option<Vec<Effective>>,
) -> (T, Sheet) {
    let Mended { text, faults, broken } = mend(&source);
    let mut reading = Reading { source, findings: Diagnostics::default(), cuts: Vec::new() };
    let lines: Vec<u32> = faults.into_iter().map(|(at, fault)| reading.report(at, fault)).collect();
    let (mut table, errors) = DeTable::parse_recoverable(&text);
    for (at, fault) in words(&mut table, &errors, &text, &mut reading.cuts) {
        // One slip in a line is enough to mend; the next may come from the first.
        if !lines.contains(&reading.source.locate(at.clone()).line) {
            reading.report(at, fault);
        }
    }
    reading.dates(&mut table);
    for (span, fault) in refuse(&mut table, rules, &mut reading.cuts) {
        reading.report(span, fault);
    }
    let spec = reading.spec(table);
    let broken = broken || spec.is_none();
    let Reading { source, findings, cuts } = reading;
    (spec.unwrap_or_default(), Sheet { source, cuts, broken, findings, effective })
}

struct Reading {
    source: Source,
    findings: Diagnostics,
    cuts: Vec<Cut>,
}

impl Reading {
    /// Reports a mistake, and says in which line.
    fn report(&mut self, span: Range<usize>, Fault { what, hint }: Fault) -> u32 {
        let at = self.source.locate(span);
        let line = at.line;
        self.findings.push(Diagnostic { hint, ..Diagnostic::error(at, what) });
        line
    }

    /// Reports dates, which TOML has and this language has not.
    fn dates(&mut self, table: &mut Spanned<DeTable<'_>>) {
        let mut spans = Vec::new();
        let doomed = &mut |entry: &Entry<'_, '_>| {
            let is_date = matches!(entry.value.get_ref(), DeValue::Datetime(_));
            if is_date {
                spans.push(entry.value.span());
            }
            is_date
        };
        cut(table, doomed, &mut self.cuts);
        for span in spans {
            let fault = date(self.source.text().get(span.clone()).unwrap_or_default());
            self.report(span, fault);
        }
    }

    /// The spec of what can be read; `None` when the reader cannot say where it stumbled, or does
    /// so too often.
    fn spec<T: DeserializeOwned>(&mut self, mut table: Spanned<DeTable<'_>>) -> Option<T> {
        for _ in 0..MISTAKES_MAX {
            let error = match T::deserialize(Deserializer::from(table.clone())) {
                Ok(spec) => return Some(spec),
                Err(error) => error,
            };
            let span = error.span().unwrap_or_default();
            let mut fault = None;
            let doomed = &mut |entry: &Entry<'_, '_>| {
                let is_key = entry.key.as_ref() == Some(&span);
                if fault.is_some() || !(is_key || entry.value.span() == span) {
                    return false;
                }
                fault = Some(mistyped(error.message(), entry.path, entry.value.get_ref()));
                true
            };
            cut(&mut table, doomed, &mut self.cuts);
            let Some(fault) = fault else {
                self.report(span, Fault::new(error.message()));
                return None;
            };
            self.report(span, fault);
        }
        let at = crate::diagnostic::Location::file(self.source.file());
        let what = format!("more than {MISTAKES_MAX} mistakes, the rest is not shown");
        self.findings.push(Diagnostic::error(at, what));
        None
    }
}
