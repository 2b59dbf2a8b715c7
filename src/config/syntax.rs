//! Syntax errors, each reported once, and what can still be read around them.
//!
//! The parser goes on after an error, but from then on it often misreads what follows. So the
//! statement with the first error is blanked out and the file parsed again, until only errors are
//! left that spoil nothing but one value.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::tree::{Cut, Entry, cut};
use super::value::Fault;
use super::wording;
use crate::diagnostic::Source;

/// Broken statements that are looked for; each costs another pass, and what is no TOML at all
/// gives one a line.
const SLIPS_MAX: usize = 20;

/// What can be read of a file that may have syntax errors.
pub(super) struct Mended {
    /// The text with blanks where statements are broken; places in it are those of the file.
    pub text: String,
    /// The mistakes.
    pub faults: Vec<(Range<usize>, Fault)>,
    /// Whether names and keys may be missing from what is left.
    pub broken: bool,
}

/// Blanks out broken statements.
pub(super) fn mend(source: &Source) -> Mended {
    let mut mended = Mended { text: source.text().to_owned(), faults: Vec::new(), broken: false };
    for _ in 0..SLIPS_MAX {
        let (mut table, errors) = DeTable::parse_recoverable(&mended.text);
        let Some(error) = errors.iter().find(|error| Slip::of(error) == Slip::Statement) else {
            return mended;
        };
        let at = error.span().unwrap_or_default();
        let value = value_around(&mut table, &at);
        let unclosed = value.as_ref().is_some_and(|value| is_unclosed(&errors, value));
        let shown = match &value {
            Some(value) if unclosed => value.start..value.start + 1,
            _ => place(&mended.text, error).unwrap_or(at.clone()),
        };
        mended.faults.push((shown, wording::syntax(error.message(), unclosed)));
        mended.broken = true;
        let spoilt = if error.message().starts_with("unexpected key or value") {
            at.start..line_end(&mended.text, at.start)
        } else {
            statement(&mended.text, value.map_or(at.start, |value| value.start))
        };
        if !blank(&mut mended.text, spoilt) {
            break;
        }
    }
    let everything = 0..mended.text.len();
    blank(&mut mended.text, everything);
    mended
}

/// Cuts out the values that are spoilt by the syntax errors a mended file still has.
pub(super) fn words(
    table: &mut Spanned<DeTable<'_>>,
    errors: &[Error],
    text: &str,
    cuts: &mut Vec<Cut>,
) -> Vec<(Range<usize>, Fault)> {
    let mut faults = Vec::new();
    // The end of a table that is there twice: its keys are there twice for no reason of theirs.
    let mut table_end = 0;
    for error in errors {
        let at = error.span().unwrap_or_default();
        if Slip::of(error) == Slip::Twice {
            let line = line_start(text, at.start);
            if at.start >= table_end {
                let first = is_header(text, line).then(|| first_header(text, line)).flatten();
                let word = text.get(at.clone()).unwrap_or_default();
                faults.push((at, wording::twice(word, first)));
            }
            if is_header(text, line) {
                let headers = text.get(line..).unwrap_or_default().match_indices("\n[");
                table_end = headers.map(|(next, _)| line + next).next().unwrap_or(text.len());
            }
            continue;
        }
        let mut word = None;
        let doomed = &mut |entry: &Entry<'_, '_>| {
            let span = entry.value.span();
            let leaf = !matches!(entry.value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
            let spoilt = leaf && touches(&span, &at);
            if spoilt {
                word = Some(span);
            }
            spoilt
        };
        cut(table, doomed, cuts);
        // A second error in the same word finds it gone.
        if let Some(span) = word {
            faults.push((span.clone(), wording::word(text.get(span).unwrap_or_default())));
        }
    }
    faults
}

/// What a syntax error spoils.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slip {
    /// One word: it should be quoted, or is no number.
    Word,
    /// Nothing: a key or table is there twice, and both were understood.
    Twice,
    /// The statement it is in, and often what follows.
    Statement,
}

/// How messages about single words start.
const WORDS: [&str; 14] = [
    "string values must be quoted",
    "invalid boolean",
    "invalid float",
    "invalid integer",
    "invalid date",
    "invalid time",
    "invalid mantissa",
    "invalid exponent",
    "invalid fraction",
    "invalid hexadecimal",
    "unexpected leading zero",
    "unexpected sign",
    "redundant ",
    "`_` may only",
];

impl Slip {
    fn of(error: &Error) -> Self {
        let message = error.message();
        if message.starts_with("duplicate key") {
            Self::Twice
        } else if WORDS.iter().any(|start| message.starts_with(start)) {
            Self::Word
        } else {
            Self::Statement
        }
    }
}

