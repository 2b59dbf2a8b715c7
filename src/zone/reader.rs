//! The master-file reader (RFC 1035 section 5): files to records, with every mistake on the way.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Files, Open, beside, open};
use super::findings::Tally;
use super::generate::{self, Template};
use super::mistake::{Mistake, Sheet, quote};
use super::rdata::{self, Fields};
use super::records::{Record, Records};
use super::token::{Entry, Form, Lexer, Word};
use super::{duplicates, head};
use crate::diagnostic::{self, Diagnostic, Diagnostics, Location, Severity, reason};
use crate::name::Name;

/// Deepest nesting of `$INCLUDE`.
const DEPTH_MAX: usize = 16;
/// Most files included by one zone, so that files that include two each end somewhere.
const INCLUDES_MAX: u32 = 1000;
/// Most records `$GENERATE` makes in one zone: one line must not fill the memory.
const GENERATED_MAX: u32 = 1 << 20;
/// Most octets of text these records have together: 128 for each, where all are made.
const GENERATED_OCTETS_MAX: usize = 128 << 20;

const SOA: u16 = 6;
const DIRECTIVES: [&str; 4] = ["$ORIGIN", "$TTL", "$INCLUDE", "$GENERATE"];

/// Reads the master file at `path`, named `shown` in diagnostics, and all it includes. The records
/// are sorted; duplicates are dropped with a warning. Records with a mistake are left out.
pub fn read(origin: &Name, path: &Path, shown: &str) -> (Records, Files, Diagnostics) {
    match open(path) {
        Ok(text) => run(origin, path, shown, text, &mut open),
        Err(error) => {
            let mut files = Files::default();
            let _ = files.number(shown, path); // The first file always has a number.
            let mut diagnostics = Diagnostics::default();
            let what = format!("the zone file cannot be read: {}", reason(&error));
            diagnostics.push(Diagnostic::error(Location::file(shown), what));
            (Records::default(), files, diagnostics)
        }
    }
}

/// As [`read`], from memory: `text` is the master file and `open` gives what it includes.
pub fn read_from(
    origin: &Name,
    shown: &str,
    text: &[u8],
    open: &mut Open<'_>,
) -> (Records, Files, Diagnostics) {
    let master = PathBuf::from(shown);
    run(origin, &master, shown, text, &mut with_master(&master, text, open))
}

/// Opens the master file from memory too.
pub(super) fn with_master<'a>(
    master: &'a Path,
    text: &'a [u8],
    open: &'a mut Open<'_>,
) -> impl FnMut(&Path) -> io::Result<Vec<u8>> + 'a {
    move |path| if path == master { Ok(text.to_vec()) } else { open(path) }
}

fn run(
    origin: &Name,
    path: &Path,
    shown: &str,
    text: impl AsRef<[u8]>,
    open: &mut Open<'_>,
) -> (Records, Files, Diagnostics) {
    let mut reader = Reader {
        records: Records::default(),
        files: Files::default(),
        diagnostics: Diagnostics::default(),
        tally: Tally::default(),
        chain: Vec::new(),
        minimum: None,
        rdata: Vec::new(),
        doubts: Vec::new(),
        includes: 0,
        generated: 0,
        generated_octets: 0,
        open,
    };
    let mut scope =
        Scope { origin: origin.as_wire().into(), owner: Owner::None, ttl: None, stated_ttl: None };
    let number = reader.files.number(shown, path).unwrap_or_default();
    reader.records.reserve(text.as_ref().len());
    reader.file(&shown.into(), path, number, text.as_ref(), &mut scope);
    drop(text); // A large file's text must not stay in memory while its records are sorted.
    let Reader { mut records, files, mut diagnostics, tally, .. } = reader;
    tally.hidden(|number| files.shown(number), &mut diagnostics);
    records.sort();
    let dropped = duplicates::remove(&mut records, &files);
    diagnostics.extend(files.diagnose(&dropped, open));
    records.shrink();
    (records, files, diagnostics)
}

/// What a line takes over from the lines before it.
#[derive(Clone, Debug)]
struct Scope {
    /// What relative names are below, in wire form.
    origin: Arc<[u8]>,
    owner: Owner,
    /// Of `$TTL` (RFC 2308 section 4).
    ttl: Option<u32>,
    /// Of the last record that states one (RFC 1035 section 5.1).
    stated_ttl: Option<u32>,
}

/// The owner of the last record.
#[derive(Clone, Debug)]
enum Owner {
    /// There was no record yet.
    None,
    /// In wire form and lower case.
    Known(Vec<u8>),
    /// It could not be read: records that take it over are skipped without another mistake.
    Broken,
}

/// A file being read, and the line in it that includes the next.
struct Link {
    shown: Arc<str>,
    path: PathBuf,
    line: u32,
}

