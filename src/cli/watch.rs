//! When to read the files again: on SIGHUP, and when one of them changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

/// Editors and deployments write several files in a burst; a reload waits for this long a silence.
const QUIET: Duration = Duration::from_millis(200);
/// But a file that is written all the time does not put the reload off for longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits for reasons to reload.
pub(super) struct Watch {
    hangup: Signal,
    watcher: Option<RecommendedWatcher>,
    changes: mpsc::Receiver<()>,
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts to watch the folders of these files. Without file notification (it needs a kernel
    /// resource that can run out) SIGHUP still works; the reason is returned beside.
    pub(super) fn new(files: &[PathBuf]) -> std::io::Result<(Self, Option<notify::Error>)> {
        // One slot is enough: a change that finds it taken is part of the same burst.
        let (sender, changes) = mpsc::channel(1);
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        });
        let (watcher, error) = match made {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error)),
        };
        let hangup = signal(SignalKind::hangup())?;
        let mut watch = Self { hangup, watcher, changes, watched: BTreeSet::new() };
        let error = watch.follow(files).err().or(error);
        Ok((watch, error))
    }

    /// Watches the folders of these files as well. Folders rather than files, so that a file that
    /// is replaced by renaming, or appears, is seen.
    pub(super) fn follow(&mut self, files: &[PathBuf]) -> Result<(), notify::Error> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        for file in files {
            let folder = if file.is_dir() { Some(file.as_path()) } else { file.parent() };
            let folder = folder.filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            if !self.watched.contains(folder) && folder.is_dir() {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
                self.watched.insert(folder.to_owned());
            }
        }
        Ok(())
    }

    /// Waits until the files should be read again.
    pub(super) async fn changed(&mut self) {
        // The watcher keeps the sender; without one only the signal can come.
        let watching = self.watcher.is_some();
        tokio::select! {
            _ = self.hangup.recv() => return,
            _ = self.changes.recv(), if watching => {}
        }
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let quiet = (tokio::time::Instant::now() + QUIET).min(patience);
            tokio::select! {
                _ = self.hangup.recv() => return,
                () = sleep_until(quiet) => return,
                change = self.changes.recv() => if change.is_none() { return },
            }
        }
    }
}
