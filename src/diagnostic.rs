//! Mistakes in an operator's files: where, what, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

/// Whether a finding stops the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not do what was meant.
    Warning,
}

/// A place in a file, complete enough to be shown after the file itself is gone from memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The path as the operator would write it.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: u32,
    /// Number of characters the caret line underlines, at least 1.
    pub width: u32,
    /// The line, without its line feed.
    pub text: String,
}

impl Location {
    /// The file as a whole: for one that is missing or cannot be read.
    pub fn file(path: &str) -> Self {
        Self { file: path.into(), line: 0, column: 0, width: 1, text: String::new() }
    }
}

/// One mistake or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where it is.
    #[serde(flatten)]
    pub at: Location,
    /// What is wrong: lower case, no full stop, the offending value in backquotes.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at `at`.
    pub fn error(at: Location, what: impl Into<String>) -> Self {
        Self { severity: Severity::Error, at, what: what.into(), hint: None }
    }

    /// A warning at `at`.
    pub fn warning(at: Location, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, at, what: what.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    /// `FILE:LINE:COL: error: WHAT (HINT)`, then the line and a caret under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Location { file, line, column, width, text } = &self.at;
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if *line == 0 {
            write!(f, "{file}: {severity}: {}", self.what)?;
        } else {
            write!(f, "{file}:{line}:{column}: {severity}: {}", self.what)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        if *line == 0 {
            return Ok(());
        }
        let number = line.to_string();
        // Tabs are kept in the padding so that the caret stands under its column in any terminal.
        let padding: String = text
            .chars()
            .take(*column as usize - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        write!(f, "\n {number} | {text}\n {} | ", " ".repeat(number.len()))?;
        write!(f, "{padding}{}", "^".repeat(*width as usize))
    }
}

/// A text file with its name, able to turn byte ranges into locations.
#[derive(Clone, Debug)]
pub struct Source {
    file: Arc<str>,
    text: Arc<str>,
    /// Where each line starts; made when the first place is looked up.
    lines: Arc<OnceLock<Vec<usize>>>,
}

impl Source {
    /// A file of this name and content.
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.into(), text: text.into(), lines: Arc::default() }
    }

    /// The name as shown in diagnostics.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The location of a byte range; ranges past the end point at the end, and a range of several
    /// lines is underlined on its first.
    pub fn locate(&self, range: Range<usize>) -> Location {
        let text = self.text.as_ref();
        let start = floor_boundary(text, range.start);
        let lines = self.lines.get_or_init(|| {
            let feeds = text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(feeds).collect()
        });
        let number = lines.partition_point(|line| *line <= start);
        let line_start = lines.get(number.saturating_sub(1)).copied().unwrap_or_default();
        let rest = text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let line_end = line_start + line.len();
        let marked = text.get(start..floor_boundary(text, range.end.min(line_end)));
        Location {
            file: self.file.clone(),
            line: number as u32,
            column: text.get(line_start..start).unwrap_or_default().chars().count() as u32 + 1,
            width: marked.map_or(0, |marked| marked.chars().count() as u32).max(1),
            text: line.to_owned(),
        }
    }
}

/// The largest character boundary of `text` not above `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// All findings of a run, in the order of files, lines and columns.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one finding; one that is there already is not added again.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.all.contains(&diagnostic) {
            self.all.push(diagnostic);
        }
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Diagnostics) {
        other.all.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.all.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Number of errors and of warnings.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.all.iter().filter(|d| d.severity == Severity::Error).count();
        (errors, self.all.len() - errors)
    }

    /// The findings by file, line and column.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.all.iter().collect();
        all.sort_by(|a, b| {
            (&a.at.file, a.at.line, a.at.column).cmp(&(&b.at.file, b.at.line, b.at.column))
        });
        all
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sorted().into_iter().try_for_each(|diagnostic| writeln!(f, "{diagnostic}"))
    }
}

/// The known name nearest to a misspelt one, when it is near enough to be what was meant: at most
/// one edit for every three characters.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = name.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance with transpositions (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let above = |back: usize, j: usize| {
                rows.get(rows.len() - back)
                    .and_then(|row| row.get(j))
                    .copied()
                    .unwrap_or(usize::MAX)
            };
            let replaced = above(1, j) + usize::from(ca != cb);
            let mut best = replaced.min(above(1, j + 1) + 1).min(row.last().map_or(0, |l| l + 1));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca);
            if swapped {
                best = best.min(above(2, j - 1) + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_and_a_caret_under_the_place() {
        let source = Source::new("fleet.toml", "version = 1\n\tintervall = \"5s\"\n");
        let at = source.locate(13..22);
        let shown =
            Diagnostic::error(at, "unknown key `intervall`").hint("did you mean `interval`?");
        let expected = "fleet.toml:2:2: error: unknown key `intervall` \
                        (did you mean `interval`?)\n 2 | \tintervall = \"5s\"\n   | \t^^^^^^^^^";
        assert_eq!(shown.to_string(), expected);
    }

    #[test]
    fn locates_the_end_of_the_file_and_ranges_of_several_lines() {
        let source = Source::new("f", "ä = [\n1,\n]");
        let at = source.locate(5..12);
        assert_eq!((at.line, at.column, at.width), (1, 5, 1));
        let end = source.locate(99..120);
        assert_eq!((end.line, end.column, end.width), (3, 2, 1));
    }

    #[test]
    fn suggests_near_names_only() {
        let known = ["interval", "timeout", "fall", "rise"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("itnerval", known), Some("interval"));
        assert_eq!(nearest("raise", known), Some("rise"));
        assert_eq!(nearest("weight", known), None);
    }
}
