//! The fleet's overrides, in the table that all nodes see.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use crate::cluster::{Control, ControlError, Entries};
use crate::health::overrides::{Override, OverrideSet, Scope};

/// What keys of overrides begin with; the id follows.
const PREFIX: &str = "override.";
/// What a change gets to come back from the engine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Overrides in the table of the cluster engine.
#[derive(Debug)]
pub struct Board {
    control: Control,
    seen: watch::Receiver<Arc<Entries>>,
}

impl Board {
    /// The overrides in this table.
    pub fn new(control: Control) -> Self {
        let mut seen = control.watch();
        // What is there already is news, too.
        seen.mark_changed();
        Self { control, seen }
    }

    /// Waits until the table may hold something else, and gives what it holds; `None`: the engine
    /// does not say at the moment, or never will again.
    pub(super) async fn changed(&mut self) -> Option<Vec<Override>> {
        if self.seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let entries = self.seen.borrow_and_update().clone();
        entries.current.then(|| held(&entries))
    }

    /// Makes the table hold the fleet's overrides of `after` where it held those of `before`, and
    /// gives what it holds then.
    ///
    /// # Errors
    /// Why it does not; a part of the change may have been made.
    pub(super) async fn change(
        &mut self,
        before: &OverrideSet,
        after: &OverrideSet,
    ) -> Result<Vec<Override>, String> {
        let entries = self.seen.borrow().clone();
        if !entries.current {
            return Err("the cluster engine cannot be reached".to_owned());
        }
        let lacks = |set: &OverrideSet, one: &Override| set.overrides().all(|o| o.id != one.id);
        let made: Vec<&Override> = after.of_fleet().filter(|one| lacks(before, one)).collect();
        let gone: Vec<String> =
            before.of_fleet().filter(|one| lacks(after, one)).map(key).collect();
        for one in &made {
            let text = serde_json::to_string(one).map_err(|error| error.to_string())?;
            self.control.put(&key(one), &text, 0).await.map_err(|error| error.to_string())?;
        }
        for key in &gone {
            let Some(entry) = entries.entries.get(key) else { continue };
            match self.control.delete(key, entry.revision).await {
                // Somebody else was faster.
                Ok(()) | Err(ControlError::Conflict) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let heard = self.seen.wait_for(|entries| {
            made.iter().all(|one| entries.entries.contains_key(&key(one)))
                && gone.iter().all(|key| !entries.entries.contains_key(key))
        });
        match timeout(PATIENCE, heard).await {
            Ok(Ok(entries)) => Ok(held(&entries)),
            _ => Err("the cluster engine took it, but does not tell of it".to_owned()),
        }
    }

    /// Takes overrides out of the table whose time is up; another node may have done so already, or
    /// may have to, where this one has no right to.
    pub(super) fn remove(&self, ended: &[Override]) {
        let entries = self.seen.borrow().clone();
        for key in ended.iter().filter(|one| one.scope == Scope::Fleet).map(key) {
            let Some(entry) = entries.entries.get(&key).filter(|_| entries.current) else {
                continue;
            };
            let control = self.control.clone();
            let revision = entry.revision;
            // Nothing waits for it: what is over is filtered by every reader.
            tokio::spawn(async move {
                let _ = control.delete(&key, revision).await;
            });
        }
    }
}

fn key(one: &Override) -> String {
    format!("{PREFIX}{}", one.id)
}

/// The overrides of a table; what is none is told and left out.
fn held(entries: &Entries) -> Vec<Override> {
    let ours = entries.entries.iter().filter(|(key, _)| key.starts_with(PREFIX));
    let read = ours.filter_map(|(key, entry)| match serde_json::from_str(&entry.value) {
        Ok(one) => Some(one),
        Err(error) => {
            warn!(key, %error, "an entry of the cluster engine is no override");
            None
        }
    });
    read.collect()
}
