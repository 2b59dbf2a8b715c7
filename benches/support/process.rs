//! A server under measurement: started on one core, awaited, metered and stopped.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longest that any server may take to start: one loads a million names.
const START: Duration = Duration::from_secs(120);
/// Longest wait for a server to end before it is killed.
const END: Duration = Duration::from_secs(8);
/// The core that servers run on; the load runs on the other.
pub(crate) const SERVER_CORE: usize = 0;

/// The unit of `proc_pid_stat(5)` on Linux.
const TICK: Duration = Duration::from_millis(10);

/// A running server.
pub(crate) struct Process {
    child: Child,
    pub(crate) ready: Duration,
}

/// What a server used since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Time on a core of the threads there are, exactly.
    pub(crate) core: Duration,
    /// Time on a core, in steps of [`TICK`], with the threads that have ended.
    pub(crate) all: Duration,
    /// Of which in user mode.
    pub(crate) user: Duration,
}

impl Process {
    /// Starts `command` on the core of servers and waits until it `answers`.
    pub(crate) fn start(
        command: &[String],
        folder: &Path,
        answers: impl Fn() -> io::Result<bool>,
    ) -> io::Result<Self> {
        Self::start_on(SERVER_CORE, command, folder, answers)
    }

    /// Starts `command` on this core and waits until it `answers`.
    pub(crate) fn start_on(
        core: usize,
        command: &[String],
        folder: &Path,
        answers: impl Fn() -> io::Result<bool>,
    ) -> io::Result<Self> {
        let log = folder.join("log");
        let file = fs::File::create(&log)?;
        let begun = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .args(command)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        let mut process = Self { child, ready: Duration::ZERO };
        while begun.elapsed() < START && process.child.try_wait()?.is_none() {
            if answers()? {
                process.ready = begun.elapsed();
                return Ok(process);
            }
            sleep(Duration::from_millis(10));
        }
        let log = fs::read_to_string(&log).unwrap_or_default();
        Err(io::Error::other(format!("{command:?} does not answer\n{log}")))
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for pid in self.tree() {
            // proc_pid_stat(5): user and system time are the twelfth and thirteenth field behind
            // the name, threads that have ended included.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let mut times = fields.skip(11).map(|ticks| TICK * ticks.parse().unwrap_or(0));
            let user = times.next().unwrap_or_default();
            usage.user += user;
            usage.all += user + times.next().unwrap_or_default();
            for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let times = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let core = times.split(' ').next().and_then(|ns| ns.parse().ok());
                usage.core += Duration::from_nanos(core.unwrap_or(0));
            }
        }
        usage
    }

    /// Memory of its own and its share of what is shared, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        let kib = |pid| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().split(' ').next()?.parse::<f64>().ok()
        };
        self.tree().into_iter().filter_map(kib).sum::<f64>() / 1024.0
    }

    /// The process and all below it.
    fn tree(&self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
                Some((pid, parent))
            })
            .collect();
        let mut tree = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = tree.get(at).copied() {
            let children = parents.iter().filter(|(_, parent)| *parent == pid);
            tree.extend(children.map(|(child, _)| *child));
            at += 1;
        }
        tree
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = self.tree();
        for pid in &tree {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let end = Instant::now() + END;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
