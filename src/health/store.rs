//! Files that keep state over a restart, among them the one of the last health.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::SavedHealth;
use crate::durable;

/// Larger files are not ours: 100,000 verdicts take about 20 MiB.
const SIZE_MAX: u64 = 64 << 20;

/// Why state could not be kept or found again. Serving goes on without it.
#[derive(Debug)]
pub enum StoreError {
    /// The folder cannot be read or written, or is full.
    Folder(PathBuf, io::Error),
    /// The content is not what was written; says what is wrong.
    Content(PathBuf, String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, error) => write!(f, "`{}`: {error}", path.display()),
            Self::Content(path, what) => write!(f, "`{}` is damaged: {what}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

/// A file of the state folder that holds one JSON document.
#[derive(Clone, Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    /// Longer files are not ours, in octets.
    longest: u64,
}

impl StateFile {
    /// The file of this name in a state folder, which is made when it is first saved.
    pub(super) fn new(state: &Path, name: &str, longest: u64) -> Self {
        Self { path: state.join(name), longest }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was saved last, as `read` understands it; `None`: nothing ever.
    pub(super) fn load<T>(
        &self,
        read: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, StoreError> {
        let content = |what| StoreError::Content(self.path.clone(), what);
        let json = match durable::read(&self.path, self.longest) {
            Ok(Some(json)) => json,
            Ok(None) => return Ok(None),
            // What is no file of ours, or too long for one.
            Err(error) if error.kind() == io::ErrorKind::Other => {
                return Err(content(error.to_string()));
            }
            Err(error) => return Err(StoreError::Folder(self.path.clone(), error)),
        };
        read(&json).map(Some).map_err(content)
    }

    /// Replaces what was saved before, whole or not at all.
    ///
    /// Blocks on the disk; call it where that delays no answer.
    pub(super) fn save(&self, json: Result<Vec<u8>, String>) -> Result<(), StoreError> {
        let json = json.map_err(|what| StoreError::Content(self.path.clone(), what))?;
        durable::replace(&self.path, &json)
            .map_err(|error| StoreError::Folder(self.path.clone(), error))
    }
}

/// `health.json` in the state folder.
#[derive(Clone, Debug)]
pub struct HealthStore(StateFile);

impl HealthStore {
    /// The store in this state folder, which is made when health is first saved.
    pub fn new(state: &Path) -> Self {
        Self(StateFile::new(state, "health.json", SIZE_MAX))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// What was saved last; `None`: nothing ever.
    pub fn load(&self) -> Result<Option<SavedHealth>, StoreError> {
        self.0.load(SavedHealth::from_json)
    }

    /// Replaces what was saved before, whole or not at all.
    ///
    /// Blocks on the disk; call it where that delays no answer.
    pub fn save(&self, health: &SavedHealth) -> Result<(), StoreError> {
        self.0.save(health.to_json())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn gives_back_what_was_saved_and_nothing_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = HealthStore::new(&folder.path().join("deep/state"));
        assert!(store.load().unwrap().is_none());
        for saved_at in [7, 8] {
            let health = SavedHealth::new(saved_at, vec![], vec![]);
            store.save(&health).unwrap();
            assert_eq!(store.load().unwrap(), Some(health));
        }
        let files = fs::read_dir(store.path().parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "nothing is left aside");
    }

    #[test]
    fn names_what_is_wrong_with_a_damaged_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = HealthStore::new(folder.path());
        let path = store.path().display().to_string();
        for (content, what) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            (
                "{\"version\":1,\"saved_at\":1,\"verd",
                "EOF while parsing a string at line 1 column 31",
            ),
            (
                "{\"version\":3,\"saved_at\":1,\"verdicts\":[]}",
                "version `3` is not known, expected 1 or 2",
            ),
            ("\u{0}\u{0}", "expected value at line 1 column 1"),
        ] {
            fs::write(store.path(), content).unwrap();
            let error = store.load().unwrap_err().to_string();
            assert_eq!(error, format!("`{path}` is damaged: {what}"), "{content:?}");
        }
    }

    #[test]
    fn a_full_disk_costs_the_new_state_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = HealthStore::new(folder.path());
        let [old, new] = [1, 2].map(|at| SavedHealth::new(at, vec![], vec![]));
        store.save(&old).unwrap();
        // Writes to it fail for want of room, as they do on a full disk.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("health.json.new")).unwrap();
        let error = store.save(&new).unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        assert_eq!(store.load().unwrap(), Some(old));
        store.save(&new).unwrap();
        assert_eq!(store.load().unwrap(), Some(new), "room again");
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let store = HealthStore::new(folder.path());
        fs::create_dir(store.path()).unwrap();
        assert!(matches!(store.load(), Err(StoreError::Content(..))), "a folder");
        fs::remove_dir(store.path()).unwrap();
        // Reading it would never end, as opening a pipe would.
        std::os::unix::fs::symlink("/dev/zero", store.path()).unwrap();
        assert!(matches!(store.load(), Err(StoreError::Content(..))), "a device");
    }

    #[test]
    fn an_unusable_folder_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let store = HealthStore::new(&file);
        assert!(matches!(
            store.save(&SavedHealth::new(0, vec![], vec![])),
            Err(StoreError::Folder(..))
        ));
        assert!(matches!(store.load(), Err(StoreError::Folder(..))));
    }
}
