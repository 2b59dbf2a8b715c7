//! Standard output and standard error of the commands.

use std::fmt::Display;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};

use serde::Serialize;

use super::remote::Failure;
use super::{Exit, Format};
use crate::diagnostic::{Diagnostics, count};

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

    /// A part of the result without an end of line.
    pub(super) fn part(&mut self, text: &str) {
        let _ = write!(self.results, "{text}").and_then(|()| self.results.flush());
    }

    /// Why a node did not do what it was asked, for programs as the node itself says it; gives how
    /// the command ends.
    pub(super) fn failure(&mut self, failure: &Failure, format: Format) -> Exit {
        self.trouble(&failure.what);
        if let (Format::Json, Some(problem)) = (format, &failure.problem) {
            self.json(problem);
        }
        failure.exit
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

/// A share in percent, to one decimal.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A time as people say it, in its two largest units: `2h 5m`.
pub(super) fn time(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let at = units.iter().position(|(_, unit)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let parts = units.iter().skip(at).take(2).map(|(name, unit)| {
        let number = left / unit;
        left %= unit;
        (number, name)
    });
    let parts: Vec<(u64, &&str)> = parts.collect();
    let shown = parts.iter().enumerate().filter(|(at, (number, _))| *at == 0 || *number > 0);
    shown.map(|(_, (number, name))| format!("{number}{name}")).collect::<Vec<_>>().join(" ")
}

/// Colours of words, where somebody sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    coloured: bool,
}

impl Paint {
    /// On a terminal, unless the environment asks for none (<https://no-color.org>).
    pub(super) fn for_output() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { coloured: !plain && io::stdout().is_terminal() }
    }

    /// What is as it should be.
    pub(super) fn good(self, words: &str) -> String {
        self.in_colour(words, 32)
    }

    /// What is half as it should be.
    pub(super) fn odd(self, words: &str) -> String {
        self.in_colour(words, 33)
    }

    /// What is wrong.
    pub(super) fn bad(self, words: &str) -> String {
        self.in_colour(words, 31)
    }

    fn in_colour(self, words: &str, code: u8) -> String {
        if self.coloured { format!("\u{1b}[{code}m{words}\u{1b}[0m") } else { words.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, words) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (125, "2m 5s"),
            (7_500, "2h 5m"),
            (7_205, "2h"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(time(seconds), words);
        }
    }
}
