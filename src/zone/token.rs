//! The words of a master file (RFC 1035 section 5.1): blanks, quotes, parentheses, comments.

use std::ops::Range;

use super::mistake::{Mistake, is_break, quote};

/// Most words of one entry: more than the longest RDATA could hold.
const WORDS_MAX: usize = 70_000;

/// One word of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// The octets as written, escapes included; without the quotes when it is quoted.
    pub text: &'a [u8],
    /// Where `text` starts in the file.
    pub start: usize,
    /// How it is quoted.
    pub form: Form,
}

/// How a word is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Not at all.
    Plain,
    /// From its first octet to its last: `"a b"`.
    Quoted,
    /// In part: `alpn="h2,h3"`.
    Mixed,
}

impl Word<'_> {
    /// The octets of the file it takes, quotes included.
    pub(super) fn range(&self) -> Range<usize> {
        let end = self.start + self.text.len();
        if self.form == Form::Quoted {
            self.start.saturating_sub(1)..end + 1
        } else {
            self.start..end
        }
    }
}

/// What an entry's line starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Line of the first word, from 1.
    pub line: u32,
    /// The line starts with a blank: the owner is that of the record before.
    pub owner_omitted: bool,
}

/// Splits a text into entries: lines, or several lines joined by parentheses.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    /// The open parenthesis, if any.
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    at: usize,
    line: u32,
}

/// What an octet is to the lexer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Ordinary,
    Blank,
    Break,
    Comment,
    Open,
    Close,
    Quote,
    Escape,
    Control,
}

fn class(byte: u8) -> Class {
    match byte {
        b' ' | b'\t' => Class::Blank,
        b'\n' | b'\r' => Class::Break,
        b';' => Class::Comment,
        b'(' => Class::Open,
        b')' => Class::Close,
        b'"' => Class::Quote,
        b'\\' => Class::Escape,
        0..0x20 | 0x7f => Class::Control,
        _ => Class::Ordinary,
    }
}

