//! The file that keeps overrides over a restart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SavedOverrides;
use crate::durable;
use crate::health::StoreError;

/// Larger files are not ours: 2,000 overrides with the longest texts take about 8 MiB.
const SIZE_MAX: u64 = 16 << 20;

/// `overrides.json` in the state folder.
#[derive(Clone, Debug)]
pub struct OverrideStore {
    path: PathBuf,
}

impl OverrideStore {
    /// The store in this state folder, which is made when overrides are first saved.
    pub fn new(state: &Path) -> Self {
        Self { path: state.join("overrides.json") }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was saved last; `None`: nothing ever.
    pub fn load(&self) -> Result<Option<SavedOverrides>, StoreError> {
        let content = |what| StoreError::Content(self.path.clone(), what);
        let json = match durable::read(&self.path, SIZE_MAX) {
            Ok(Some(json)) => json,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Other => {
                return Err(content(error.to_string()));
            }
            Err(error) => return Err(StoreError::Folder(self.path.clone(), error)),
        };
        SavedOverrides::from_json(&json).map(Some).map_err(content)
    }

    /// Puts a damaged file aside, so that it can be looked at and is not written over; gives where.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(".damaged");
        let aside = PathBuf::from(aside);
        fs::rename(&self.path, &aside).map(|()| aside)
    }

    /// Replaces what was saved before, whole or not at all.
    ///
    /// Blocks on the disk; call it where that delays no answer.
    pub fn save(&self, overrides: &SavedOverrides) -> Result<(), StoreError> {
        let json = overrides.to_json();
        let json = json.map_err(|what| StoreError::Content(self.path.clone(), what))?;
        durable::replace(&self.path, &json)
            .map_err(|error| StoreError::Folder(self.path.clone(), error))
    }
}
