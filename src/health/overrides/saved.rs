//! Overrides in the form that survives a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Entry, Override, OverrideSet};
use crate::clock::Tick;

/// The only form there is.
const VERSION: u32 = 1;

/// All overrides of a node at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedOverrides {
    version: u32,
    /// Seconds since 1970-01-01 UTC by the clock of then.
    saved_at: u64,
    revision: u64,
    overrides: Vec<SavedEntry>,
}

/// One override and the time it had left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedEntry {
    #[serde(flatten)]
    what: Override,
    /// `None`: until it is cleared.
    left_seconds: Option<u64>,
}

impl SavedOverrides {
    /// What is in force at `now`, which is `unix_now`.
    pub fn of(set: &OverrideSet, now: Tick, unix_now: u64) -> Self {
        let entry = |entry: &Entry| SavedEntry {
            what: entry.what.clone(),
            left_seconds: entry.left(now).map(|left| left.as_millis().div_ceil(1_000) as u64),
        };
        let overrides = set.entries.iter().map(entry).collect();
        Self { version: VERSION, saved_at: unix_now, revision: set.revision, overrides }
    }

    /// The set at a start: the time that has passed since it was saved is taken off, by the wall
    /// clock, the only one that goes on without the process. A clock that went back takes off
    /// nothing. `until` says anew when that is.
    pub fn restore(self, now: Tick, unix_now: u64) -> OverrideSet {
        let passed = unix_now.saturating_sub(self.saved_at);
        let entries = self.overrides.into_iter().filter_map(|SavedEntry { what, left_seconds }| {
            let left = match left_seconds {
                Some(left) => Some(left.checked_sub(passed).filter(|left| *left > 0)?),
                None => None,
            };
            let until = left.map(|left| unix_now.saturating_add(left));
            let ends = left.map(|left| now + Duration::from_secs(left));
            Some(Entry { what: Override { until, ..what }, ends })
        });
        let entries = entries.take(2 * super::FLEET_MAX).collect();
        OverrideSet { entries, revision: self.revision }
    }

    /// Reads what [`Self::to_json`] wrote; the text says what is wrong.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let saved: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if saved.version != VERSION {
            return Err(format!("version `{}` is not known, expected {VERSION}", saved.version));
        }
        Ok(saved)
    }

    /// One JSON document.
    pub fn to_json(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }
}