/// The outermost value that an error lies in.
fn value_around(table: &mut Spanned<DeTable<'_>>, error: &Range<usize>) -> Option<Range<usize>> {
    let mut found: Option<Range<usize>> = None;
    let doomed = &mut |entry: &Entry<'_, '_>| {
        let span = entry.value.span();
        let headed = match entry.value.get_ref() {
            // A table spans its header or its key alone, only an inline one its content.
            DeValue::Table(_) => entry.key.as_ref().is_none_or(|key| span.start <= key.end),
            _ => false,
        };
        if found.is_none() && !headed && touches(&span, error) {
            found = Some(span);
        }
        false
    };
    cut(table, doomed, &mut Vec::new());
    found
}

/// The place of an error that the parser gives another or none: the line with too many dots, and
/// the quotes that open a text of several lines whose end is missing.
fn place(text: &str, error: &Error) -> Option<Range<usize>> {
    if error.message() == "recursion limit" {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        let lines = starts.map(|start| start..line_end(text, start));
        return lines
            .max_by_key(|line| text.get(line.clone()).map(|line| line.matches('.').count()));
    }
    let kinds = [
        ("multi-line basic string, expected `\"`", "\"\"\""),
        ("multi-line literal string, expected `'`", "'''"),
    ];
    let (_, quotes) = kinds.into_iter().find(|(kind, _)| error.message().ends_with(kind))?;
    let start = text.get(..error.span()?.start)?.rfind(quotes)?;
    Some(start..start + quotes.len())
}

/// Whether the parser came to the end of the file looking for the end of `value`.
fn is_unclosed(errors: &[Error], value: &Range<usize>) -> bool {
    let starts = ["unclosed array,", "unclosed inline table"];
    errors.iter().any(|error| {
        starts.iter().any(|start| error.message().starts_with(start))
            && error.span().is_some_and(|span| touches(value, &span))
    })
}

/// Whether an error lies in a value or right behind it.
fn touches(value: &Range<usize>, error: &Range<usize>) -> bool {
    value.start <= error.start && error.start <= value.end
}

/// The lines of the statement that starts in the line of `at`, as far as can be told without
/// parsing: up to the next line that looks like a statement; a broken header takes its whole table
/// along.
fn statement(text: &str, at: usize) -> Range<usize> {
    let at = at.min(text.len());
    let start = line_start(text, at);
    let whole_table = is_header(text, start);
    let mut end = line_end(text, at);
    while end < text.len() {
        let next = end + 1;
        if is_header(text, next) || (!whole_table && is_key(text, next)) {
            break;
        }
        end = line_end(text, next);
    }
    start..end
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |feed| feed + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |feed| at + feed)
}

/// Whether the line that starts at `at` looks like a table header.
fn is_header(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|line| line.starts_with('['))
}

/// The number of the first line with the header that the line at `at` has, if there is one before.
fn first_header(text: &str, at: usize) -> Option<usize> {
    let header = |line: &str| line.split(']').next().unwrap_or_default().replace([' ', '\t'], "");
    let wanted = header(text.get(at..)?);
    let before = text.get(..at)?.lines();
    before.zip(1..).find(|(line, _)| header(line) == wanted).map(|(_, number)| number)
}

/// Whether the line that starts at `at` looks like a key with a value.
fn is_key(text: &str, at: usize) -> bool {
    let line = text.get(at..line_end(text, at)).unwrap_or_default().trim_start();
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.\"' ".contains(c);
    line.split_once('=').is_some_and(|(key, _)| !key.is_empty() && key.chars().all(word))
}

/// Overwrites a range with blanks, keeping line feeds; false when there was nothing to blank.
fn blank(text: &mut String, range: Range<usize>) -> bool {
    let Some(old) = text.get(range.clone()) else { return false };
    let octets = old.bytes().map(|octet| if octet == b'\n' { '\n' } else { ' ' });
    let new: String = octets.collect();
    let changed = new != old;
    text.replace_range(range, &new);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_around_a_broken_statement() {
        for (text, kept) in [
            ("a = 1\nb\nc = 3\n", vec!["a = 1", "c = 3"]),
            ("a = 1\nb =\nc = 3\n", vec!["a = 1", "b =", "c = 3"]),
            ("a = [\n 1\n 2\n]\nc = 3\n", vec!["c = 3"]),
            ("a = [1,\n[t]\nc = 3\n", vec!["[t]", "c = 3"]),
            ("[t\na = 1\n[u]\nc = 3\n", vec!["[u]", "c = 3"]),
            ("a = { b = 1 ]\nc = 3\n", vec!["c = 3"]),
            ("a = [1] x\nc = 3\n", vec!["a = [1]", "c = 3"]),
            ("a = \"ä\nc = 3\n", vec!["c = 3"]),
            ("]]]]\n", vec![]),
        ] {
            let Mended { text: mended, faults, broken } = mend(&Source::new("f", text));
            let lines: Vec<&str> =
                mended.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            assert_eq!(lines, kept, "{text:?}");
            assert_eq!(mended.len(), text.len());
            assert_eq!(broken, !faults.is_empty(), "{text:?}");
        }
    }
}
