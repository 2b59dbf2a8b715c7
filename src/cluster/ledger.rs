//! The table of operators in the state folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tracing::warn;

use super::control::{ControlError, ENTRIES_MAX, Entries, Entry};
use crate::durable;
use crate::metrics::Metrics;

/// Longest file that is ours.
const LENGTH_MAX: u64 = 1 << 30;

/// The form of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u32,
    /// The last one given out.
    revision: u64,
    entries: BTreeMap<String, Entry>,
}

/// The only form there is.
const VERSION: u32 = 1;

/// `control.json` in the state folder.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    metrics: Arc<Metrics>,
    /// The last revision given out; held while a change is written, so that changes follow each
    /// other on disk as in memory.
    revision: Mutex<u64>,
    shown: watch::Sender<Arc<Entries>>,
}

impl Ledger {
    /// The table as it was saved last; `current`: there is none elsewhere.
    pub fn load(state: &Path, metrics: Arc<Metrics>, current: bool) -> Self {
        let path = state.join("control.json");
        let saved = match durable::read(&path, LENGTH_MAX) {
            Ok(None) => Saved::default(),
            Ok(Some(json)) => serde_json::from_slice(&json).unwrap_or_else(|error| {
                warn!(file = %path.display(), %error, "the saved overrides are damaged");
                Saved::default()
            }),
            Err(error) => {
                warn!(file = %path.display(), %error, "the saved overrides cannot be read");
                Saved::default()
            }
        };
        let entries = Arc::new(Entries { entries: saved.entries, current });
        let (revision, shown) = (Mutex::new(saved.revision), watch::Sender::new(entries));
        Self { path, metrics, revision, shown }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<Entries>> {
        self.shown.subscribe()
    }

    pub(super) async fn put(
        &self,
        key: &str,
        value: &str,
        expected: u64,
    ) -> Result<u64, ControlError> {
        let mut revision = self.revision.lock().await;
        let mut entries = self.at(key, expected)?;
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(key) {
            let why = format!("there are {ENTRIES_MAX} entries, which is the most");
            return Err(ControlError::Invalid(why));
        }
        *revision += 1;
        entries.insert(key.to_owned(), Entry { value: value.to_owned(), revision: *revision });
        self.keep(*revision, entries).await;
        Ok(*revision)
    }

    pub(super) async fn delete(&self, key: &str, expected: u64) -> Result<(), ControlError> {
        let mut revision = self.revision.lock().await;
        let mut entries = self.at(key, expected)?;
        if entries.remove(key).is_none() {
            return Err(ControlError::Conflict);
        }
        *revision += 1;
        self.keep(*revision, entries).await;
        Ok(())
    }

    /// Takes over the table of another engine.
    pub(super) async fn replace(&self, entries: BTreeMap<String, Entry>) {
        let mut revision = self.revision.lock().await;
        *revision = entries.values().map(|entry| entry.revision).max().unwrap_or_default();
        let shown = self.shown.borrow().clone();
        if shown.entries != entries {
            self.keep(*revision, entries).await;
        } else if !shown.current {
            self.shown.send_replace(Arc::new(Entries { entries, current: true }));
        }
    }

    /// Notes that the table elsewhere cannot be seen.
    pub(super) fn age(&self) {
        self.shown.send_if_modified(|shown| {
            let changed = shown.current;
            if changed {
                *shown = Arc::new(Entries { entries: shown.entries.clone(), current: false });
            }
            changed
        });
    }

    /// A copy of the entries, if the key is at this revision.
    fn at(&self, key: &str, expected: u64) -> Result<BTreeMap<String, Entry>, ControlError> {
        let entries = self.shown.borrow().entries.clone();
        let found = entries.get(key).map_or(0, |entry| entry.revision);
        if found == expected { Ok(entries) } else { Err(ControlError::Conflict) }
    }

    /// Writes the table down and shows it. A failure is told, and the table holds until the
    /// process ends: on a full disk an override is needed more than ever.
    async fn keep(&self, revision: u64, entries: BTreeMap<String, Entry>) {
        let saved = Saved { version: VERSION, revision, entries };
        let json = serde_json::to_vec_pretty(&saved);
        let path = self.path.clone();
        let write =
            move || json.map_err(std::io::Error::from).and_then(|j| durable::replace(&path, &j));
        if let Err(error) = durable::on_disk(write).await {
            self.metrics.state_failures.inc();
            warn!(error, file = %self.path.display(), "cannot save overrides; serving goes on");
        }
        self.shown.send_replace(Arc::new(Entries { entries: saved.entries, current: true }));
    }
}
