//! One mistake in a master file, and the line and column its octets are on.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Location, Severity, printable};

/// Longest word repeated in a message, in characters.
const WORD_SHOWN_MAX: usize = 60;

/// What is wrong at which octets of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The octets of the text it is about; just behind the last word where something is missing.
    pub range: Range<usize>,
    /// What is wrong, in the style of a [`Diagnostic`].
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Mistake {
    /// A mistake without a hint.
    pub(super) fn new(range: Range<usize>, what: impl Into<String>) -> Self {
        Self { range, what: what.into(), hint: None }
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for Mistake {}

/// A word as shown in a message: printable, and cut when it is long.
pub(super) fn quote(text: &[u8]) -> String {
    let start = text.get(..WORD_SHOWN_MAX * 4).unwrap_or(text);
    let shown = printable(&String::from_utf8_lossy(start));
    match shown.char_indices().nth(WORD_SHOWN_MAX) {
        Some((end, _)) => format!("`{}…`", shown.get(..end).unwrap_or_default()),
        None => format!("`{shown}`"),
    }
}

/// One text, able to turn octet ranges into locations; quickest when they come in order.
#[derive(Debug)]
pub(super) struct Sheet<'a> {
    shown: Arc<str>,
    text: &'a [u8],
    /// Start of a line located before, and its number.
    known: (usize, u32),
}

impl<'a> Sheet<'a> {
    /// A text shown under this file name.
    pub(super) fn new(shown: &Arc<str>, text: &'a [u8]) -> Self {
        Self { shown: shown.clone(), text, known: (0, 1) }
    }

    /// The diagnostic for a mistake in this text.
    pub(super) fn diagnose(&mut self, severity: Severity, mistake: Mistake) -> Diagnostic {
        let at = self.locate(&mistake.range);
        Diagnostic::new(severity, at, mistake.what).or_hint(mistake.hint)
    }

    fn locate(&mut self, range: &Range<usize>) -> Location {
        let start = range.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| is_break(*byte)).map_or(0, |at| at + 1);
        if line_start < self.known.0 {
            self.known = (0, 1);
        }
        let skipped = self.text.get(self.known.0..line_start).unwrap_or_default();
        self.known = (line_start, self.known.1 + lines(skipped).count() as u32 - 1);
        let rest = self.text.get(start..).unwrap_or_default();
        let rest = rest.split(|byte| is_break(*byte)).next().unwrap_or_default();
        let width = range.end.saturating_sub(start).min(rest.len());
        let before = self.text.get(line_start..start).unwrap_or_default();
        show(&self.shown, self.known.1, before, rest, width)
    }
}

/// The location between two parts of a line, `width` octets wide.
fn show(file: &Arc<str>, line: u32, before: &[u8], rest: &[u8], width: usize) -> Location {
    let marked = String::from_utf8_lossy(rest.get(..width).unwrap_or_default());
    let (before, rest) = (String::from_utf8_lossy(before), String::from_utf8_lossy(rest));
    Location::in_line(file.clone(), line, &before, &rest, marked.chars().count())
}

/// The location of the record that starts on `line`, shown without indentation and comment
/// underlined; `None` as the text gives only the number.
pub(super) fn record_at(file: &Arc<str>, number: u32, line: Option<&[u8]>) -> Location {
    let line = line.unwrap_or_default();
    let comment = line.iter().position(|byte| *byte == b';');
    let quoted = line.contains(&b'"');
    let content = comment.filter(|_| !quoted).and_then(|at| line.get(..at)).unwrap_or(line);
    let indent = content.len() - content.trim_ascii_start().len();
    let (before, rest) = line.split_at_checked(indent).unwrap_or((line, &[]));
    show(file, number, before, rest, content.trim_ascii().len())
}

/// Whether an octet ends a line; a carriage return does so alone too, lest a comment in a file of
/// old line ends hide all that follows.
pub(super) fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The lines of a text, each without its end, as [`Sheet`] numbers them.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| is_break(*byte)) else {
            rest = None;
            return Some(text);
        };
        let (line, tail) = text.split_at_checked(end)?;
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..));
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lines_alike_whatever_their_ends() {
        let file: Arc<str> = "z".into();
        for text in ["a\nbb x\n\nc", "a\r\nbb x\r\n\r\nc", "a\rbb x\r\rc"] {
            let mut sheet = Sheet::new(&file, text.as_bytes());
            let end = sheet.locate(&(text.len() - 1..text.len()));
            assert_eq!((end.line, end.column, end.text.as_str()), (4, 1, "c"), "{text:?}");
            let x = text.find('x').unwrap();
            let second = sheet.locate(&(x..x + 1));
            assert_eq!((second.line, second.column, second.text.as_str()), (2, 4, "bb x"));
            let all: Vec<&[u8]> = lines(text.as_bytes()).collect();
            assert_eq!(all, [&b"a"[..], b"bb x", b"", b"c"], "{text:?}");
        }
    }

    #[test]
    fn shows_no_control_character_and_no_endless_line() {
        let file: Arc<str> = "z".into();
        let mut sheet = Sheet::new(&file, b"a\x1b[2J b");
        assert_eq!(sheet.locate(&(6..7)).text, "a\u{fffd}[2J b");
        let long = [b'x'; 5000];
        let location = Sheet::new(&file, &long).locate(&(4000..4001));
        assert_eq!((location.column, location.width), (4001, 1));
        assert!(location.text.chars().count() < 200);
        assert_eq!(quote(&long).chars().count(), 63);
    }

    #[test]
    fn points_at_a_record_without_its_comment() {
        let file: Arc<str> = "z".into();
        let at = record_at(&file, 7, Some(b"  www A 192.0.2.1  ; old"));
        assert_eq!((at.line, at.column, at.width), (7, 3, 15));
        assert_eq!(record_at(&file, 7, None).column, 1);
    }
}
