//! Where the access log goes: a file, a named pipe, or standard error. A file that was moved away
//! is followed by a new one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::clock::{self, Tick};
use crate::spool::{self, LOOK_EVERY, LogFile, is_unread, taken};

/// The place that the log is written to.
pub(super) struct Output {
    /// `None`: standard error.
    path: Option<PathBuf>,
    /// `None`: it cannot be opened now.
    file: Option<LogFile>,
    looked: Tick,
    /// Whether it was said that it cannot be opened.
    told: bool,
}

impl Output {
    /// Opens it. Where only the reader is missing, it is tried again later.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let mut output = Self { path, file: None, looked: clock::now(), told: false };
        let opened = output.path.as_deref().map(open);
        match opened {
            None => {}
            Some(Ok(file)) => output.file = Some(file),
            Some(Err(error)) if is_unread(&error) => output.tell(&error),
            Some(Err(error)) => return Err(error),
        }
        Ok(output)
    }

    /// Says once that the log cannot be written.
    fn tell(&mut self, error: &io::Error) {
        if let Some(path) = self.path.as_ref().filter(|_| !self.told) {
            let to = path.display();
            warn!(%to, %error, "the access log is not written; it is tried again");
        }
        self.told = true;
    }
}

impl spool::Output for Output {
    fn follow(&mut self) {
        let (Some(path), Some(open)) = (&self.path, &self.file) else { return };
        if clock::now().since(self.looked) < LOOK_EVERY {
            return;
        }
        if open.was_moved(path) {
            // The new file is wanted at once.
            (self.file, self.looked) = (None, Tick::default());
        } else {
            self.looked = clock::now();
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let Some(path) = &self.path else { return io::stderr().write(octets) };
        if self.file.is_none() && clock::now().since(self.looked) >= LOOK_EVERY {
            self.looked = clock::now();
            match open(path) {
                Ok(file) => {
                    info!(to = %path.display(), "the access log is written");
                    (self.file, self.told) = (Some(file), false);
                }
                Err(error) => self.tell(&error),
            }
        }
        let Some(open) = &mut self.file else { return Ok(0) };
        taken(open.file.write(octets)).inspect_err(|error| {
            self.file = None;
            self.tell(error);
        })
    }

    fn close(self) {}
}

fn open(path: &Path) -> io::Result<LogFile> {
    let mut log = LogFile::open(path)?;
    log.end_line()?;
    Ok(log)
}
