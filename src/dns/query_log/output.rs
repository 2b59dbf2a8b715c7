//! Where the query log goes: a file, a named pipe, or a socket. Nothing here ever waits for long.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tracing::{info, warn};

use super::frames::{self, Control};
use crate::clock::{self, Tick};
use crate::model::{self, LogTarget, QueryLogFormat};
use crate::spool::{self, LOOK_EVERY, LogFile, is_unread, taken};

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
    File(LogFile),
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

    /// Ends the log as its format wants it.
    fn end(&mut self) {
        let Some(sink) = self.sink.take() else { return };
        if self.format == QueryLogFormat::Json {
            return;
        }
        let stop = frames::control(Control::Stop);
        // Who reads on without it finds the end of the file.
        let _ = match sink {
            Sink::File(mut log) => log.file.write_all(&stop),
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
            LogTarget::File(path) => open_file(path, self.format).map(Sink::File),
            LogTarget::Socket(path) => open_socket(path).map(Sink::Socket),
        }
    }

    /// Whether only the reader is missing.
    fn is_passing(&self, error: &io::Error) -> bool {
        matches!(self.target, LogTarget::Socket(_)) || is_unread(error)
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

impl spool::Output for Output {
    fn follow(&mut self) {
        let Some(Sink::File(log)) = &self.sink else { return };
        if !self.is_time() {
            return;
        }
        if log.was_moved(self.path()) {
            self.end();
            // The new file is wanted at once.
            self.looked = Tick::default();
        } else {
            self.looked = clock::now();
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
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
            Some(Sink::File(log)) => log.file.write(octets),
            Some(Sink::Socket(stream)) => stream.write(octets),
        };
        taken(written).inspect_err(|error| {
            self.sink = None;
            self.tell(error);
        })
    }

    fn close(mut self) {
        self.end();
    }
}

fn open_file(path: &Path, format: QueryLogFormat) -> io::Result<LogFile> {
    let mut log = LogFile::open(path)?;
    match format {
        QueryLogFormat::Dnstap if log.is_new()? => {
            log.file.write_all(&frames::control(Control::Start))?;
        }
        QueryLogFormat::Dnstap => {
            let end = frames::end(&mut BufReader::new(&mut log.file))?;
            log.file.set_len(end)?;
        }
        QueryLogFormat::Json => log.end_line()?,
    }
    Ok(log)
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
