//! Mistakes in an operator's files: where, what, and what to do about it.

use std::fmt;
use std::io;
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
    /// The line, without its line feed and control characters; of a long one the part around the
    /// place, with `…` where it is cut.
    pub text: String,
    /// Characters of the line that `text` lacks at its start.
    pub cut: u32,
}

/// Longest line shown whole, in characters: twice what a terminal is wide.
const LINE_MAX: usize = 160;
/// Characters shown before the place in a longer one.
const LEAD_MAX: usize = 60;

impl Location {
    /// The file as a whole: for one that is missing or cannot be read.
    pub fn file(path: &str) -> Self {
        Self { file: path.into(), line: 0, column: 0, width: 1, text: String::new(), cut: 0 }
    }

    /// A place `width` characters wide between two parts of a line.
    pub fn in_line(file: Arc<str>, line: u32, before: &str, rest: &str, width: usize) -> Self {
        let lead = before.chars().count();
        let fits = lead + rest.chars().take(LINE_MAX + 1).count() <= LINE_MAX;
        let shown_lead = if fits { lead } else { lead.min(LEAD_MAX) };
        let room = if fits { LINE_MAX } else { LINE_MAX - shown_lead };
        let from = before.char_indices().rev().take(shown_lead).last();
        let shown = before.get(from.map_or(before.len(), |(at, _)| at)..).unwrap_or_default();
        let mut text = printable(shown);
        if shown_lead < lead {
            text.insert(0, '…');
        }
        text.extend(rest.chars().take(room).map(shown_char));
        if rest.chars().nth(room).is_some() {
            text.push('…');
        }
        Self {
            file,
            line,
            column: lead as u32 + 1,
            width: width.clamp(1, room) as u32,
            text,
            cut: lead.saturating_sub(shown_lead + 1) as u32,
        }
    }
}

/// Text without anything a terminal would act on; tabs stay.
pub fn printable(text: &str) -> String {
    text.chars().map(shown_char).collect()
}

fn shown_char(c: char) -> char {
    if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
}

/// Longest message, in characters: what is longer repeats a value nobody would write.
const MESSAGE_MAX: usize = 280;

/// A message with control characters written out, and the middle left out of a very long one.
fn brief(text: String) -> String {
    if text.len() <= MESSAGE_MAX && !text.contains(char::is_control) {
        return text;
    }
    let escape = |c: char| {
        let control = c.is_control().then(|| c.escape_default());
        control.into_iter().flatten().chain((!c.is_control()).then_some(c))
    };
    let length = text.chars().count();
    if length <= MESSAGE_MAX {
        return text.chars().flat_map(escape).collect();
    }
    let part = MESSAGE_MAX / 2;
    let start = text.chars().take(part).flat_map(escape);
    let end = text.chars().skip(length - part).flat_map(escape);
    start.chain(['…']).chain(end).collect()
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
    /// A finding of this severity at `at`.
    pub fn new(severity: Severity, at: Location, what: impl Into<String>) -> Self {
        Self { severity, at, what: brief(what.into()), hint: None }
    }

    /// An error at `at`.
    pub fn error(at: Location, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, at, what)
    }

    /// A warning at `at`.
    pub fn warning(at: Location, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, at, what)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.or_hint(Some(hint.into()))
    }

    /// Adds what to do about it, where that is known.
    #[must_use]
    pub fn or_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.map(brief).or(self.hint);
        self
    }
}

impl fmt::Display for Diagnostic {
    /// `FILE:LINE:COL: error: WHAT (HINT)`, then the line and a caret under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Location { file, line, column, width, text, cut } = &self.at;
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
            .take((*column - 1 - *cut) as usize)
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
    /// Whether locations show keys alone, since values may be secrets.
    masked: bool,
}

