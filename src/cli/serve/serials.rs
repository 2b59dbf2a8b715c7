//! Keeps the serials that transfers gave out on disk, so that none is given out twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use crate::durable;
use crate::metrics::Metrics;
use crate::snapshot::SavedSerials;

/// Longest file that is ours: 100,000 zones.
const LENGTH_MAX: u64 = 32 << 20;

/// `serials.json` in the state folder.
pub(super) struct Serials {
    path: PathBuf,
    metrics: Arc<Metrics>,
    /// What was given out last.
    pub(super) saved: SavedSerials,
}

impl Serials {
    /// What was given out before a restart; nothing when that cannot be read.
    pub(super) fn load(state: &Path, metrics: Arc<Metrics>) -> Self {
        let path = state.join("serials.json");
        let saved = match durable::read(&path, LENGTH_MAX) {
            Ok(None) => SavedSerials::default(),
            Ok(Some(json)) => serde_json::from_slice(&json).unwrap_or_else(|error| {
                warn!(file = %path.display(), %error, "the serials last given out are damaged");
                SavedSerials::default()
            }),
            Err(error) => {
                warn!(file = %path.display(), %error, "the serials last given out are not known");
                SavedSerials::default()
            }
        };
        Self { path, metrics, saved }
    }

    /// Saves what is about to be given out. A failure is told and serving goes on: secondaries
    /// that a crash then leads astray are mended by any later change.
    pub(super) async fn save(&mut self, serials: SavedSerials) {
        let (path, content) = (self.path.clone(), serde_json::to_vec(&serials));
        self.saved = serials;
        let write =
            move || content.map_err(std::io::Error::from).and_then(|c| durable::replace(&path, &c));
        if let Err(error) = durable::on_disk(write).await {
            self.metrics.state_failures.inc();
            warn!(error, file = %self.path.display(), "cannot save serials; serving goes on");
        }
    }
}
