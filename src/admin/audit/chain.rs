//! The chain of digests through the lines of an audit log, and through files that were put aside.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::Serialize;

/// Longest line that is read; texts of overrides are bounded far below.
const LINE_MAX: u64 = 1 << 20;
/// What stands between a line's content and its digest.
pub(super) const MARK: &str = ",\"hash\":\"";
/// What stands before the digest of the line before, at the end of a line's content.
const PREVIOUS: &str = ",\"previous\":\"";
/// The digest before the first line.
pub(super) const FIRST: &str = "";
/// The name of the log that is written.
pub(super) const NAME: &str = "audit.log";

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The first line that does not fit, from 1; 0: the file as a whole.
    pub line: u64,
    /// Why.
    pub why: &'static str,
}

/// What the lines of a log say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) count: u64,
    /// The digest that the first line follows; `None`: there is no line that says one.
    pub(super) follows: Option<String>,
    /// The digest of the last line.
    pub(super) last: String,
    pub(super) broken: Option<Broken>,
}

/// One file of a log, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditFile {
    /// Where it is.
    pub file: PathBuf,
    /// Number of its lines.
    pub lines: u64,
    /// The digest that its first line follows; empty: it is the first file of all.
    pub follows: String,
    /// The digest of its last line; empty: it has none.
    pub last: String,
    /// The first thing that is wrong; `None`: nothing is.
    pub broken: Option<Broken>,
}

/// Checks the log in a state folder, with the files that were put aside: the one that is written
/// first, then each that the one before goes on from.
///
/// # Errors
/// When the folder or a file of the log cannot be read.
pub fn examine_audit(state: &Path) -> io::Result<Vec<AuditFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(state)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text == NAME || (text.starts_with("audit-") && text.ends_with(".log")) {
            found.push(examine(state.join(&name))?);
        }
    }
    // The rest stands behind by name, if it follows nothing.
    found.sort_by(|a, b| (!is_current(a), &a.file).cmp(&(!is_current(b), &b.file)));
    let mut chain: Vec<AuditFile> = Vec::with_capacity(found.len());
    while !found.is_empty() {
        let wanted = chain.last().map(|file| file.follows.clone()).filter(|last| last != FIRST);
        // A copy that was changed may end with the same digest.
        let at = wanted.and_then(|wanted| {
            let fits = |file: &AuditFile| file.last == wanted;
            let whole = found.iter().position(|file| fits(file) && file.broken.is_none());
            whole.or_else(|| found.iter().position(fits))
        });
        let mut next = found.remove(at.unwrap_or_default());
        if at.is_none() && !chain.is_empty() && next.broken.is_none() {
            next.broken = Some(Broken { line: 0, why: "no later file goes on from it" });
        }
        chain.push(next);
    }
    Ok(chain)
}

fn is_current(file: &AuditFile) -> bool {
    file.file.file_name().is_some_and(|name| name == NAME)
}

fn examine(file: PathBuf) -> io::Result<AuditFile> {
    let Lines { count, follows, last, broken } = verify(BufReader::new(File::open(&file)?))?;
    Ok(AuditFile { file, lines: count, follows: follows.unwrap_or_default(), last, broken })
}

/// Reads a log from its first line to its last.
pub(super) fn verify(mut log: impl BufRead) -> io::Result<Lines> {
    let (mut last, mut follows): (Option<String>, Option<String>) = (None, None);
    let (mut broken, mut count) = (None, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        if io::Read::take(&mut log, LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        count += 1;
        let mut wrong = |why| {
            broken.get_or_insert(Broken { line: count, why });
        };
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\n');
        let Some((content, end)) = text.rsplit_once(MARK) else {
            wrong("it has no digest");
            continue;
        };
        let told = end.strip_suffix("\"}").unwrap_or_default();
        let previous = content.rsplit_once(PREVIOUS).and_then(|(_, end)| end.strip_suffix('"'));
        // The first line of a log that goes on from another one names a digest that is not here.
        let fits = last.as_deref().is_none_or(|last| previous == Some(last));
        if hash(content) != told {
            wrong("its content does not match its digest");
        } else if !fits {
            wrong("a line before it is missing or changed");
        }
        follows = follows.or_else(|| previous.map(str::to_owned));
        last = Some(told.to_owned());
    }
    Ok(Lines { count, follows, last: last.unwrap_or_else(|| FIRST.to_owned()), broken })
}

/// The digest of a line's content.
pub(super) fn hash(content: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, content.as_bytes()).as_ref())
}
