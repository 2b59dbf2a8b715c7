//! Standard output and standard error of the commands.

use std::fmt::Display;
use std::io::{self, Stderr, Stdout, Write};

use serde::Serialize;

use crate::diagnostic::Diagnostics;

/// Writes results to standard output and trouble to standard error. A reader that has gone away
/// (`| head`) is no error.
#[derive(Debug)]
pub(super) struct Output {
    results: Stdout,
    troubles: Stderr,
}

impl Default for Output {
    fn default() -> Self {
        Self { results: io::stdout(), troubles: io::stderr() }
    }
}

impl Output {
    /// A line of the result.
    pub(super) fn line(&mut self, text: impl Display) {
        let _ = writeln!(self.results, "{text}");
    }

    /// The result as JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.line(text);
    }

    /// A line about what went wrong.
    pub(super) fn trouble(&mut self, text: impl Display) {
        let _ = writeln!(self.troubles, "{text}");
    }

    /// All findings, then their number.
    pub(super) fn diagnostics(&mut self, diagnostics: &Diagnostics) {
        for diagnostic in diagnostics.sorted() {
            self.trouble(diagnostic);
        }
        let (errors, warnings) = diagnostics.counts();
        if errors + warnings > 0 {
            self.trouble(format!("{}, {}", count(errors, "error"), count(warnings, "warning")));
        }
    }
}

/// `1 error`, `2 errors`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
