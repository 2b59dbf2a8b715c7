//! What holds for all diagnostics: they lie in the text they are about, and can be shown.

use meridian::diagnostic::Diagnostics;

/// How a text is cut into lines.
#[derive(Clone, Copy)]
pub enum Lines {
    /// At line feeds, with or without a carriage return before them.
    Feeds,
    /// At carriage returns alone too, as in master files.
    FeedsAndReturns,
}

impl Lines {
    fn of(self, text: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
        let ends: &[char] = match self {
            Self::Feeds => &['\n'],
            Self::FeedsAndReturns => &['\n', '\r'],
        };
        text.split(ends).map(str::to_owned).collect()
    }
}

/// Checks all of `found`; `text_of` gives the text of a file by the name shown, where it is known.
pub fn check<'t>(found: &Diagnostics, lines: Lines, text_of: impl Fn(&str) -> Option<&'t [u8]>) {
    for diagnostic in found.sorted() {
        let shown = diagnostic.to_string();
        assert!(!diagnostic.what.is_empty(), "{shown}");
        let at = &diagnostic.at;
        if at.line == 0 {
            assert_eq!((at.column, at.width), (0, 1), "{shown}");
            continue;
        }
        let Some(text) = text_of(&at.file) else { continue };
        let lines = lines.of(text);
        let line = lines.get(at.line as usize - 1);
        let line = line.unwrap_or_else(|| panic!("only {} lines: {shown}", lines.len()));
        let columns = line.chars().count() as u32 + 1;
        assert!((1..=columns).contains(&at.column), "{columns} columns: {shown}");
        assert!(at.width >= 1 && at.column + at.width <= columns + 1, "too wide: {shown}");
    }
}
