//! Keeps the last known health on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::clock::{self, Tick};
use crate::durable;
use crate::health::{HealthStore, HealthTable, SavedHealth};
use crate::metrics::Metrics;
use crate::model::{Fleet, Model};

/// How often health is saved; a crash loses the flips of this time, and probes find them again.
pub(super) const SAVE_EVERY: Duration = Duration::from_secs(1);

/// While nothing flips health is saved once in so many turns, so that its age stays true.
const IDLE_TURNS: u32 = 60;

/// After a failure it is tried again in so many turns.
const RETRY_TURNS: u32 = 5;

/// Saves health when it changed, and says once when that fails.
pub(super) struct Saver {
    store: Arc<HealthStore>,
    metrics: Arc<Metrics>,
    idle_turns: u32,
    failing: bool,
}

impl Saver {
    /// Saves into the folder `state`.
    pub(super) fn new(state: &Path, metrics: Arc<Metrics>) -> Self {
        let store = Arc::new(HealthStore::new(state));
        Self { store, metrics, idle_turns: IDLE_TURNS, failing: false }
    }

    /// The health to start from: what was saved, or nothing.
    pub(super) fn restore(&self, model: &Model, now: Tick) -> HealthTable {
        let mut health = self.last_known(&model.fleet, now);
        health.settle(&model.node, now);
        health
    }

    fn last_known(&self, fleet: &Fleet, now: Tick) -> HealthTable {
        let unix_now = clock::unix_seconds();
        match self.store.load() {
            Ok(Some(saved)) => {
                match saved.age(unix_now) {
                    Ok(age) => {
                        let (file, verdicts) = (self.store.path().display(), saved.len());
                        info!(%file, verdicts, ?age, "starting from the health last known");
                    }
                    Err(why) => info!(why, "saved health is not used; probes judge anew"),
                }
                HealthTable::restore(fleet, &saved, now, unix_now)
            }
            Ok(None) => HealthTable::new(fleet, now),
            Err(error) => {
                warn!(%error, "saved health is ignored; probes judge anew");
                HealthTable::new(fleet, now)
            }
        }
    }

    /// Notes that health changed.
    pub(super) fn mark(&mut self) {
        self.idle_turns = IDLE_TURNS;
    }

    /// Whether to save in this turn.
    pub(super) fn is_due(&mut self) -> bool {
        self.idle_turns += 1;
        self.idle_turns > IDLE_TURNS
    }

    /// Saves. The write runs on a thread for blocking work: a slow disk must not hold up health.
    pub(super) async fn save(&mut self, saved: SavedHealth) {
        self.idle_turns = 0;
        let store = self.store.clone();
        let saved = durable::on_disk(move || store.save(&saved)).await;
        match &saved {
            Ok(()) if self.failing => info!("the state folder can be written again"),
            Ok(()) => {}
            Err(error) => {
                self.metrics.state_failures.inc();
                if !self.failing {
                    warn!(%error, "cannot save health in the state folder; serving goes on");
                }
            }
        }
        self.failing = saved.is_err();
        if self.failing {
            self.idle_turns = IDLE_TURNS - RETRY_TURNS;
        }
    }
}
