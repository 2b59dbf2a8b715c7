//! Comma-separated rows with their places in the file (RFC 4180, without line feeds in fields).

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Diagnostics, Location, Source, reason};

/// Mistakes of a file that are told; the rest is probably the same one.
const MISTAKES_MAX: usize = 20;
/// Longest file in octets: many times a prefix for each network of the internet.
const LENGTH_MAX: u64 = 512 << 20;

/// A file of rows.
pub(crate) struct Rows {
    source: Source,
    header: Vec<String>,
    mistakes: usize,
    found: Diagnostics,
}

/// One field of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Field {
    /// Its text, without quotes around it.
    pub(crate) text: String,
    span: Range<usize>,
}

/// One row.
pub(crate) struct Row {
    fields: Vec<Field>,
}

impl Rows {
    /// Reads a file.
    pub(crate) fn open(path: &Path) -> Result<Self, Diagnostics> {
        let shown = path.display().to_string();
        let long = fs::metadata(path).is_ok_and(|data| data.len() > LENGTH_MAX);
        let text = if long {
            Err(format!("the file is longer than {} MiB", LENGTH_MAX >> 20))
        } else {
            fs::read_to_string(path).map_err(|error| format!("cannot be read: {}", reason(&error)))
        };
        match text {
            Ok(text) => Ok(Self::new(&shown, &text)),
            Err(why) => {
                let mut found = Diagnostics::default();
                found.push(Diagnostic::error(Location::file(&shown), why));
                Err(found)
            }
        }
    }

    /// Reads a text that goes by this name.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let source = Source::new(name, text);
        let header = text.lines().next().map(|line| split(line, 0)).unwrap_or_default();
        let header = header.into_iter().map(|field| field.text.trim().to_owned()).collect();
        Self { source, header, mistakes: 0, found: Diagnostics::default() }
    }

    /// The place of a column; a mistake where it is missing and needed.
    pub(crate) fn column(&mut self, name: &str, needed: bool) -> Option<usize> {
        let at = self.header.iter().position(|column| column == name);
        if at.is_none() && needed {
            let file = self.source.file().clone();
            let what = format!("the column `{name}` is missing");
            let columns = self.header.join("`, `");
            let error = Diagnostic::error(Location::file(&file), what);
            self.found.push(error.hint(format!("the first line names the columns: `{columns}`")));
            self.mistakes += 1;
        }
        at
    }

    /// All rows but the header and empty ones.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let text = self.source.text();
        let mut start = 0;
        let mut rows = Vec::new();
        for line in text.split_inclusive('\n') {
            let content = line.trim_end_matches(['\n', '\r']);
            if start > 0 && !content.trim().is_empty() {
                rows.push(Row { fields: split(content, start) });
            }
            start += line.len();
        }
        rows
    }

    /// Notes what is wrong with a field.
    pub(crate) fn mistake(&mut self, field: &Field, what: String, hint: &str) {
        self.mistakes += 1;
        if self.mistakes <= MISTAKES_MAX {
            let error = Diagnostic::error(self.source.locate(field.span.clone()), what);
            self.found.push(if hint.is_empty() { error } else { error.hint(hint) });
        }
    }

    /// What was read, unless something was wrong.
    pub(crate) fn finish<T>(self, read: T) -> Result<T, Diagnostics> {
        if self.mistakes == 0 { Ok(read) } else { Err(self.found) }
    }

    /// A number in a column, in a range.
    pub(crate) fn number(
        &mut self,
        row: &Row,
        at: Option<usize>,
        (least, most): (f64, f64),
    ) -> Option<f64> {
        let field = row.field(at?);
        let read = field.text.trim().parse::<f64>().ok();
        let read = read.filter(|number| (least..=most).contains(number));
        if read.is_none() {
            let what = format!("`{}` is not a number from {least} to {most}", field.text);
            self.mistake(&field, what, "");
        }
        read
    }
}

impl Row {
    /// A field; empty where the row is too short.
    pub(crate) fn field(&self, at: usize) -> Field {
        self.fields.get(at).cloned().unwrap_or_else(|| {
            let end = self.fields.last().map_or(0, |field| field.span.end);
            Field { text: String::new(), span: end..end }
        })
    }

    /// The text of a field in a column that may be missing.
    pub(crate) fn text(&self, at: Option<usize>) -> String {
        at.map_or_else(String::new, |at| self.field(at).text)
    }
}

/// The fields of a line that starts at an offset.
fn split(line: &str, start: usize) -> Vec<Field> {
    let mut fields = Vec::new();
    let (mut from, mut quoted) = (0, false);
    let mut field = |range: Range<usize>| {
        let text = line.get(range.clone()).unwrap_or_default();
        let bare = text.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = bare.map_or_else(|| text.to_owned(), |bare| bare.replace("\"\"", "\""));
        fields.push(Field { text, span: start + range.start..start + range.end });
    };
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                field(from..at);
                from = at + 1;
            }
            _ => {}
        }
    }
    field(from..line.len());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_with_their_places() {
        let mut rows = Rows::new("a.csv", "name,ms\n\"a, \"\"b\"\"\",7\n\nc,-3\nd\n");
        let (name, ms) = (rows.column("name", true), rows.column("ms", true));
        let all = rows.rows();
        let names: Vec<String> = all.iter().map(|row| row.text(name)).collect();
        assert_eq!(names, ["a, \"b\"", "c", "d"]);
        let numbers: Vec<_> = all.iter().map(|row| rows.number(row, ms, (0.0, 9.0))).collect();
        assert_eq!(numbers, [Some(7.0), None, None]);
        let found = rows.finish(()).unwrap_err().to_string();
        assert!(found.contains("a.csv:4:3: error: `-3` is not a number from 0 to 9"), "{found}");
        assert!(found.contains("a.csv:5:2: error: `` is not a number"), "{found}");
        let mut rows = Rows::new("b.csv", "a,b\n");
        assert_eq!(rows.column("c", true), None);
        assert!(rows.finish(()).is_err());
    }
}