struct Reader<'o> {
    records: Records,
    files: Files,
    diagnostics: Diagnostics,
    tally: Tally,
    /// The files being read, master file first.
    chain: Vec<Link>,
    /// The minimum of the SOA record: a default TTL.
    minimum: Option<u32>,
    /// RDATA of the record being read; kept for its memory.
    rdata: Vec<u8>,
    /// What the record being read probably does not mean.
    doubts: Vec<Mistake>,
    includes: u32,
    generated: u32,
    generated_octets: usize,
    open: &'o mut Open<'o>,
}

impl Reader<'_> {
    /// Reads one file to its end; `scope` is changed by it.
    fn file(&mut self, shown: &Arc<str>, path: &Path, number: u16, text: &[u8], scope: &mut Scope) {
        self.chain.push(Link { shown: shown.clone(), path: path.to_owned(), line: 0 });
        let mut sheet = Sheet::new(shown, text);
        let (mut lexer, mark) = skip_mark(text);
        if let Some(mistake) = mark {
            self.report(&mut sheet, number, Severity::Error, mistake);
        }
        let mut words = Vec::new();
        while !self.tally.is_hopeless(number) {
            let read = match lexer.entry(&mut words) {
                Ok(None) => break,
                Ok(Some(entry)) => self.entry(number, entry, &words, scope),
                Err(mistake) => {
                    lexer.recover();
                    Err(mistake)
                }
            };
            if let Err(mistake) = read {
                self.report(&mut sheet, number, Severity::Error, mistake);
            }
            for doubt in std::mem::take(&mut self.doubts) {
                self.report(&mut sheet, number, Severity::Warning, doubt);
            }
        }
        self.chain.pop();
    }

    fn report(&mut self, sheet: &mut Sheet<'_>, file: u16, severity: Severity, mistake: Mistake) {
        if self.tally.admit(file, severity) {
            self.diagnostics.push(sheet.diagnose(severity, mistake));
        }
    }

    fn entry(
        &mut self,
        file: u16,
        entry: Entry,
        words: &[Word<'_>],
        scope: &mut Scope,
    ) -> Result<(), Mistake> {
        let directive = words.first().filter(|first| {
            !entry.owner_omitted && first.form == Form::Plain && first.text.starts_with(b"$")
        });
        let Some(directive) = directive else { return self.record(file, entry, words, scope) };
        let arguments = words.get(1..).unwrap_or_default();
        match directive.text.to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => {
                let [name] = exactly(directive, arguments, "$ORIGIN NAME")?;
                let mut origin = Vec::new();
                self.doubts.extend(rdata::name(name, &scope.origin, &mut origin)?);
                scope.origin = origin.into();
            }
            b"$TTL" => {
                let [time] = exactly(directive, arguments, "$TTL TIME")?;
                let ttl = head::ttl(time);
                // After a mistake any TTL will do, so that it is not one for each record as well.
                scope.ttl = ttl.as_ref().ok().copied().or(scope.ttl).or(Some(0));
                ttl?;
            }
            b"$INCLUDE" => self.include(entry, directive, arguments, scope)?,
            b"$GENERATE" => self.generate(file, entry, directive, arguments, scope)?,
            _ => {
                let shown = quote(directive.text);
                let upper = String::from_utf8_lossy(directive.text).to_uppercase();
                let known = Some(&upper).filter(|upper| upper.len() <= head::SUGGEST_MAX);
                let hint = match known.and_then(|upper| diagnostic::nearest(upper, DIRECTIVES)) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => "an owner name that starts with a dollar is written `\\$`".to_owned(),
                };
                return Err(Mistake::new(directive.range(), format!("unknown directive {shown}"))
                    .hint(hint));
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        file: u16,
        entry: Entry,
        words: &[Word<'_>],
        scope: &mut Scope,
    ) -> Result<(), Mistake> {
        let first = if entry.owner_omitted { 0 } else { self.owner(words, scope)? };
        if matches!(scope.owner, Owner::Broken) {
            return Ok(());
        }
        let head = head::parse(words, first)?;
        let before = words.get(head.next - 1).map_or(0..0, Word::range);
        let rest = words.get(head.next..).unwrap_or_default();
        let mut fields = Fields::new(rest, before.clone(), &scope.origin);
        self.rdata.clear();
        rdata::encode(head.rtype, &mut fields, &mut self.rdata)?;
        self.doubts.append(&mut fields.doubts);
        if let (SOA, Some(minimum)) = (head.rtype, self.rdata.last_chunk::<4>()) {
            self.minimum = Some(u32::from_be_bytes(*minimum));
        }
        scope.stated_ttl = head.ttl.or(scope.stated_ttl);
        // RFC 2308 section 4: `$TTL` comes before the TTL stated last (RFC 1035 section 5.1).
        let ttl = head.ttl.or(scope.ttl).or(scope.stated_ttl).or(self.minimum);
        let ttl = ttl.ok_or_else(|| {
            // Said once: the records after this one lack it for the same reason.
            self.minimum = Some(0);
            Mistake::new(before.clone(), "the record has no TTL, and none was stated before")
                .hint("start the file with a default such as `$TTL 1h`")
        })?;
        let Owner::Known(owner) = &scope.owner else {
            let at = words.first().map_or(0..0, Word::range);
            return Err(Mistake::new(at, "the first record has no owner name")
                .hint("a line that starts with a blank takes over the owner of the line before"));
        };
        let rdata = &self.rdata;
        let record = Record { owner, rtype: head.rtype, ttl, rdata, file, line: entry.line };
        if self.records.push(record) {
            return Ok(());
        }
        Err(Mistake::new(before, "the zone is too large: at most 4 GiB of records"))
    }

    /// Reads the owner name from the first word; gives the number of words used.
    fn owner(&mut self, words: &[Word<'_>], scope: &mut Scope) -> Result<usize, Mistake> {
        let Some(word) = words.first() else { return Ok(0) };
        let mut owner = match std::mem::replace(&mut scope.owner, Owner::Broken) {
            Owner::Known(owner) => owner,
            Owner::None | Owner::Broken => Vec::new(),
        };
        owner.clear();
        let doubt = rdata::name(word, &scope.origin, &mut owner)?;
        owner.make_ascii_lowercase();
        scope.owner = Owner::Known(owner);
        self.doubts.extend(doubt);
        Ok(1)
    }

    /// `$INCLUDE FILE [ORIGIN]`: what the file changes ends with it (RFC 1035 section 5.1); the
    /// owner too, as in BIND.
    fn include(
        &mut self,
        entry: Entry,
        directive: &Word<'_>,
        arguments: &[Word<'_>],
        scope: &Scope,
    ) -> Result<(), Mistake> {
        let (file, origin) = match arguments {
            [file] => (file, None),
            [file, origin] => (file, Some(origin)),
            _ => return Err(usage(directive, arguments, "$INCLUDE FILE [ORIGIN]")),
        };
        let mut inner = scope.clone();
        if let Some(name) = origin {
            let mut origin = Vec::new();
            self.doubts.extend(rdata::name(name, &scope.origin, &mut origin)?);
            inner.origin = origin.into();
        }
        let wrong = |what: String| Mistake::new(file.range(), what);
        let name = std::str::from_utf8(file.text)
            .map_err(|_| wrong(format!("{} is no file name: expected UTF-8", quote(file.text))))?;
        let Some(includer) = self.chain.last_mut() else { return Ok(()) };
        includer.line = entry.line;
        let path = beside(&includer.path, Path::new(name));
        let shown: Arc<str> =
            beside(Path::new(&*includer.shown), Path::new(name)).to_string_lossy().into();
        if self.chain.iter().any(|link| link.path == path) {
            return Err(wrong(format!("`{shown}` includes itself: {}", self.route())));
        }
        if self.chain.len() > DEPTH_MAX {
            let what = format!("`{shown}` is included too deep: {}", self.route());
            return Err(wrong(what).hint(format!("at most {DEPTH_MAX} files inside each other")));
        }
        self.includes += 1;
        let number = self.files.number(&shown, &path).filter(|_| self.includes <= INCLUDES_MAX);
        let Some(number) = number else {
            let what = format!("the zone includes more than {INCLUDES_MAX} files");
            return Err(wrong(what));
        };
        let text = (self.open)(&path).map_err(|error| {
            let route = match self.chain.as_slice() {
                [_] => String::new(), // The mistake is shown at the line that includes the file.
                _ => format!("; {}", self.route()),
            };
            wrong(format!("`{shown}` cannot be read: {}{route}", reason(&error)))
        })?;
        self.file(&shown, &path, number, &text, &mut inner);
        Ok(())
    }

    /// The include chain in words.
    fn route(&self) -> String {
        let links = self.chain.iter().rev();
        let links: Vec<String> =
            links.map(|link| format!("included by {}:{}", link.shown, link.line)).collect();
        links.join(", ")
    }

    /// `$GENERATE RANGE OWNER [TTL] [CLASS] TYPE RDATA`; RDATA may be one quoted word that holds
    /// several, as in BIND. The scope after it is as before it.
    fn generate(
        &mut self,
        file: u16,
        entry: Entry,
        directive: &Word<'_>,
        arguments: &[Word<'_>],
        scope: &Scope,
    ) -> Result<(), Mistake> {
        const USAGE: &str = "$GENERATE FROM-TO[/STEP] OWNER [TTL] [CLASS] TYPE RDATA";
        let [range, owner, ..] = arguments else {
            return Err(usage(directive, arguments, USAGE));
        };
        let head = head::parse(arguments, 2)?;
        let rdata = arguments.get(head.next..).unwrap_or_default();
        if rdata.is_empty() {
            return Err(usage(directive, arguments, USAGE));
        }
        let numbers = generate::range(range.text).ok_or_else(|| {
            let what =
                format!("{} is no range: expected FROM-TO or FROM-TO/STEP", quote(range.text));
            Mistake::new(range.range(), what)
        })?;
        let count = numbers.size_hint().0 as u64 + u64::from(self.generated);
        self.generated =
            u32::try_from(count).ok().filter(|all| *all <= GENERATED_MAX).ok_or_else(|| {
                let what = format!("{} generates too many records", quote(range.text));
                Mistake::new(range.range(), what)
                    .hint(format!("at most {GENERATED_MAX} in one zone"))
            })?;
        let line = template(owner, arguments.get(2..head.next).unwrap_or_default(), rdata)?;
        let mut scope = scope.clone();
        let mut text = Vec::new();
        for number in numbers {
            text.clear();
            let filled = line.expand(number, &mut text);
            filled.ok_or_else(|| {
                let what = format!("the offset makes number {number} of the range negative");
                Mistake::new(range.range(), what)
            })?;
            self.generated_octets += text.len();
            if self.generated_octets > GENERATED_OCTETS_MAX {
                let what = format!("{} generates too long records", quote(range.text));
                let most = GENERATED_OCTETS_MAX >> 20;
                return Err(Mistake::new(range.range(), what)
                    .hint(format!("at most {most} MiB of text in one zone")));
            }
            let mut words = Vec::new();
            let mut lexer = Lexer::new(&text);
            let read = lexer.entry(&mut words).and_then(|_| {
                let entry = Entry { owner_omitted: false, ..entry };
                self.record(file, entry, &words, &mut scope)
            });
            // Word N of the record is argument N + 1, or in the quoted RDATA at the end.
            let argument = |range: &Range<usize>| {
                let at = words.iter().position(|word| word.range().end >= range.end);
                let at = at.unwrap_or(words.len()) + 1;
                arguments.get(at).or(arguments.last()).map_or(0..0, Word::range)
            };
            self.doubts.iter_mut().for_each(|doubt| doubt.range = argument(&doubt.range));
            read.map_err(|mistake| {
                let what = format!("for number {number} of the range: {}", mistake.what);
                Mistake { range: argument(&mistake.range), what, hint: mistake.hint }
            })?;
        }
        Ok(())
    }
}

/// The record line of `$GENERATE` with its places for numbers.
fn template(owner: &Word<'_>, head: &[Word<'_>], rdata: &[Word<'_>]) -> Result<Template, Mistake> {
    if owner.form != Form::Plain {
        return Err(Mistake::new(owner.range(), "the owner name is quoted"));
    }
    let mut line = owner.text.to_vec();
    for word in head.iter().chain(rdata) {
        line.push(b' ');
        let quotes: &[u8] = match (word.form, rdata) {
            (Form::Quoted, [_, _, ..]) => b"\"",
            _ => b"",
        };
        line.extend([quotes, word.text, quotes].concat());
    }
    Template::parse(&line).map_err(|wrong| {
        let end = rdata.last().unwrap_or(owner).range().end;
        Mistake::new(owner.range().start..end, wrong)
    })
}

/// The one argument of a directive.
fn exactly<'w, 'a>(
    directive: &Word<'_>,
    arguments: &'w [Word<'a>],
    form: &str,
) -> Result<[&'w Word<'a>; 1], Mistake> {
    match arguments {
        [argument] => Ok([argument]),
        _ => Err(usage(directive, arguments, form)),
    }
}

fn usage(directive: &Word<'_>, arguments: &[Word<'_>], form: &str) -> Mistake {
    let end = arguments.last().unwrap_or(directive).range().end;
    Mistake::new(directive.range().start..end, format!("expected `{form}`"))
}

/// Refuses a byte order mark: it is no part of the first name, and two-octet text is no zone file.
fn skip_mark(text: &[u8]) -> (Lexer<'_>, Option<Mistake>) {
    let (length, what) = match text {
        [0xef, 0xbb, 0xbf, ..] => (3, "the file starts with a byte order mark"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => (text.len(), "the file is UTF-16 text"),
        _ => return (Lexer::new(text), None),
    };
    let mistake = Mistake::new(0..1, what).hint("save it as plain UTF-8 or ASCII text");
    (Lexer::from(text, length), Some(mistake))
}

#[cfg(test)]
mod tests;
