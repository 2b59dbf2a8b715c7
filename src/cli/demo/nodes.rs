//! The processes of the demo's regions.

use std::fs::File;
use std::io;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::site::Folder;
use crate::clock;

/// What a node gets to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The nodes; they end with this.
pub(super) struct Nodes(Vec<Child>);

impl Nodes {
    /// Starts a node for each of these folders, with its log beside it.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub(super) fn start(folder: &Folder, configs: &[&str]) -> io::Result<Self> {
        let own = std::env::current_exe()?;
        let mut nodes = Self(Vec::new());
        for config in configs {
            let log = File::create(folder.path(&format!("{config}.log")))?;
            let mut command = Command::new(&own);
            command.args(["serve", "--check-first=false", "--config"]).arg(folder.path(config));
            command.arg("--with-parent").arg(std::process::id().to_string());
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            nodes.0.push(command.spawn()?);
        }
        Ok(nodes)
    }

    /// Whether one has ended though nobody told it to.
    pub(super) fn has_ended(&mut self) -> bool {
        self.0.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in &self.0 {
            // One that has ended by itself is not there any more.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        }
        let begun = clock::stopwatch();
        for child in &mut self.0 {
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < GRACE {
                thread::sleep(LOOK_EVERY);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
