//! A Rust source file with its comments and literals told apart from its code.

use std::collections::BTreeSet;
use std::ops::Range;

/// A source file as the rules see it.
#[derive(Debug)]
pub(crate) struct File {
    /// Path below the project's root, with forward slashes.
    pub(crate) path: String,
    /// The text as it is.
    pub(crate) text: String,
    /// The text with comments and the inside of literals blanked; offsets are those of `text`.
    pub(crate) code: String,
    /// The text with all but comments blanked; offsets are those of `text`.
    pub(crate) comments: String,
    /// Whether all of it is compiled for tests alone.
    pub(crate) test_only: bool,
}

impl File {
    /// Reads a file; one below `tests/` or `benches/` is for tests alone.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let kinds = kinds(text.as_bytes());
        let keep = |wanted: &[Kind]| {
            let kept = text.bytes().zip(&kinds).map(|(byte, kind)| {
                if byte == b'\n' || wanted.contains(kind) { byte } else { b' ' }
            });
            String::from_utf8(kept.collect()).expect("whole characters are blanked")
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: keep(&[Kind::Code]),
            comments: keep(&[Kind::Comment]),
            test_only: !path.starts_with("src/"),
        }
    }

    /// Line of an offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    /// Whether the code at `offset` is compiled for tests alone.
    pub(crate) fn in_tests(&self, offset: usize) -> bool {
        self.test_only || self.test_modules().iter().any(|range| range.contains(&offset))
    }

    /// Where `word` stands in the code as a whole word.
    pub(crate) fn words(&self, word: &str) -> Vec<usize> {
        self.code
            .match_indices(word)
            .map(|(at, _)| at)
            .filter(|at| {
                let before = self.code[..*at].chars().next_back();
                let after = self.code[at + word.len()..].chars().next();
                !before.is_some_and(is_word) && !after.is_some_and(is_word)
            })
            .collect()
    }

    /// Functions with a body: name, offset of `fn`, offset of the closing brace.
    pub(crate) fn functions(&self) -> Vec<(&str, Range<usize>)> {
        self.words("fn").into_iter().filter_map(|at| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<(&str, Range<usize>)> {
        let rest = self.code[at + 2..].trim_start();
        let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let mut depth = 0i32;
        let start = self.code.len() - rest.len() + name.len();
        let mut before = ' ';
        for (offset, c) in self.code[start..].char_indices() {
            let arrow = c == '>' && before == '-';
            before = c;
            match c {
                '(' | '[' | '<' => depth += 1,
                '>' if arrow => {}
                ')' | ']' | '>' => depth -= 1,
                ';' if depth == 0 => return None,
                '{' if depth == 0 && !name.is_empty() => {
                    return Some((name, at..self.closing(start + offset)));
                }
                '{' | '}' | '=' | ',' if depth <= 0 => return None,
                _ => {}
            }
        }
        None
    }

    /// Offset of the brace that closes the one at `open`.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0i32;
        for (offset, c) in self.code[open..].char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 {
                return open + offset;
            }
        }
        self.code.len()
    }

    /// Inline modules: the range between their braces.
    pub(crate) fn inline_modules(&self) -> Vec<Range<usize>> {
        self.modules().into_iter().filter_map(|(_, body)| body.ok()).collect()
    }

    /// Names of the modules in other files that this one declares for tests alone.
    pub(crate) fn test_files(&self) -> BTreeSet<String> {
        let modules = self.modules().into_iter();
        modules
            .filter(|(_, body)| body.as_ref().is_err_and(|at| self.after_cfg_test(*at)))
            .map(|(name, _)| name)
            .collect()
    }

    fn test_modules(&self) -> Vec<Range<usize>> {
        let mut ranges = self.inline_modules();
        ranges.retain(|body| {
            let module = self.code[..body.start].rfind("mod").unwrap_or(0);
            self.after_cfg_test(module)
        });
        ranges
    }

    /// Modules by name: the body of an inline one, or the offset of a declaration.
    fn modules(&self) -> Vec<(String, Result<Range<usize>, usize>)> {
        let at = |at: usize| {
            let rest = self.code[at + 3..].trim_start();
            let name = rest[..rest.find(|c| !is_word(c))?].to_owned();
            let tail = rest[name.len()..].trim_start();
            let open = self.code.len() - tail.len();
            match tail.chars().next()? {
                '{' => Some((name, Ok(open..self.closing(open)))),
                ';' => Some((name, Err(at))),
                _ => None,
            }
        };
        self.words("mod").into_iter().filter_map(at).collect()
    }

    /// Whether the item whose keyword is at `offset` has the attribute `#[cfg(test)]`.
    fn after_cfg_test(&self, offset: usize) -> bool {
        let before = &self.code[..offset];
        let item = before.rfind([';', '{', '}']).map_or(0, |at| at + 1);
        before[item..].contains("#[cfg(test)]")
    }
}

/// Whether a character can stand in an identifier.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What a byte of source text is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Tells for each byte what it is part of; the quotes of literals count as code.
fn kinds(text: &[u8]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; text.len()];
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let (kind, length) = match rest {
            [b'/', b'/', ..] => (Kind::Comment, to_byte(rest, b'\n')),
            [b'/', b'*', ..] => (Kind::Comment, block_comment(rest)),
            [b'"', ..] => (Kind::Literal, string(rest)),
            [b'\'', ..] => (Kind::Literal, character(rest)),
            [b'r', b'"' | b'#', ..] if starts_token(text, at) => (Kind::Literal, raw_string(rest)),
            _ => (Kind::Code, 1),
        };
        let length = length.clamp(1, rest.len());
        let inside = if kind == Kind::Literal && length > 1 { 1..length - 1 } else { 0..length };
        if kind != Kind::Literal || length > 1 {
            kinds[at..][inside].fill(kind);
        }
        at += length;
    }
    kinds
}

/// Whether the `r` at `at` begins a token: nothing, or the `b` or `c` of a raw string, before it.
fn starts_token(text: &[u8], at: usize) -> bool {
    let word = |at: usize| text.get(at).is_some_and(|b| is_word(char::from(*b)));
    match at.checked_sub(1) {
        None => true,
        Some(before) if matches!(text[before], b'b' | b'c') => before == 0 || !word(before - 1),
        Some(before) => !word(before),
    }
}

fn to_byte(text: &[u8], byte: u8) -> usize {
    text.iter().position(|b| *b == byte).unwrap_or(text.len())
}

/// Length of a block comment; they nest.
fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of a string literal, from quote to quote.
fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of a character literal; 1 for the quote of a lifetime.
fn character(text: &[u8]) -> usize {
    match text.get(1) {
        Some(b'\\') => 3 + to_byte(text.get(3..).unwrap_or_default(), b'\'') + 1,
        Some(first) => {
            let width = match first {
                0..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            if text.get(1 + width) == Some(&b'\'') { width + 2 } else { 1 }
        }
        None => 1,
    }
}

/// Length of a raw string, from its `r`; 1 for a raw identifier.
fn raw_string(text: &[u8]) -> usize {
    let hashes = text[1..].iter().take_while(|byte| **byte == b'#').count();
    if text.get(1 + hashes) != Some(&b'"') {
        return 1;
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(vec![b'#'; hashes]).collect();
    let body = 2 + hashes;
    let found = text[body..].windows(end.len()).position(|window| window == end);
    found.map_or(text.len(), |found| body + found + end.len())
}
