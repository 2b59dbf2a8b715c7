//! Reading one TOML file into its spec, all mistakes of form at once.
//!
//! serde stops at the first mistake. So each one is reported, cut out of the parsed file, and the
//! rest is read again, until nothing is wrong with what remains.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::effective::Effective;
use super::sheet::Sheet;
use super::tree::{Cut, Entry, cut};
use super::unsupported::{Rule, refuse};
use super::value::Fault;
use super::wording::{date, mistyped, syntax};
use crate::diagnostic::{Diagnostic, Diagnostics, Source};

/// Mistakes of form reported for one file; each costs another pass over it, and nobody reads more.
const MISTAKES_MAX: usize = 200;

/// Reads a file into its spec; what could not be read is left out and reported in the sheet.
pub(super) fn read<T: DeserializeOwned + Default>(
    source: Source,
    rules: &[Rule],
    effective: Option<Vec<Effective>>,
) -> (T, Sheet) {
    let text = source.text().to_owned();
    let mut reading = Reading { source, findings: Diagnostics::default(), cuts: Vec::new() };
    let (mut table, errors) = DeTable::parse_recoverable(&text);
    let broken = reading.syntax(&mut table, &errors);
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
    fn report(&mut self, span: Range<usize>, Fault { what, hint }: Fault) {
        let at = self.source.locate(span);
        self.findings.push(Diagnostic { hint, ..Diagnostic::error(at, what) });
    }

    /// Reports syntax errors and cuts out the values they are in; true when the structure of the
    /// file is in doubt, so that names may be missing from it.
    fn syntax(&mut self, table: &mut Spanned<DeTable<'_>>, errors: &[toml::de::Error]) -> bool {
        let mut broken = false;
        let mut lines = Vec::new();
        let mut torn: Vec<Range<usize>> = Vec::new();
        for error in errors.iter().take(MISTAKES_MAX) {
            let span = error.span().unwrap_or_default();
            let line = self.source.locate(span.clone()).line;
            // One slip makes the parser stumble again, further on in the value or in its line.
            if lines.contains(&line) || torn.iter().any(|value| touches(value, &span)) {
                continue;
            }
            lines.push(line);
            let slip = Slip::of(error.message());
            let value = if slip == Slip::Twice { None } else { self.torn(table, &span, slip) };
            let unclosed = value.as_ref().is_some_and(|value| unclosed(errors, value));
            let at = match &value {
                Some(value) if unclosed => value.start..value.start + 1,
                _ => span.clone(),
            };
            let fault = syntax(error.message(), self.source.text(), &span, unclosed);
            torn.extend(value);
            broken |= slip == Slip::Other;
            self.report(at, fault);
        }
        broken
    }

    /// Cuts out the value that a syntax error is in, and says where it is: an unquoted word alone,
    /// at any other slip the outermost value, since its inside is in doubt.
    fn torn(
        &mut self,
        table: &mut Spanned<DeTable<'_>>,
        error: &Range<usize>,
        slip: Slip,
    ) -> Option<Range<usize>> {
        let text = self.source.text();
        let mut found = None;
        let doomed = &mut |entry: &Entry<'_, '_>| {
            let span = entry.value.span();
            let spoilt = match entry.value.get_ref() {
                DeValue::String(_) if slip == Slip::Unquoted => span == *error,
                _ if slip == Slip::Unquoted => false,
                // A table of its own spans its header alone; only an inline one is a value.
                DeValue::Table(_) => {
                    let inline = text.get(span.clone()).is_some_and(|text| text.starts_with('{'));
                    inline && touches(&span, error)
                }
                _ => touches(&span, error),
            };
            if spoilt {
                found = Some(span);
            }
            spoilt || entry.key.as_ref().is_some_and(|key| key.is_empty() && key == error)
        };
        cut(table, doomed, &mut self.cuts);
        found
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

/// What a syntax error says of the text after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slip {
    /// A word without quotes: that value alone is spoilt.
    Unquoted,
    /// A key or table that is there twice: both were understood.
    Twice,
    /// Anything else: what follows may have been misread.
    Other,
}

impl Slip {
    fn of(message: &str) -> Self {
        if message.starts_with("string values must be quoted") {
            Self::Unquoted
        } else if message.starts_with("duplicate key") {
            Self::Twice
        } else {
            Self::Other
        }
    }
}

/// Whether the parser came to the end of the file looking for the end of `value`.
fn unclosed(errors: &[toml::de::Error], value: &Range<usize>) -> bool {
    errors.iter().any(|error| {
        let end_missing = ["unclosed array,", "unclosed inline table"]
            .iter()
            .any(|start| error.message().starts_with(start));
        end_missing && error.span().is_some_and(|span| touches(value, &span))
    })
}

/// Whether a syntax error lies in a value or right behind it.
fn touches(value: &Range<usize>, error: &Range<usize>) -> bool {
    value.start <= error.start && error.start <= value.end
}
