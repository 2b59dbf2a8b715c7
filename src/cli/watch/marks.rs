//! What tells that files have changed since they were last read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The marks of files and folders, by path.
///
/// Paths are followed through links each time, so that a link on the way that leads elsewhere
/// changes the marks of all behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<PathBuf, Mark>);

/// What is seen of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    /// There is none.
    Missing,
    /// A file. The time is that of its last change of any kind, which nobody can set back.
    File { identity: Identity, changed_ns: i128, length: u64 },
    /// A folder and the configuration files in it; what else comes and goes there is no matter.
    Folder { identity: Identity, names: Vec<PathBuf> },
}

/// Device and inode: another file in the same place has another one.
pub(super) type Identity = (u64, u64);

/// The identity of a file or folder.
pub(super) fn identity(data: &Metadata) -> Identity {
    (data.dev(), data.ino())
}

impl Marks {
    /// The marks of the same paths now.
    pub(super) fn renewed(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Mark::of(path))).collect())
    }

    /// Keeps marks of these paths alone, and those there are already as they are: they were taken
    /// before the files were read, so that a change while they were read is seen.
    pub(super) fn follow(&mut self, paths: &[PathBuf]) {
        let mut old = std::mem::take(&mut self.0);
        let mark = |path: &PathBuf| {
            let mark = old.remove(path).unwrap_or_else(|| Mark::of(path));
            (path.clone(), mark)
        };
        self.0 = paths.iter().map(mark).collect();
    }
}

impl Mark {
    fn of(path: &Path) -> Self {
        let Ok(data) = fs::metadata(path) else { return Self::Missing };
        let identity = identity(&data);
        if !data.is_dir() {
            let changed_ns =
                i128::from(data.ctime()) * 1_000_000_000 + i128::from(data.ctime_nsec());
            return Self::File { identity, changed_ns, length: data.len() };
        }
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let names = entries.map(|entry| PathBuf::from(entry.file_name()));
        let mut names: Vec<PathBuf> = names.filter(|name| counts(name)).collect();
        names.sort();
        Self::Folder { identity, names }
    }
}

/// Whether a file of this name would be read; editors keep their drafts under other names.
fn counts(name: &Path) -> bool {
    let end = name.extension().and_then(OsStr::to_str);
    let hidden = name.to_str().is_none_or(|name| name.starts_with(['.', '#']));
    matches!(end, Some("toml" | "zone")) && !hidden
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What happens, whether it changes the marks, and the doing.
    type Step<'a> = (&'a str, bool, Box<dyn Fn() + 'a>);

    #[test]
    fn only_what_a_reload_reads_changes_the_marks() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        let at = |path: &str| top.join(path);
        let write = |path: &str, text: &str| fs::write(at(path), text).unwrap();
        fs::create_dir_all(at("one/zones")).unwrap();
        fs::create_dir_all(at("two/zones")).unwrap();
        symlink("one", at("current")).unwrap();
        for release in ["one", "two"] {
            write(&format!("{release}/node.toml"), "version = 1\n");
            write(&format!("{release}/zones/a.zone"), release);
        }
        let zones = at("current/zones");
        let read = [at("current/node.toml"), zones.join("a.zone"), zones.join("b.zone"), zones];
        let mut marks = Marks::default();
        marks.follow(&read);
        let rename = |from: &str, to: &str| fs::rename(at(from), at(to)).unwrap();
        let steps: Vec<Step<'_>> = vec![
            ("nothing", false, Box::new(|| {})),
            ("a log beside the files grows", false, Box::new(|| write("one/zones/log", "x\n"))),
            ("an editor's draft comes", false, Box::new(|| write("one/zones/.a.zone", "draft"))),
            ("a file is written", true, Box::new(|| write("one/zones/a.zone", "longer"))),
            (
                "a file is replaced",
                true,
                Box::new(|| {
                    write("one/new", "longer");
                    rename("one/new", "one/zones/a.zone");
                }),
            ),
            ("a missing file comes", true, Box::new(|| write("one/zones/b.zone", ""))),
            ("it goes", true, Box::new(|| fs::remove_file(at("one/zones/b.zone")).unwrap())),
            ("a zone comes that nobody knew", true, Box::new(|| write("one/zones/c.zone", ""))),
            (
                "a link on the way leads elsewhere",
                true,
                Box::new(|| {
                    symlink("two", at("next")).unwrap();
                    rename("next", "current");
                }),
            ),
            (
                "what the link led to before changes",
                false,
                Box::new(|| {
                    write("one/zones/a.zone", "much longer");
                }),
            ),
            (
                "a folder is replaced",
                true,
                Box::new(|| {
                    rename("two/zones", "two/old");
                    fs::create_dir(at("two/zones")).unwrap();
                    fs::copy(at("two/old/a.zone"), at("two/zones/a.zone")).unwrap();
                }),
            ),
            ("everything is gone", true, Box::new(|| fs::remove_file(at("current")).unwrap())),
        ];
        for (what, changes, step) in steps {
            step();
            let renewed = marks.renewed();
            assert_eq!(renewed != marks, changes, "{what}");
            marks = renewed;
        }
    }

    #[test]
    fn a_change_while_files_are_read_is_seen_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old.toml", "new.toml"].map(|name| folder.path().join(name));
        fs::write(&old, "1").unwrap();
        let mut marks = Marks::default();
        marks.follow(std::slice::from_ref(&old));
        fs::write(&old, "22").unwrap();
        fs::write(&new, "1").unwrap();
        marks.follow(&[old.clone(), new.clone()]);
        assert_ne!(marks.renewed(), marks);
        marks = marks.renewed();
        assert_eq!(marks.renewed(), marks);
        fs::write(&old, "333").unwrap();
        marks.follow(&[new]);
        assert_eq!(marks.renewed(), marks, "what is read no more is no matter");
    }
}