impl Source {
    /// A file of this name and content.
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.into(), text: text.into(), lines: Arc::default(), masked: false }
    }

    /// The same file with its values hidden from diagnostics, which end up in logs.
    #[must_use]
    pub fn masked(self) -> Self {
        Self { masked: true, ..self }
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
        let width = marked.map_or(0, |marked| marked.chars().count());
        let before = text.get(line_start..start).unwrap_or_default();
        // A place behind the line's end is that of its carriage return or line feed.
        let rest = text.get(start..line_end).unwrap_or_default();
        let (file, number) = (self.file.clone(), number as u32);
        if !self.masked {
            return Location::in_line(file, number, before, rest, width);
        }
        let line = mask(line);
        let at = line.char_indices().nth(before.chars().count()).map_or(line.len(), |(at, _)| at);
        let (before, rest) = line.split_at(at);
        Location::in_line(file, number, before, rest, width)
    }
}

/// A line of TOML with `*` for the letters and digits of its values; as many characters as before.
fn mask(line: &str) -> String {
    let trimmed = line.trim_start();
    // A table's header and the key before `=`. Other lines may be the inside of a value.
    let plain = match line.find('=') {
        _ if trimmed.starts_with('[') => line.len(),
        Some(at) if !trimmed.starts_with(['"', '\'']) => at,
        _ => 0,
    };
    let (key, value) = line.split_at(plain);
    let hidden = value.chars().map(|c| if c.is_alphanumeric() { '*' } else { c });
    key.chars().chain(hidden).collect()
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

/// Why a file cannot be used, as messages say it.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
        _ if error.raw_os_error() == Some(LINK_LOOP) => "its links lead to themselves".to_owned(),
        _ => error.to_string(),
    }
}

/// Linux's ELOOP, which the standard library has no stable name for.
const LINK_LOOP: i32 = 40;

/// `1 error`, `2 errors`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The known name nearest to a misspelt one, when it is near enough to be what was meant: at most
/// one edit for every three characters, and not all of them.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let limit = length.div_ceil(3).min(length.saturating_sub(1));
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
        let masked = Source::new("f", "[key]\nsecret = \"aB+1\"\n").masked().locate(16..20);
        assert_eq!((masked.column, masked.width, &*masked.text), (11, 4, "secret = \"**+*\""));
        let source = Source::new("f", "ä = [\n1,\n]");
        let at = source.locate(5..12);
        assert_eq!((at.line, at.column, at.width), (1, 5, 1));
        let end = source.locate(99..120);
        assert_eq!((end.line, end.column, end.width), (3, 2, 1));
    }

    #[test]
    fn shows_the_part_of_a_long_line_around_the_place() {
        let text = format!("{}=\"{}\"", "k".repeat(300), "v".repeat(500));
        let at = Source::new("f", &text).locate(301..803);
        assert_eq!((at.line, at.column, at.width, at.cut), (1, 302, 100, 240));
        assert_eq!(at.text, format!("…{}=\"{}…", "k".repeat(59), "v".repeat(99)));
        let shown = Diagnostic::error(at, "x").to_string();
        let [_, line, caret] = shown.lines().collect::<Vec<_>>()[..] else { panic!("{shown}") };
        assert_eq!(line.chars().position(|c| c == '"'), caret.chars().position(|c| c == '^'));
        let start = Source::new("f", &text).locate(0..300);
        assert_eq!((start.column, start.width, start.cut), (1, 160, 0));
        let end = Source::new("f", &text).locate(803..803);
        assert_eq!((end.column, end.text.ends_with("v\"")), (804, true));
    }

    #[test]
    fn messages_hold_no_control_characters_and_end_somewhere() {
        let at = Source::new("f", "a\u{1b}[2J\u{7}\tb").locate(7..8);
        assert_eq!(at.text, "a\u{fffd}[2J\u{fffd}\tb");
        let what = format!("`a\nb\u{1b}{}` is no name", "ä".repeat(1_000));
        let shown = Diagnostic::error(at, what).hint("write `\n`").what;
        assert!(shown.starts_with("`a\\nb\\u{1b}ää") && shown.ends_with("ää` is no name"));
        assert!(shown.contains('…') && shown.chars().count() < 300, "{shown}");
    }

    #[test]
    fn suggests_near_names_only() {
        let known = ["interval", "timeout", "fall", "rise"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("itnerval", known), Some("interval"));
        assert_eq!(nearest("raise", known), Some("rise"));
        assert_eq!(nearest("weight", known), None);
        assert_eq!(nearest("h", ["A", "MX"]), None);
    }
}
