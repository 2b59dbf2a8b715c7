//! Where the query log goes: a file, a named pipe, or a socket. Nothing here ever waits for long.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tracing::{info, warn};

use super::frames::{self, Control};
use crate::clock::{self, Tick};
use crate::model::{self, LogTarget, QueryLogFormat};

/// Who may read a new file: it holds addresses of clients.
const MODE: u32 = 0o640;
/// Rest between two tries to open, and between two looks whether the file was moved away.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest that the reader of a socket may take for its part of the handshake.
const HANDSHAKE: Duration = Duration::from_millis(500);

/// The place that the log is written to.
pub(super) struct Output {
    target: LogTarget,
    format: QueryLogFormat,
    sink: Option<Sink>,
    looked: Tick,
    /// Whether it was said that it cannot be opened.
    told: bool,
}

/// What is open.
enum Sink {
    /// A regular file, which may be moved away.
    File(File),
    /// A named pipe or a device.
    Pipe(File),
    Socket(UnixStream),
}

impl Output {
    /// Opens it. Where only the reader is missing, it is tried again later.
    ///
    /// # Errors
    /// When the file cannot be written, or holds something else.
    pub(super) fn open(settings: &model::QueryLog) -> io::Result<Self> {
        let (target, format) = (settings.target.clone(), settings.format);
        let mut output = Self { target, format, sink: None, looked: clock::now(), told: false };
        match output.try_open() {
            Ok(sink) => output.sink = Some(sink),
            Err(error) if output.is_passing(&error) => output.tell(&error),
            Err(error) => return Err(error),
        }
        Ok(output)
    }

    /// Writes the start of `octets` and returns how many; 0 while nobody takes any.
    ///
    /// # Errors
    /// When the reader is gone; what was written of a whole is lost.
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.sink.is_none() && self.is_time() {
            match self.try_open() {
                Ok(sink) => {
                    info!(to = %self.path().display(), "the query log is written");
                    (self.sink, self.told) = (Some(sink), false);
                }
                Err(error) => self.tell(&error),
            }
        }
        let written = match &mut self.sink {
            None => return Ok(0),
            Some(Sink::File(file) | Sink::Pipe(file)) => file.write(octets),
            Some(Sink::Socket(stream)) => stream.write(octets),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => {
                self.sink = None;
                self.tell(&error);
                Err(error)
            }
            Ok(written) => Ok(written),
        }
    }

    /// Closes a file that is no longer at its path, so that the next entry begins a new one. To be
    /// called between whole entries.
    pub(super) fn follow(&mut self) {
        let Some(Sink::File(file)) = &self.sink else { return };
        if !self.is_time() {
            return;
        }
        let same = |there: Metadata, open: Metadata| {
            (there.dev(), there.ino()) == (open.dev(), open.ino())
        };
        let there = std::fs::metadata(self.path());
        if there.is_ok_and(|there| file.metadata().is_ok_and(|open| same(there, open))) {
            self.looked = clock::now();
        } else {
            self.close();
            // The new file is wanted at once.
            self.looked = Tick::default();
        }
    }

    /// Ends the log as its format wants it.
    pub(super) fn close(&mut self) {
        let Some(sink) = self.sink.take() else { return };
        if self.format == QueryLogFormat::Json {
            return;
        }
        let stop = frames::control(Control::Stop);
        // Who reads on without it finds the end of the file.
        let _ = match sink {
            Sink::File(mut file) | Sink::Pipe(mut file) => file.write_all(&stop),
            Sink::Socket(mut stream) => stream
                .write_all(&stop)
                .and_then(|()| stream.set_nonblocking(false))
                .and_then(|()| frames::expect(Control::Finish, &mut stream)),
        };
    }

    /// Whether it is time to look again.
    fn is_time(&self) -> bool {
        clock::now().since(self.looked) >= LOOK_EVERY
    }

    fn path(&self) -> &Path {
        match &self.target {
            LogTarget::File(path) | LogTarget::Socket(path) => path,
        }
    }

    fn try_open(&mut self) -> io::Result<Sink> {
        self.looked = clock::now();
        match &self.target {
            LogTarget::File(path) => open_file(path, self.format),
            LogTarget::Socket(path) => open_socket(path).map(Sink::Socket),
        }
    }

    /// Whether only the reader is missing.
    fn is_passing(&self, error: &io::Error) -> bool {
        // A named pipe without a reader (open(2)).
        matches!(self.target, LogTarget::Socket(_)) || error.raw_os_error() == Some(libc::ENXIO)
    }

    /// Says once that the log cannot be written.
    fn tell(&mut self, error: &io::Error) {
        if !self.told {
            let to = self.path().display();
            warn!(%to, %error, "the query log is not written; it is tried again");
        }
        self.told = true;
    }
}

fn open_file(path: &Path, format: QueryLogFormat) -> io::Result<Sink> {
    // Without O_NONBLOCK a named pipe would wait for its reader.
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE).custom_flags(libc::O_NONBLOCK);
    let is_pipe = std::fs::metadata(path).is_ok_and(|there| {
        let kind = there.file_type();
        kind.is_fifo() || kind.is_char_device()
    });
    // A stream that is there is read, to be continued.
    let mut file = options.read(!is_pipe).open(path)?;
    let is_new = is_pipe || file.metadata()?.len() == 0;
    match format {
        QueryLogFormat::Dnstap if is_new => file.write_all(&frames::control(Control::Start))?,
        QueryLogFormat::Dnstap => {
            let end = frames::end(&mut BufReader::new(&mut file))?;
            file.set_len(end)?;
        }
        QueryLogFormat::Json if is_new => {}
        QueryLogFormat::Json => end_line(&mut file)?,
    }
    Ok(if is_pipe { Sink::Pipe(file) } else { Sink::File(file) })
}

/// Ends a line that a crash or a full disk left unfinished.
fn end_line(file: &mut File) -> io::Result<()> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

/// Connects and agrees with the reader on what follows.
fn open_socket(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A reader that does not accept must not be waited for.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(HANDSHAKE))?;
    socket.set_write_timeout(Some(HANDSHAKE))?;
    let mut stream = UnixStream::from(std::os::fd::OwnedFd::from(socket));
    stream.write_all(&frames::control(Control::Ready))?;
    frames::expect(Control::Accept, &mut Patient(&stream))?;
    stream.write_all(&frames::control(Control::Start))?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Reads from a socket, where a time-out is an end.
struct Patient<'s>(&'s UnixStream);

impl Read for Patient<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.0;
        stream.read(out).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "no word from the reader"),
            _ => error,
        })
    }
}
