//! The file or named pipe that a log is appended to.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Who may read a new file: it holds addresses of clients.
const MODE: u32 = 0o640;

/// A file that is appended to, or a named pipe or a device.
#[derive(Debug)]
pub struct LogFile {
    /// What is open.
    pub file: File,
    /// It is moved by nobody, and holds nothing that could be read again.
    pub is_pipe: bool,
}

impl LogFile {
    /// Opens it, or makes a file that its owner and its group may read.
    ///
    /// # Errors
    /// When it cannot be opened; [`is_unread`] tells of a pipe that nobody reads.
    pub fn open(path: &Path) -> io::Result<Self> {
        let is_pipe = std::fs::metadata(path).is_ok_and(|there| {
            let kind = there.file_type();
            kind.is_fifo() || kind.is_char_device()
        });
        // Without O_NONBLOCK a named pipe would wait for its reader.
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(MODE).custom_flags(libc::O_NONBLOCK);
        // What is there is read, to be continued.
        Ok(Self { file: options.read(!is_pipe).open(path)?, is_pipe })
    }

    /// Whether nothing was written to it before.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn is_new(&self) -> io::Result<bool> {
        Ok(self.is_pipe || self.file.metadata()?.len() == 0)
    }

    /// Ends a line that a crash or a full disk left unfinished.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn end_line(&mut self) -> io::Result<()> {
        if self.is_new()? {
            return Ok(());
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        if last == *b"\n" { Ok(()) } else { self.file.write_all(b"\n") }
    }

    /// Whether `path` leads to another file by now, or to none.
    pub fn was_moved(&self, path: &Path) -> bool {
        let same = |there: Metadata, open: Metadata| {
            (there.dev(), there.ino()) == (open.dev(), open.ino())
        };
        let there = std::fs::metadata(path);
        !self.is_pipe
            && !there.is_ok_and(|there| self.file.metadata().is_ok_and(|open| same(there, open)))
    }
}

/// Whether opening failed because a named pipe has no reader (open(2)).
pub fn is_unread(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENXIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_is_ended_once_and_a_moved_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        for (before, after) in [("", ""), ("a\n", "a\n"), ("a\nb", "a\nb\n")] {
            std::fs::write(&path, before).unwrap();
            let mut log = LogFile::open(&path).unwrap();
            assert_eq!(log.is_new().unwrap(), before.is_empty());
            log.end_line().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
            assert!(!log.was_moved(&path));
        }
        let log = LogFile::open(&path).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        assert!(log.was_moved(&path));
        std::fs::write(&path, "new").unwrap();
        assert!(log.was_moved(&path));
        assert!(!log.was_moved(&moved));
        assert!(!LogFile::open(Path::new("/dev/null")).unwrap().was_moved(&path));
    }
}
