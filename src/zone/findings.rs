//! Mistakes in bulk: the first of each file are shown, the others counted.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, Location, Severity};

/// Most mistakes shown of one file: more than anyone corrects before the next run.
const SHOWN_MAX: u32 = 100;
/// Errors after which a file is not read on: it is no zone file, and each error costs time.
const ERRORS_MAX: u32 = 1000;

/// How many mistakes of each file were shown and left out.
#[derive(Debug, Default)]
pub(super) struct Tally {
    files: Vec<Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    shown: u32,
    /// All errors, those not shown too.
    all_errors: u32,
    /// Errors and warnings not shown.
    errors: u32,
    warnings: u32,
}

impl Tally {
    /// Whether one more mistake of this file is to be shown; counts it.
    pub(super) fn admit(&mut self, file: u16, severity: Severity) -> bool {
        let index = usize::from(file);
        if self.files.len() <= index {
            self.files.resize(index + 1, Count::default());
        }
        let Some(count) = self.files.get_mut(index) else { return false };
        count.all_errors += u32::from(severity == Severity::Error);
        let left_out = match severity {
            _ if count.shown < SHOWN_MAX => &mut count.shown,
            Severity::Error => &mut count.errors,
            Severity::Warning => &mut count.warnings,
        };
        *left_out += 1;
        count.errors + count.warnings == 0
    }

    /// Whether the file has so many errors that reading on is of no use.
    pub(super) fn is_hopeless(&self, file: u16) -> bool {
        self.files.get(usize::from(file)).is_some_and(|count| count.all_errors >= ERRORS_MAX)
    }

    /// One diagnostic for each file with more mistakes than were shown.
    pub(super) fn hidden<'a>(
        &self,
        name: impl Fn(u16) -> Option<&'a Arc<str>>,
        diagnostics: &mut Diagnostics,
    ) {
        for (number, Count { errors, warnings, all_errors, .. }) in (0u16..).zip(&self.files) {
            let Some(name) = name(number).filter(|_| errors + warnings > 0) else { continue };
            let mut what = match (errors, warnings) {
                (_, 0) => format!("{errors} more errors than the {SHOWN_MAX} mistakes shown"),
                (0, _) => format!("{warnings} more warnings than the {SHOWN_MAX} mistakes shown"),
                _ => format!(
                    "{errors} more errors and {warnings} more warnings than the {SHOWN_MAX} \
                     mistakes shown"
                ),
            };
            if *all_errors >= ERRORS_MAX {
                what.push_str("; the file is not read further");
            }
            let at = Location::file(name);
            diagnostics.push(match errors {
                0 => Diagnostic::warning(at, what),
                _ => Diagnostic::error(at, what),
            });
        }
    }
}

/// What is wrong with a record that was read.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub severity: Severity,
    pub file: u16,
    pub line: u32,
    pub what: String,
    pub hint: Option<String>,
}

/// Findings about records, bounded for each file.
#[derive(Debug, Default)]
pub(super) struct Findings {
    shown: Vec<Finding>,
    tally: Tally,
}

impl Findings {
    /// Adds a finding, made only when it will be shown.
    pub(super) fn push(&mut self, file: u16, severity: Severity, make: impl FnOnce() -> Finding) {
        if self.tally.admit(file, severity) {
            self.shown.push(make());
        }
    }

    /// Those to be shown.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.shown.iter()
    }

    /// See [`Tally::hidden`].
    pub(super) fn hidden<'a>(
        &self,
        name: impl Fn(u16) -> Option<&'a Arc<str>>,
        diagnostics: &mut Diagnostics,
    ) {
        self.tally.hidden(name, diagnostics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_hundred_of_each_file_and_counts_the_others() {
        let mut tally = Tally::default();
        let mut admitted =
            |file, severity, times: u32| (0..times).filter(|_| tally.admit(file, severity)).count();
        assert_eq!(admitted(0, Severity::Error, 99), 99);
        assert_eq!(admitted(2, Severity::Warning, 102), 100);
        assert_eq!(admitted(0, Severity::Warning, 2), 1);
        assert_eq!(admitted(0, Severity::Error, 3), 0);
        let names: [Arc<str>; 3] = ["a".into(), "b".into(), "c".into()];
        let mut diagnostics = Diagnostics::default();
        tally.hidden(|number| names.get(usize::from(number)), &mut diagnostics);
        assert_eq!(
            diagnostics.to_string(),
            "a: error: 3 more errors and 1 more warnings than the 100 mistakes shown\n\
             c: warning: 2 more warnings than the 100 mistakes shown\n"
        );
    }
}
