//! The files of one zone: the master file and what it includes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::findings::{Finding, Findings};
use super::mistake::{lines, record_at};
use super::records::Record;
use crate::diagnostic::{Diagnostic, Diagnostics, Location};

/// Longest file read, in octets: some 30 million records.
const FILE_MAX: u64 = 1 << 30;

/// How files are read; tests and fuzzing give them from memory.
pub type Open<'a> = dyn FnMut(&Path) -> io::Result<Vec<u8>> + 'a;

/// The files of one zone, numbered as in [`super::Record::file`].
#[derive(Clone, Debug, Default)]
pub struct Files {
    all: Vec<(Arc<str>, PathBuf)>,
}

impl Files {
    /// The number of a file, which is added unless it is there; `None` when there are too many.
    pub(super) fn number(&mut self, shown: &str, path: &Path) -> Option<u16> {
        let known = self.all.iter().position(|(_, known)| known == path);
        let number = known.unwrap_or_else(|| {
            self.all.push((shown.into(), path.to_owned()));
            self.all.len() - 1
        });
        u16::try_from(number).ok()
    }

    /// The file's name as the operator would write it.
    pub fn shown(&self, number: u16) -> Option<&Arc<str>> {
        self.all.get(usize::from(number)).map(|(shown, _)| shown)
    }

    /// All files, to be watched for changes; those that could not be read too.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.all.iter().map(|(_, path)| path.as_path())
    }

    /// Where `other` is, in a message about `record`.
    pub(super) fn line(&self, other: &Record<'_>, record: &Record<'_>) -> String {
        match self.shown(other.file).filter(|_| other.file != record.file) {
            Some(file) => format!("`{file}:{}`", other.line),
            None => format!("line {}", other.line),
        }
    }

    /// Turns findings about records into diagnostics, for which their lines are read again: to
    /// keep the text of every zone in memory for the few that have mistakes would be a waste.
    pub(super) fn diagnose(&self, findings: &Findings, open: &mut Open<'_>) -> Diagnostics {
        let mut diagnostics = Diagnostics::default();
        for (number, (shown, path)) in self.all.iter().enumerate() {
            let mut here: Vec<&Finding> =
                findings.iter().filter(|f| usize::from(f.file) == number).collect();
            if here.is_empty() {
                continue;
            }
            here.sort_by_key(|finding| finding.line);
            let text = open(path).unwrap_or_default();
            let mut numbered = lines(&text).zip(1u32..).peekable();
            for finding in here {
                while numbered.next_if(|(_, number)| *number < finding.line).is_some() {}
                let line =
                    numbered.peek().filter(|(_, n)| *n == finding.line).map(|(line, _)| *line);
                let at = match finding.line {
                    0 => Location::file(shown),
                    number => record_at(shown, number, line),
                };
                let found = Diagnostic::new(finding.severity, at, &finding.what);
                diagnostics.push(found.or_hint(finding.hint.clone()));
            }
        }
        findings.hidden(|number| self.shown(number), &mut diagnostics);
        diagnostics
    }
}

/// Reads a file as a whole, unless it is none or endless.
pub(super) fn open(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for its other end.
    let facts = fs::metadata(path)?;
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let file = File::open(path)?;
    let mut text = Vec::with_capacity(facts.len().min(FILE_MAX) as usize + 1);
    file.take(FILE_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 GiB"));
    }
    Ok(text)
}

/// The path of `file` as seen from the file `from`, without `.` and `..` where that is certain.
pub(super) fn beside(from: &Path, file: &Path) -> PathBuf {
    let joined = from.parent().unwrap_or(Path::new("")).join(file);
    let mut path = PathBuf::new();
    for part in joined.components() {
        let last = path.components().next_back();
        match (part, last) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                path.pop();
            }
            _ => path.push(part),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_included_files_beside_the_including_one() {
        for (from, file, expected) in [
            ("zones/a.zone", "b", "zones/b"),
            ("zones/a.zone", "../inc/./b", "inc/b"),
            ("zones/a.zone", "../../b", "../b"),
            ("zones/a.zone", "/etc/b", "/etc/b"),
            ("a.zone", "inc/b", "inc/b"),
        ] {
            assert_eq!(beside(Path::new(from), Path::new(file)), Path::new(expected), "{file}");
        }
    }

    #[test]
    fn refuses_what_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        assert!(open(directory.path()).is_err());
        assert!(open(&directory.path().join("none")).is_err());
        assert!(open(Path::new("/dev/zero")).is_err());
    }
}
