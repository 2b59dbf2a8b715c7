//! The thread of the query log: takes entries from the queue, encodes and writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use super::output::Output;
use super::{Entry, LogNames, LogTotals, dnstap, frames, json};
use crate::clock;
use crate::model::QueryLogFormat;

/// Octets encoded ahead of their writing; a reader that takes none leaves the rest in the queue.
const AHEAD_MAX: usize = 64 << 10;
/// Rest while the reader takes nothing, and longest wait for an entry.
const REST: Duration = Duration::from_millis(20);
const IDLE: Duration = Duration::from_millis(200);
/// Longest that a shutdown waits for the reader.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the thread owns.
pub(super) struct Writer {
    entries: Receiver<Entry>,
    output: Output,
    format: QueryLogFormat,
    names: LogNames,
    totals: Arc<LogTotals>,
    stop: Arc<AtomicBool>,
    /// Encoded entries, of which `written` octets are written.
    ahead: Vec<u8>,
    written: usize,
    /// How many entries these are.
    count: u64,
}

impl Writer {
    pub(super) fn new(
        entries: Receiver<Entry>,
        output: Output,
        format: QueryLogFormat,
        names: LogNames,
        totals: Arc<LogTotals>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let (ahead, written, count) = (Vec::new(), 0, 0);
        Self { entries, output, format, names, totals, stop, ahead, written, count }
    }

    /// Works until told to stop.
    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            self.turn();
        }
        let end = clock::now() + PATIENCE;
        while self.turn() && clock::now() < end {}
        self.lose();
        self.output.close();
    }

    /// Takes what waits and writes what can be written; `false`: there was nothing.
    fn turn(&mut self) -> bool {
        if self.ahead.is_empty() {
            self.output.follow();
        }
        self.take();
        if self.ahead.is_empty() {
            let stopping = self.stop.load(Ordering::Relaxed);
            let wait = if stopping { Duration::ZERO } else { IDLE };
            let Ok(entry) = self.entries.recv_timeout(wait) else { return false };
            self.encode(&entry);
        }
        self.write();
        true
    }

    /// Encodes entries that wait, up to [`AHEAD_MAX`].
    fn take(&mut self) {
        while self.ahead.len() < AHEAD_MAX {
            let Ok(entry) = self.entries.try_recv() else { return };
            self.encode(&entry);
        }
    }

    fn encode(&mut self, entry: &Entry) {
        match self.format {
            QueryLogFormat::Json => json::write(entry, &self.names, &mut self.ahead),
            QueryLogFormat::Dnstap => {
                frames::data(&dnstap::encode(entry, &self.names), &mut self.ahead);
            }
        }
        self.count += 1;
    }

    /// Writes what is encoded, or rests when nobody takes it.
    fn write(&mut self) {
        let rest = self.ahead.get(self.written..).unwrap_or_default();
        match self.output.write(rest) {
            Ok(0) => thread::sleep(REST),
            Ok(more) => self.written += more,
            // Whoever comes next cannot read the rest of an entry whose start is lost.
            Err(_) => self.lose(),
        }
        if self.written >= self.ahead.len() && self.count > 0 {
            self.totals.written.fetch_add(self.count, Ordering::Relaxed);
            self.forget();
        }
    }

    /// Gives up what is encoded.
    fn lose(&mut self) {
        self.totals.dropped.fetch_add(self.count, Ordering::Relaxed);
        self.forget();
    }

    fn forget(&mut self) {
        self.ahead.clear();
        (self.written, self.count) = (0, 0);
    }
}
