//! Files that a crash never leaves half-written.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use tokio::task::spawn_blocking;

/// Whether this process keeps to itself what it would write; read by whoever writes, for as long as
/// that takes.
static RELEASED: RwLock<bool> = RwLock::new(false);

/// Says whether another process owns the files from now on: what writes then fails. Waits for
/// writes under way.
pub fn release(released: bool) {
    *RELEASED.write().unwrap_or_else(PoisonError::into_inner) = released;
}

/// Whether another process owns the files.
pub fn is_released() -> bool {
    *RELEASED.read().unwrap_or_else(PoisonError::into_inner)
}

/// Does what blocks on a disk where that delays no answer; the error is one for people.
pub async fn on_disk<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String>
where
    T: Send + 'static,
    E: Display + Send + 'static,
{
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Replaces a file and makes the folders above it. After a crash at any point it holds either the
/// old or the new content, whole: that is written aside, flushed to disk and then renamed.
///
/// Blocks on the disk; call it [`on_disk`].
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_with(path, content, false)
}

/// [`replace`] for what the owner of the process alone may read.
pub fn replace_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_with(path, content, true)
}

/// [`replace`], or [`replace_secret`].
fn replace_with(path: &Path, content: &[u8], secret: bool) -> io::Result<()> {
    let released = RELEASED.read().unwrap_or_else(PoisonError::into_inner);
    if *released {
        return Err(io::Error::other("another process has taken over"));
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    if secret {
        // What a crash has left there has the rights of whoever made it.
        let _ = fs::remove_file(&aside);
    }
    let written =
        write_whole(Path::new(&aside), content, secret).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // A half-written file would keep a full disk full; that it stays is no further harm.
        let _ = fs::remove_file(&aside);
    }
    written.and_then(|()| File::open(parent)?.sync_all())
}

/// Reads a file of at most `longest` octets; `None`: there is none.
pub fn read(path: &Path, longest: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        // Opening a pipe would wait for its other end.
        Ok(data) if !data.is_file() => return Err(io::Error::other("it is not a regular file")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut content = Vec::new();
    File::open(path)?.take(longest + 1).read_to_end(&mut content)?;
    if content.len() as u64 > longest {
        return Err(io::Error::other(format!("it is longer than {} MiB", longest >> 20)));
    }
    Ok(Some(content))
}

fn write_whole(path: &Path, content: &[u8], secret: bool) -> io::Result<()> {
    // The rest is for the process's umask to take away.
    let mode = if secret { 0o600 } else { 0o666 };
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_written_and_nothing_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        assert_eq!(read(&path, 9).unwrap(), None);
        for content in [b"old".as_slice(), b"new"] {
            replace(&path, content).unwrap();
            assert_eq!(read(&path, 3).unwrap().as_deref(), Some(content));
        }
        assert!(read(&path, 2).is_err(), "longer than it may be");
        assert!(read(folder.path(), 9).is_err(), "a folder");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing aside");
    }
}
