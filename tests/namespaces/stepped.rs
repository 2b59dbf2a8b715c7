//! A wall clock that a test steps, in one process: a library in C that is loaded into it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::support::process::output;

/// The clock of the processes that are started with it.
pub(crate) struct SteppedClock {
    file: File,
    environment: [(&'static str, String); 2],
}

impl SteppedClock {
    /// Builds it in a folder; it is right at first.
    pub(crate) fn new(folder: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/namespaces/clock.c");
        let (library, path) = (folder.join("clock.so"), folder.join("clock.step"));
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
        output(command.arg(&library).arg(source));
        let file = File::options().create(true).truncate(true).write(true).open(&path).unwrap();
        let text = |path: &Path| path.display().to_string();
        let environment = [("LD_PRELOAD", text(&library)), ("STEPPED_CLOCK", text(&path))];
        let clock = Self { file, environment };
        clock.set(0);
        clock
    }

    /// What a process needs in its environment.
    pub(crate) fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// Lets it be wrong by so many seconds from now on.
    pub(crate) fn set(&self, seconds: i64) {
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }
}
