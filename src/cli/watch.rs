//! When to read the files again: on SIGHUP, and when one of them changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
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
    known: Known,
}

/// The files that are read, as absolute paths. The lock is held for one look-up or insertion, by
/// the watcher's thread and this task alone.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Known {
    fn add(&self, file: &Path) {
        if let Ok(path) = absolute(file) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
        }
    }

    /// Whether an event may change what a reload reads. Writes to files that are not read cannot:
    /// our own log may lie in a watched folder, and each reload would cause the next one. Other
    /// names that come and go may: a link on the way to a file is one.
    fn concerns(&self, event: &notify::Event) -> bool {
        match event.kind {
            EventKind::Access(_) => false,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
                let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                event.paths.iter().any(|path| known.contains(path))
            }
            _ => true,
        }
    }
}

impl Watch {
    /// Starts to watch the folders of these files. Without file notification (it needs a kernel
    /// resource that can run out) SIGHUP still works; the reason is returned beside.
    pub(super) fn new(files: &[PathBuf]) -> std::io::Result<(Self, Option<notify::Error>)> {
        // One slot is enough: a change that finds it taken is part of the same burst.
        let (sender, changes) = mpsc::channel(1);
        let known = Known::default();
        let concern = known.clone();
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| concern.concerns(&event)) {
                let _ = sender.try_send(());
            }
        });
        let (watcher, error) = match made {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error)),
        };
        let hangup = signal(SignalKind::hangup())?;
        let mut watch = Self { hangup, watcher, changes, watched: BTreeSet::new(), known };
        let error = watch.follow(files).err().or(error);
        Ok((watch, error))
    }

    /// Watches the folders of these files as well. Folders rather than files, so that a file that
    /// is replaced by renaming, or appears, is seen.
    pub(super) fn follow(&mut self, files: &[PathBuf]) -> Result<(), notify::Error> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        for file in files {
            self.known.add(file);
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

#[cfg(test)]
mod tests {
    use notify::Event;
    use notify::event::{AccessKind, CreateKind, DataChange, RemoveKind, RenameMode};

    use super::*;

    #[test]
    fn only_what_a_reload_reads_is_reason_for_one() {
        let known = Known::default();
        known.add(Path::new("/etc/meridian/config/../zones/a.zone"));
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        for (what, kind, file, expected) in [
            ("a file that is read was written", written, "a.zone", true),
            ("another was", written, "log", false),
            ("a file was read", EventKind::Access(AccessKind::Any), "a.zone", false),
            ("a file is new", EventKind::Create(CreateKind::File), "b.zone", true),
            ("a file is gone", EventKind::Remove(RemoveKind::File), "b.zone", true),
            (
                "a link was replaced",
                EventKind::Modify(ModifyKind::Name(RenameMode::To)),
                "..data",
                true,
            ),
        ] {
            let path = Path::new("/etc/meridian/config/../zones").join(file);
            assert_eq!(known.concerns(&Event::new(kind).add_path(path)), expected, "{what}");
        }
    }
}
