//! Files and folders: opened by their real path, shown as the operator would write them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::diagnostic::{Diagnostic, Location, Source, reason};

/// Longest file that is read. A million prefixes fit; an endless device does not.
const LENGTH_MAX: u64 = 64 << 20;

/// A path in both its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What the system is asked for; `..` is left to it, since links may be on the way.
    pub real: PathBuf,
    /// What messages show, with `..` resolved by its looks.
    pub shown: String,
}

impl Place {
    /// A path as given on the command line.
    pub(super) fn new(path: &Path) -> Self {
        Self { real: path.to_owned(), shown: normal(path) }
    }

    /// `relative` as seen from this folder; an absolute path stands alone.
    pub(super) fn join(&self, relative: &str) -> Self {
        Self {
            real: self.real.join(relative),
            shown: normal(&Path::new(&self.shown).join(relative)),
        }
    }
}

/// `path` without `.` and without `..` where that can be told from the text alone.
fn normal(path: &Path) -> String {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let normal: PathBuf = parts.into_iter().collect();
    let text = normal.to_string_lossy();
    if text.is_empty() { ".".to_owned() } else { text.into_owned() }
}

/// The files of one run.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Every file that was asked for, found or not: one that is mended must be noticed.
    pub used: BTreeSet<PathBuf>,
    /// Folders in which new files count.
    pub folders: Vec<PathBuf>,
    /// Name and SHA-256 of each text file read since this was last emptied.
    pub sums: Vec<(String, [u8; 32])>,
}

impl Files {
    /// Notes a file that others read.
    pub(super) fn note(&mut self, place: &Place) {
        self.used.insert(place.real.clone());
    }

    /// Reads a text file.
    pub(super) fn read(&mut self, place: &Place) -> Result<Source, Diagnostic> {
        self.note(place);
        let octets = octets(&place.real).map_err(|error| {
            let what = format!("cannot be read: {}", reason(&error));
            Diagnostic::error(Location::file(&place.shown), what)
        })?;
        let name = place.real.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.sums.push((name, sha256(&octets)));
        match String::from_utf8(octets) {
            // A byte order mark is no part of the text, though some editors write one.
            Ok(text) => Ok(source(place, text.strip_prefix('\u{feff}').unwrap_or(&text))),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let at = source(place, &text).locate(good..good + 1);
                Err(Diagnostic::error(at, "this is not UTF-8 text").hint("save the file as UTF-8"))
            }
        }
    }

    /// Reads a file of any kind.
    pub(super) fn octets(&mut self, place: &Place) -> io::Result<Vec<u8>> {
        self.note(place);
        octets(&place.real)
    }

    /// The names of the files in a folder, in order, with U+FFFD where they are no text.
    pub(super) fn list(&mut self, folder: &Place) -> io::Result<Vec<String>> {
        self.folders.push(folder.real.clone());
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder.real)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

/// SHA-256.
pub(super) fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, octets).as_ref());
    sum
}

fn octets(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for its other end.
    let facts = fs::metadata(path)?;
    if facts.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !facts.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut octets = Vec::new();
    File::open(path)?.take(LENGTH_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > LENGTH_MAX {
        return Err(io::Error::other(format!("it is longer than {} MiB", LENGTH_MAX >> 20)));
    }
    Ok(octets)
}

/// A text file, masked when its values may be secrets.
fn source(place: &Place, text: &str) -> Source {
    let source = Source::new(&place.shown, text);
    let secret = place.real.file_name().is_some_and(|name| name == "keys.toml");
    if secret { source.masked() } else { source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_paths_as_an_operator_would_write_them() {
        for (folder, relative, shown) in [
            ("config", "node.toml", "config/node.toml"),
            ("config", "../zones", "zones"),
            ("./config/", "../zones", "zones"),
            (".", "../zones", "../zones"),
            ("..", "../zones", "../../zones"),
            ("/etc/meridian/config", "../zones", "/etc/meridian/zones"),
            ("/", "../zones", "/zones"),
            ("config", "/srv/zones", "/srv/zones"),
            ("config", "..", "."),
        ] {
            let place = Place::new(Path::new(folder)).join(relative);
            assert_eq!(place.shown, shown, "{folder} {relative}");
            assert_eq!(place.real, Path::new(folder).join(relative));
        }
    }
}
