//! Entries of a log on their way out: a thread takes them from a queue, encodes them ahead, writes
//! as much as is taken, and gives up rather than to wait for a reader.

mod file;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

pub use self::file::{LogFile, is_unread};
use crate::clock;

/// Rest between two tries to open what cannot be opened, and between two looks whether a file was
/// moved away.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Octets encoded ahead of their writing; a reader that takes none leaves the rest in the queue.
const AHEAD_MAX: usize = 64 << 10;
/// Rest while the reader takes nothing, and longest wait for an entry.
const REST: Duration = Duration::from_millis(20);
const IDLE: Duration = Duration::from_millis(200);
/// Longest that a shutdown waits for the reader.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where encoded entries go.
pub trait Output {
    /// Opens anew a file that was moved away.
    fn follow(&mut self);

    /// Writes the start of `octets` and returns how many; 0 while nobody takes any.
    ///
    /// # Errors
    /// When the reader is gone; what was written of a whole is lost.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize>;

    /// Ends what was written.
    fn close(self);
}

/// What a descriptor that does not block took: nothing where it would have blocked.
///
/// # Errors
/// Any other of the write.
pub fn taken(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(0)
        }
        written => written,
    }
}

/// What has become of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are written.
    Written,
    /// They are lost.
    Dropped,
}

/// What the thread owns: the queue of `E`, where its entries go, and how they are encoded.
#[derive(Debug)]
pub struct Spool<E, O, F, C> {
    entries: Receiver<E>,
    output: O,
    encode: F,
    count: C,
    stop: Arc<AtomicBool>,
    /// Encoded entries, of which `written` octets are written.
    ahead: Vec<u8>,
    written: usize,
    /// How many entries these are.
    held: u64,
}

impl<E, O: Output, F: FnMut(&E, &mut Vec<u8>), C: Fn(Fate, u64)> Spool<E, O, F, C> {
    /// A thread's work until `stop`; `encode` appends an entry, `count` learns what became of so
    /// many.
    pub fn new(
        entries: Receiver<E>,
        output: O,
        encode: F,
        count: C,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { entries, output, encode, count, stop, ahead: Vec::new(), written: 0, held: 0 }
    }

    /// Works until told to stop.
    pub fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            self.turn(IDLE);
        }
        let end = clock::now() + PATIENCE;
        while self.turn(Duration::ZERO) && clock::now() < end {}
        self.end(Fate::Dropped);
        self.output.close();
    }

    /// Takes what waits and writes what can be written; `false`: there was nothing.
    fn turn(&mut self, wait: Duration) -> bool {
        if self.ahead.is_empty() {
            self.output.follow();
            let Ok(entry) = self.entries.recv_timeout(wait) else { return false };
            self.take(&entry);
        }
        while self.ahead.len() < AHEAD_MAX {
            let Ok(entry) = self.entries.try_recv() else { break };
            self.take(&entry);
        }
        self.write();
        true
    }

    fn take(&mut self, entry: &E) {
        (self.encode)(entry, &mut self.ahead);
        self.held += 1;
    }

    /// Writes what is encoded, or rests when nobody takes it.
    fn write(&mut self) {
        let rest = self.ahead.get(self.written..).unwrap_or_default();
        match self.output.write(rest) {
            Ok(0) => thread::sleep(REST),
            Ok(more) => self.written += more,
            // Whoever comes next cannot read the rest of an entry whose start is lost.
            Err(_) => self.end(Fate::Dropped),
        }
        if self.written >= self.ahead.len() && self.held > 0 {
            self.end(Fate::Written);
        }
    }

    /// What is encoded has come to its end.
    fn end(&mut self, fate: Fate) {
        (self.count)(fate, self.held);
        self.ahead.clear();
        (self.written, self.held) = (0, 0);
    }
}
