//! A server process of a test: killed when the test ends, its log shown when the test fails.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::poll;

/// Time a process has to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A running process.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with its output going to `NAME.log` in `folder`, appended to what earlier
    /// processes of the name wrote.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        command.stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a second handle")).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| not_started(command, &error));
        Self { name: name.to_owned(), child, log }
    }

    /// What the process has written so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its short name: `HUP`, `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let order = format!("kill -{signal} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &order]).status().expect("a shell");
        assert!(sent.success(), "{order}");
    }

    /// The exit status, as soon as the process has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of this process")
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        poll(within, Duration::from_millis(5), || self.ended())
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends the process in the usual way.
    pub(crate) fn stop(&mut self) {
        if self.ended().is_none() {
            self.signal("TERM");
            if self.wait(GRACE).is_none() {
                self.kill();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(60);
            eprintln!("--- last lines of {} ---\n{}", self.name, lines[last..].join("\n"));
        }
    }
}

/// The text a command prints; fails the test when the command is missing or fails.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| not_started(command, &error));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn not_started<T>(command: &Command, error: &std::io::Error) -> T {
    let program = command.get_program().to_string_lossy();
    assert!(error.kind() != ErrorKind::NotFound, "{program} is missing: run scripts/test");
    panic!("{program}: {error}");
}
