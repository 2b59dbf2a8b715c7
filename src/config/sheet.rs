//! One file while it is resolved: its values, places, mistakes and values in force.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use toml::Spanned;

use super::defaults::Preset;
use super::effective::{Effective, Origin};
use super::files::{Files, Place};
use super::spec::{Field, List};
use super::tree::{Cut, Step};
use super::value::Fault;
use super::wording::meant_name;
use crate::diagnostic::{Diagnostic, Diagnostics, Location, Severity, Source};

/// Mistakes shown of one file; nobody reads more, and looking up what was meant takes time.
const MISTAKES_MAX: usize = 200;

/// One file while it is resolved.
pub(super) struct Sheet {
    /// The text.
    pub source: Source,
    /// What the reader took out and reported.
    pub cuts: Vec<Cut>,
    /// Whether more may be missing than what was cut out, as after a lost bracket.
    pub broken: bool,
    /// All mistakes and warnings of this file, up to [`MISTAKES_MAX`] mistakes.
    pub findings: Diagnostics,
    /// Number of mistakes, those not shown included.
    pub mistakes: usize,
    /// Every value in force, when somebody asks for them.
    pub effective: Option<Vec<Effective>>,
}

impl Sheet {
    /// A file of which nothing is known yet.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            cuts: Vec::new(),
            broken: false,
            findings: Diagnostics::default(),
            mistakes: 0,
            effective: None,
        }
    }

    /// Whether so much is wrong that looking for more is a waste.
    pub(super) fn is_full(&self) -> bool {
        self.mistakes >= MISTAKES_MAX
    }

    /// A stand-in for a file that cannot be read: anything may be missing from it.
    pub(super) fn unreadable(file: &str, why: Diagnostic) -> Self {
        let mut findings = Diagnostics::default();
        findings.push(why);
        Self { broken: true, findings, mistakes: 1, ..Self::new(Source::new(file, "")) }
    }

    /// The top of the file.
    pub(super) fn top(&mut self) -> Section<'_> {
        Section { sheet: self, path: String::new(), header: 0..0 }
    }

    /// Reports a mistake.
    pub(super) fn error(&mut self, span: Range<usize>, fault: Fault) {
        self.mistakes += 1;
        if self.mistakes <= MISTAKES_MAX {
            self.report(Severity::Error, span, fault);
        } else if self.mistakes == MISTAKES_MAX + 1 {
            let at = Location::file(self.source.file());
            let what = format!("more than {MISTAKES_MAX} mistakes, the rest is not shown");
            self.findings.push(Diagnostic::error(at, what));
        }
    }

    /// Reports what is probably not meant.
    pub(super) fn warn(&mut self, span: Range<usize>, fault: Fault) {
        if !self.is_full() {
            self.report(Severity::Warning, span, fault);
        }
    }

    fn report(&mut self, severity: Severity, span: Range<usize>, fault: Fault) {
        let at = self.source.locate(span);
        self.findings.push(Diagnostic::new(severity, at, fault.what).or_hint(fault.hint));
    }

    /// Names below the table `kind` that were cut out: they exist, but nothing is known of them.
    pub(super) fn lost_names(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.cuts.iter().filter_map(move |cut| match cut.path.as_slice() {
            [Step::Key(table), Step::Key(name)] if table == kind => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether the table `kind` itself was cut out, or anything may be missing.
    pub(super) fn lost_table(&self, kind: &str) -> bool {
        let lost = |cut: &Cut| matches!(cut.path.as_slice(), [Step::Key(key)] if key == kind);
        self.broken || self.cuts.iter().any(lost)
    }

    /// Whether `key` of the table or list that starts at `parent` was cut out, perhaps because it
    /// is misspelt; `None`: anything.
    fn lost(&self, parent: usize, key: Option<&str>) -> bool {
        let same = |step: Option<&Step>| match (step, key) {
            (Some(Step::Key(cut)), Some(key)) => meant_name(cut, &[key]).is_some(),
            (cut, None) => cut.is_some(),
            _ => false,
        };
        self.broken || self.cuts.iter().any(|cut| cut.parent == parent && same(cut.path.last()))
    }

    fn in_force(&mut self, key: &str, value: &str, line: Option<u32>) {
        let file = self.source.file().to_string();
        if let Some(all) = &mut self.effective {
            let from = line.map_or(Origin::Default, |line| Origin::Line(file.clone(), line));
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            all.push(Effective { file, key: key.to_owned(), value, from });
        }
    }
}

/// One table of a file while it is resolved.
pub(super) struct Section<'s> {
    /// The file.
    pub sheet: &'s mut Sheet,
    /// The tables around and this one, with dots; empty at the top.
    path: String,
    /// Where the table starts: its header, or all of an inline table.
    header: Range<usize>,
}

impl Section<'_> {
    /// A table inside this one.
    pub(super) fn inside<'t>(&'t mut self, key: &str, header: Range<usize>) -> Section<'t> {
        let path = self.path_of(key);
        Section { sheet: self.sheet, path, header }
    }

    /// A table with a name: `[kind.name]`.
    pub(super) fn named<'t>(
        &'t mut self,
        kind: &str,
        name: &str,
        header: Range<usize>,
    ) -> Section<'t> {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let quoted = if !name.is_empty() && name.chars().all(bare) {
            name.to_owned()
        } else {
            format!("\"{name}\"")
        };
        self.inside(&format!("{kind}.{quoted}"), header)
    }

    /// An item of a list of tables.
    pub(super) fn item<'t>(
        &'t mut self,
        key: &str,
        index: usize,
        header: Range<usize>,
    ) -> Section<'t> {
        self.inside(&format!("{key}[{index}]"), header)
    }

    /// The place of a span.
    pub(super) fn locate(&self, span: Range<usize>) -> Location {
        self.sheet.source.locate(span)
    }

    /// The place of the table itself.
    pub(super) fn header(&self) -> Range<usize> {
        self.header.clone()
    }

    /// Reports a mistake.
    pub(super) fn error(&mut self, span: Range<usize>, fault: Fault) {
        self.sheet.error(span, fault);
    }

    /// Reports what is probably not meant.
    pub(super) fn warn(&mut self, span: Range<usize>, fault: Fault) {
        self.sheet.warn(span, fault);
    }

    /// Reports a mistake in another file that this one names.
    pub(super) fn found(&mut self, error: Diagnostic) {
        self.sheet.mistakes += 1;
        self.sheet.findings.push(error);
    }

    /// Reports what is probably not meant in another file that this one names.
    pub(super) fn found_warning(&mut self, warning: Diagnostic) {
        if !self.sheet.is_full() {
            self.sheet.findings.push(warning);
        }
    }

    /// Reports a mistake of the table as a whole, unless `key`, which would mend it, was cut out.
    pub(super) fn lacks(&mut self, key: &str, fault: Fault) {
        // A table that is there only as part of another one's header was hardly meant.
        let text = self.sheet.source.text().get(self.header.clone()).unwrap_or_default();
        let implied = !text.is_empty() && !text.starts_with(['[', '{', '"']);
        let key = (!implied).then_some(key);
        if !self.sheet.lost(self.header.start, key) {
            self.sheet.error(self.header.clone(), fault);
        }
    }

    /// Reports that a key is missing, unless it was cut out.
    pub(super) fn missing(&mut self, key: &str) {
        let of = match self.path.rsplit_once('.').map_or(self.path.as_str(), |(_, last)| last) {
            "" => String::new(),
            item if item.ends_with(']') => " in this item".to_owned(),
            _ => format!(" in `{}`", self.path),
        };
        self.lacks(key, Fault::new(format!("`{key}` is missing{of}")));
    }

    /// The value read from a key, whose mistake is reported here.
    pub(super) fn read<U>(
        &mut self,
        key: &str,
        span: Range<usize>,
        value: Result<U, Fault>,
    ) -> Option<U> {
        match value {
            Ok(value) => {
                self.written(key, span);
                Some(value)
            }
            Err(fault) => {
                self.error(span, fault);
                None
            }
        }
    }

    /// A key that must be there.
    pub(super) fn required<T, U>(
        &mut self,
        key: &str,
        field: Option<&Spanned<T>>,
        read: impl FnOnce(&T) -> Result<U, Fault>,
    ) -> Option<U> {
        if field.is_none() {
            self.missing(key);
        }
        self.optional(key, field, read)
    }

    /// A key that has no default.
    pub(super) fn optional<T, U>(
        &mut self,
        key: &str,
        field: Option<&Spanned<T>>,
        read: impl FnOnce(&T) -> Result<U, Fault>,
    ) -> Option<U> {
        let field = field?;
        self.read(key, field.span(), read(field.get_ref()))
    }

    /// A key with a default, which also stands in for a value with a mistake.
    pub(super) fn value<T, U>(
        &mut self,
        key: &str,
        field: &Field<T>,
        preset: Preset<U>,
        read: impl FnOnce(&T) -> Result<U, Fault>,
    ) -> U {
        if field.is_none() {
            self.default(key, preset.written);
        }
        self.optional(key, field.as_ref(), read).unwrap_or(preset.value)
    }

    /// The items of a list that could be read; those for which `read` gives nothing are reported
    /// already. The same item twice is a mistake.
    pub(super) fn list<T, U: Clone + Eq + Hash>(
        &mut self,
        key: &str,
        field: &List<T>,
        mut read: impl FnMut(&T) -> Result<Option<U>, Fault>,
    ) -> Vec<U> {
        let Some(field) = field else { return Vec::new() };
        self.written(key, field.span());
        let mut first: HashMap<U, Range<usize>> = HashMap::new();
        let mut items = Vec::new();
        for item in field.get_ref() {
            if self.sheet.is_full() {
                break;
            }
            match read(item.get_ref()) {
                Err(fault) => self.error(item.span(), fault),
                Ok(None) => {}
                Ok(Some(value)) => {
                    if let Some(before) = first.insert(value.clone(), item.span()) {
                        let before = self.locate(before).line;
                        let text = self.text(item.span());
                        let fault = Fault::new(format!("`{text}` is listed twice"));
                        self.error(item.span(), fault.hint(format!("first in line {before}")));
                    } else {
                        items.push(value);
                    }
                }
            }
        }
        items
    }

    /// Reports a list that is there but empty, when nothing was cut out of it.
    pub(super) fn not_empty<T>(&mut self, field: &List<T>, fault: Fault) {
        if let Some(field) = field
            && field.get_ref().is_empty()
            && !self.sheet.lost(field.span().start, None)
        {
            self.error(field.span(), fault);
        }
    }

    /// The text of the file that a key names, from `folder` on, and notes the key as written;
    /// `None`: it cannot be read, which is reported.
    pub(super) fn file(
        &mut self,
        key: &str,
        field: &Spanned<String>,
        folder: &Place,
        files: &mut Files,
    ) -> Option<Source> {
        let place = folder.join(field.get_ref());
        match files.read(&place) {
            Ok(source) => {
                self.written(key, field.span());
                return Some(source);
            }
            // Of text that is none the place in it is known.
            Err(error) if error.at.line > 0 => self.found(error),
            Err(error) => {
                let fault = Fault::new(format!("`{}` {}", place.shown, error.what));
                self.error(field.span(), fault);
            }
        }
        None
    }

    /// Notes a value that is written.
    pub(super) fn written(&mut self, key: &str, span: Range<usize>) {
        if self.sheet.effective.is_some() {
            let line = self.locate(span.clone()).line;
            let value = self.sheet.source.text().get(span).unwrap_or_default().to_owned();
            let path = self.path_of(key);
            self.sheet.in_force(&path, &value, Some(line));
        }
    }

    /// Notes a default that is in force.
    pub(super) fn default(&mut self, key: &str, value: &str) {
        if self.sheet.effective.is_some() {
            let path = self.path_of(key);
            self.sheet.in_force(&path, value, None);
        }
    }

    /// The text of a span, without the quotes around it.
    pub(super) fn text(&self, span: Range<usize>) -> String {
        let text = self.sheet.source.text().get(span).unwrap_or_default();
        text.trim_matches(['"', '\'']).to_owned()
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}