impl<'a> Lexer<'a> {
    /// Reads `text` from its start.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self::from(text, 0)
    }

    /// Reads `text` from this octet of its first line on.
    pub(super) fn from(text: &'a [u8], at: usize) -> Self {
        Self { text, at, line: 1, open: None }
    }

    /// Reads the next entry into `words`; `None` at the end of the text. After a mistake,
    /// [`Lexer::recover`] goes on with the next entry.
    pub(super) fn entry(&mut self, words: &mut Vec<Word<'a>>) -> Result<Option<Entry>, Mistake> {
        words.clear();
        let mut entry = self.start();
        while let Some(byte) = self.text.get(self.at).copied() {
            match class(byte) {
                Class::Blank => self.at += 1,
                Class::Comment => self.skip_to_break(),
                Class::Break => {
                    self.skip_break();
                    if self.open.is_none() {
                        if !words.is_empty() {
                            return Ok(Some(entry));
                        }
                        entry = self.start();
                    }
                }
                Class::Open => self.open_parenthesis()?,
                Class::Close => self.close_parenthesis()?,
                Class::Control => return Err(self.control(byte)),
                Class::Ordinary | Class::Quote | Class::Escape => {
                    if words.is_empty() {
                        entry.line = self.line;
                    }
                    let word = self.word()?;
                    if words.len() >= WORDS_MAX {
                        return Err(Mistake::new(word.range(), "the record has too many words")
                            .hint(format!("at most {WORDS_MAX}")));
                    }
                    words.push(word);
                }
            }
        }
        if let Some(open) = self.open {
            return Err(Mistake::new(open.at..open.at + 1, "`(` is never closed")
                .hint("end the record with `)`"));
        }
        Ok((!words.is_empty()).then_some(entry))
    }

    /// Skips the rest of an entry with a mistake: to the end of the line, and inside parentheses
    /// to the next line that starts like a record.
    pub(super) fn recover(&mut self) {
        let Some(open) = self.open.take() else { return self.skip_to_break() };
        if self.at >= self.text.len() {
            (self.at, self.line) = (open.at, open.line);
        }
        loop {
            self.skip_to_break();
            self.skip_break();
            match self.text.get(self.at).map(|byte| class(*byte)) {
                Some(Class::Blank | Class::Break | Class::Close | Class::Comment) => {}
                _ => return,
            }
        }
    }

    fn start(&self) -> Entry {
        let first = self.text.get(self.at).map(|byte| class(*byte));
        Entry { line: self.line, owner_omitted: first == Some(Class::Blank) }
    }

    fn skip_to_break(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| is_break(*byte)).unwrap_or(rest.len());
    }

    fn skip_break(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += match rest {
            [b'\r', b'\n', ..] => 2,
            [_, ..] => 1,
            [] => return,
        };
        self.line += 1;
    }

    fn open_parenthesis(&mut self) -> Result<(), Mistake> {
        let here = self.at..self.at + 1;
        if let Some(Open { line, .. }) = self.open {
            return Err(Mistake::new(here, "`(` inside parentheses")
                .hint(format!("close the `(` of line {line} first")));
        }
        self.open = Some(Open { at: self.at, line: self.line });
        self.at += 1;
        Ok(())
    }

    fn close_parenthesis(&mut self) -> Result<(), Mistake> {
        if self.open.take().is_none() {
            return Err(Mistake::new(self.at..self.at + 1, "`)` without `(`"));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self) -> Result<Word<'a>, Mistake> {
        let start = self.at;
        if self.text.get(start) == Some(&b'"') {
            let text = self.quoted()?;
            return Ok(Word { text, start: start + 1, form: Form::Quoted });
        }
        let mut form = Form::Plain;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| class(*byte) != Class::Ordinary);
            self.at += plain.unwrap_or(rest.len());
            match self.text.get(self.at).map(|byte| (*byte, class(*byte))) {
                Some((_, Class::Escape)) => self.skip_escape(),
                Some((_, Class::Quote)) => {
                    form = Form::Mixed;
                    self.quoted()?;
                }
                Some((byte, Class::Control)) => return Err(self.control(byte)),
                _ => break,
            }
        }
        Ok(Word { text: self.text.get(start..self.at).unwrap_or_default(), start, form })
    }

    /// Reads from an opening quote past the closing one; gives what is between them.
    fn quoted(&mut self) -> Result<&'a [u8], Mistake> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.text.get(self.at).copied() {
            match class(byte) {
                Class::Quote => {
                    self.at += 1;
                    return Ok(self.text.get(start + 1..self.at - 1).unwrap_or_default());
                }
                Class::Escape => self.skip_escape(),
                Class::Control => return Err(self.control(byte)),
                Class::Break => break,
                _ => self.at += 1,
            }
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        Err(Mistake::new(start..self.at, format!("{} has no closing quote", quote(word)))
            .hint("a quoted string ends on the line it starts on"))
    }

    /// Skips a backslash and the octet it protects; what stands there is judged with the word.
    fn skip_escape(&mut self) {
        self.at += 1;
        let next = self.text.get(self.at).map(|byte| class(*byte));
        if next.is_some_and(|next| !matches!(next, Class::Break | Class::Control)) {
            self.at += 1;
        }
    }

    fn control(&self, byte: u8) -> Mistake {
        Mistake::new(
            self.at..self.at + 1,
            format!("the file holds the control octet `\\{byte:03}`"),
        )
        .hint("a zone file is plain text; in names and strings write the octet as shown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as `line owner-omitted? words…`, mistakes as `! octets what`.
    fn entries(text: &str) -> Vec<String> {
        let (mut lexer, mut words, mut seen) = (Lexer::new(text.as_bytes()), Vec::new(), vec![]);
        loop {
            match lexer.entry(&mut words) {
                Ok(None) => return seen,
                Ok(Some(entry)) => {
                    let shown: Vec<String> = words.iter().map(show).collect();
                    let blank = if entry.owner_omitted { "_" } else { "" };
                    seen.push(format!("{}{blank} {}", entry.line, shown.join("|")));
                }
                Err(mistake) => {
                    seen.push(format!("! {:?} {}", mistake.range, mistake.what));
                    lexer.recover();
                }
            }
        }
    }

    fn show(word: &Word<'_>) -> String {
        let text = String::from_utf8_lossy(word.text);
        match word.form {
            Form::Plain => text.into_owned(),
            Form::Quoted => format!("<{text}>"),
            Form::Mixed => format!("~{text}"),
        }
    }

    #[test]
    fn splits_text_into_entries_and_words() {
        for (case, text, expected) in [
            ("nothing", "", &[][..]),
            ("blank and comment lines", "\n  \n; x\n\t; y\n", &[]),
            ("a line", "a IN A 1\n", &["1 a|IN|A|1"]),
            ("no line feed at the end", "a\nb", &["1 a", "2 b"]),
            ("an omitted owner", "a x\n\ty\n z", &["1 a|x", "2_ y", "3_ z"]),
            ("a comment right after a word", "a x;y\nb", &["1 a|x", "2 b"]),
            ("lines with CR LF", "a x\r\nb\r\n", &["1 a|x", "2 b"]),
            ("lines with CR alone", "a x\r; c\rb", &["1 a|x", "3 b"]),
            ("parentheses over lines", "a ( x ; c\n\n  y\n) z\nb", &["1 a|x|y|z", "5 b"]),
            ("parentheses without blanks", "a(x)y\nb", &["1 a|x|y", "2 b"]),
            ("a record that starts with a parenthesis", "(\na x )\n", &["2 a|x"]),
            ("quotes hold everything", "a \"; ( ) \t x\" y", &["1 a|<; ( ) \t x>|y"]),
            ("an escaped quote in quotes", r#"a "x\"y" z"#, &[r#"1 a|<x\"y>|z"#]),
            ("an empty string", "a \"\"", &["1 a|<>"]),
            ("strings without a blank between", "a \"x\"\"y\"z", &["1 a|<x>|<y>|z"]),
            ("quotes within a word", "a k=\"x y\",z b", &["1 a|~k=\"x y\",z|b"]),
            ("escapes in words", "a\\ b\\;c\\( \\\"d", &["1 a\\ b\\;c\\(|\\\"d"]),
            ("a backslash at the end of a line", "a\\\nb", &["1 a\\", "2 b"]),
            ("octets above ASCII", "ä ö", &["1 ä|ö"]),
        ] {
            assert_eq!(entries(text), expected, "{case}");
        }
    }

    #[test]
    fn goes_on_after_a_mistake() {
        for (case, text, expected) in [
            (
                "an unclosed quote ends with its line",
                "a \"x\nb y",
                &["! 2..4 `\"x` has no closing quote", "2 b|y"][..],
            ),
            (
                "an unclosed parenthesis ends before the next owner",
                "a ( x\n y\n)\n; c\nb z",
                &["1 a|x|y", "5 b|z"],
            ),
            (
                "a parenthesis never closed",
                "a ( x\n y\nb z\n",
                &["! 2..3 `(` is never closed", "3 b|z"],
            ),
            (
                "nested parentheses",
                "a ( x\nb ( y )\nc z",
                &["! 8..9 `(` inside parentheses", "3 c|z"],
            ),
            ("a stray parenthesis", "a )\nb", &["! 2..3 `)` without `(`", "2 b"]),
            (
                "binary octets",
                "a\0b\nc \u{7f}\nd",
                &[
                    "! 1..2 the file holds the control octet `\\000`",
                    "! 6..7 the file holds the control octet `\\127`",
                    "3 d",
                ],
            ),
        ] {
            assert_eq!(entries(text), expected, "{case}");
        }
    }

    #[test]
    fn bounds_the_words_of_an_entry() {
        let text = format!("({})", "a\n".repeat(WORDS_MAX + 1));
        assert!(entries(&text).first().is_some_and(|first| first.ends_with("too many words")));
    }
}
