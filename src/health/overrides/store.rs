//! The file that keeps overrides over a restart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SavedOverrides;
use crate::health::StoreError;
use crate::health::store::StateFile;

/// Larger files are not ours: 2,000 overrides with the longest texts take about 8 MiB.
const SIZE_MAX: u64 = 16 << 20;

/// `overrides.json` in the state folder.
#[derive(Clone, Debug)]
pub struct OverrideStore(StateFile);

impl OverrideStore {
    /// The store in this state folder, which is made when overrides are first saved.
    pub fn new(state: &Path) -> Self {
        Self(StateFile::new(state, "overrides.json", SIZE_MAX))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// What was saved last; `None`: nothing ever.
    pub fn load(&self) -> Result<Option<SavedOverrides>, StoreError> {
        self.0.load(SavedOverrides::from_json)
    }

    /// Puts a damaged file aside, so that it can be looked at and is not written over; gives where.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let mut aside = self.path().as_os_str().to_owned();
        aside.push(".damaged");
        let aside = PathBuf::from(aside);
        fs::rename(self.path(), &aside).map(|()| aside)
    }

    /// Replaces what was saved before, whole or not at all.
    ///
    /// Blocks on the disk; call it where that delays no answer.
    pub fn save(&self, overrides: &SavedOverrides) -> Result<(), StoreError> {
        self.0.save(overrides.to_json())
    }
}
