//! When to read the files again: on SIGHUP, and when one of them has changed.

mod marks;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, sleep_until};

use self::marks::{Identity, Marks, identity};

/// Editors and deployments write several files in a burst; a reload waits for this long a silence.
const QUIET: Duration = Duration::from_millis(200);
/// But a file that is written all the time does not put the reload off for longer than this.
const PATIENCE: Duration = Duration::from_secs(2);
/// The files are looked at this often, whatever the kernel tells: it tells nothing of links and
/// folders above them, nor of file systems on the network.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Waits for reasons to reload.
///
/// What the kernel tells of a folder is only a reason to look at the files at once. They are read
/// again when one has changed, and so not because of a log that lies beside them.
pub(super) struct Watch {
    hangup: Signal,
    watcher: Option<RecommendedWatcher>,
    tidings: mpsc::Receiver<()>,
    /// The folders the kernel tells of, by their real path.
    watched: BTreeMap<PathBuf, Identity>,
    marks: Marks,
}

impl Watch {
    /// Starts to watch these files and folders. Without tidings from the kernel (they need a
    /// resource that can run out) changes are found later; the reason is returned beside.
    pub(super) fn new(hangup: Signal, paths: &[PathBuf]) -> (Self, Option<notify::Error>) {
        // One slot is enough: tidings that find it taken are part of the same burst.
        let (sender, tidings) = mpsc::channel(1);
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        });
        let (watcher, error) = match made {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error)),
        };
        let (watched, marks) = (BTreeMap::new(), Marks::default());
        let mut watch = Self { hangup, watcher, tidings, watched, marks };
        let error = watch.follow(paths).err().or(error);
        (watch, error)
    }

    /// Watches these files and folders from now on, and no others.
    ///
    /// # Errors
    /// The first folder of which the kernel cannot tell; all others are watched.
    pub(super) fn follow(&mut self, paths: &[PathBuf]) -> Result<(), notify::Error> {
        self.marks.follow(paths);
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        let wanted: BTreeMap<PathBuf, Identity> =
            paths.iter().flat_map(|path| folders_of(path)).collect();
        // One that was replaced by another of its name goes and comes.
        self.watched.retain(|folder, identity| {
            let keep = wanted.get(folder) == Some(identity);
            if !keep {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(folder);
            }
            keep
        });
        let mut result = Ok(());
        for (folder, identity) in wanted {
            if self.watched.contains_key(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(folder, identity)),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// Waits until the files should be read again.
    pub(super) async fn changed(&mut self) {
        loop {
            let asked = self.reason_to_look().await;
            let marks = self.marks.clone();
            // The look-up cannot panic; if it did, reading the files would do no harm.
            let renewed = spawn_blocking(move || marks.renewed()).await.unwrap_or_default();
            let changed = renewed != self.marks;
            self.marks = renewed;
            if asked || changed {
                return;
            }
        }
    }

    /// Waits until the files should be looked at; `true`: they should be read in any case.
    async fn reason_to_look(&mut self) -> bool {
        // The watcher keeps the sender; without one nothing is told.
        let watching = self.watcher.is_some();
        tokio::select! {
            _ = self.hangup.recv() => return true,
            _ = self.tidings.recv(), if watching => {}
            () = sleep(LOOK_EVERY) => return false,
        }
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let quiet = (tokio::time::Instant::now() + QUIET).min(patience);
            tokio::select! {
                _ = self.hangup.recv() => return true,
                () = sleep_until(quiet) => return false,
                told = self.tidings.recv() => if told.is_none() { return false },
            }
        }
    }
}

/// The folders in which a change of a file or folder shows, by their real path: its own, and the
/// one of what a link leads to. Folders rather than files, so that a file that is replaced by
/// renaming, or appears, is seen.
fn folders_of(path: &Path) -> impl Iterator<Item = (PathBuf, Identity)> {
    let real = fs::canonicalize(path).ok();
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent == Path::new("") => Some(PathBuf::from(".")),
        parent => parent.map(Path::to_owned),
    };
    let is_folder = path.is_dir();
    let own = if is_folder { real.clone() } else { parent(path) };
    let behind = real.filter(|_| !is_folder).and_then(|real| parent(&real));
    let folders = [own, behind].into_iter().flatten();
    let folders = folders.filter_map(|folder| fs::canonicalize(folder).ok());
    folders.filter_map(|folder| {
        let data = fs::metadata(&folder).ok().filter(fs::Metadata::is_dir)?;
        Some((folder, identity(&data)))
    })
}
