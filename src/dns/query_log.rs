//! The query log: a sample of queries with what was answered and why, written beside the answers.
//!
//! Workers put what is sampled into a bounded queue and never wait; a thread of its own encodes
//! and writes it. Whatever the reader of the log does, it can cost entries, which are counted, and
//! never an answer.

mod dnstap;
mod frames;
mod json;
mod output;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::output::Output;
use super::engine::{Answer, Reply, Transport};
use crate::clock;
use crate::model::{self, QueryLogFormat};
use crate::snapshot::Labels;
use crate::spool::{Fate, Spool};

/// Entries that wait to be written; beyond them entries are dropped.
const QUEUE_MAX: usize = 2048;
/// Octets kept of a query and of a reply: the largest UDP reply. The queue holds 16 MiB at most.
const OCTETS_MAX: usize = 4096;

/// One sampled query and what became of it.
#[derive(Debug)]
struct Entry {
    /// Since 1970.
    time: Duration,
    peer: SocketAddr,
    transport: Transport,
    /// Empty when longer than [`OCTETS_MAX`]: part of a message is none.
    query: Box<[u8]>,
    /// Empty without a reply, and when longer than [`OCTETS_MAX`].
    reply: Box<[u8]>,
    answer: Answer,
}

/// Where entries are handed in; all clones lead to one writer.
#[derive(Clone, Debug)]
pub struct QueryLog {
    sample: f64,
    queue: SyncSender<Entry>,
    totals: Arc<LogTotals>,
}

/// What became of sampled queries.
#[derive(Debug, Default)]
pub struct LogTotals {
    /// Entries written.
    pub written: AtomicU64,
    /// Entries lost, since the queue was full or their reader gone.
    pub dropped: AtomicU64,
}

/// Whose names the log writes.
#[derive(Clone, Debug)]
pub struct LogNames {
    /// The node.
    pub node: String,
    /// Services, as answers are counted.
    pub services: Arc<Labels>,
    /// Regions, likewise.
    pub regions: Arc<Labels>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl QueryLog {
    /// Opens the log and starts its thread. A reader that is not there yet, of a named pipe or a
    /// socket, may come later.
    ///
    /// # Errors
    /// When the file cannot be opened, or holds something else than such a log; when the thread
    /// cannot be started.
    pub fn start(settings: &model::QueryLog, names: LogNames) -> io::Result<(Self, LogWriter)> {
        let output = Output::open(settings)?;
        let (queue, entries) = sync_channel(QUEUE_MAX);
        let (totals, stop) = (Arc::new(LogTotals::default()), Arc::new(AtomicBool::new(false)));
        let format = settings.format;
        let encode = move |entry: &Entry, ahead: &mut Vec<u8>| match format {
            QueryLogFormat::Json => json::write(entry, &names, ahead),
            QueryLogFormat::Dnstap => frames::data(&dnstap::encode(entry, &names), ahead),
        };
        let ended = totals.clone();
        let count = move |fate, entries| {
            let total = match fate {
                Fate::Written => &ended.written,
                Fate::Dropped => &ended.dropped,
            };
            total.fetch_add(entries, Ordering::Relaxed);
        };
        let spool = Spool::new(entries, output, encode, count, stop.clone());
        let thread = thread::Builder::new().name("query-log".to_owned());
        let thread = thread.spawn(move || spool.run())?;
        Ok((Self { sample: settings.sample, queue, totals }, LogWriter { stop, thread }))
    }

    /// What became of sampled queries so far.
    pub fn totals(&self) -> &LogTotals {
        &self.totals
    }

    /// A sampler for one worker.
    pub(super) fn sampler(&self, random: &mut fastrand::Rng) -> Sampler {
        let mut sampler = Sampler { sample: self.sample, ahead: 0 };
        sampler.ahead = sampler.draw(random);
        sampler
    }

    /// Whether a query is sampled, by a random number from 0 to 1. For transports that answer one
    /// query at a time; a worker that answers batches has a [`Sampler`].
    pub(super) fn takes(&self, random: f64) -> bool {
        random < self.sample
    }

    /// Hands in a query with its reply, or drops it: never waits.
    pub(super) fn offer(
        &self,
        peer: SocketAddr,
        transport: Transport,
        query: &[u8],
        reply: &[u8],
        answer: &Answer,
    ) {
        let kept = |octets: &[u8]| Box::from(if octets.len() > OCTETS_MAX { &[] } else { octets });
        let length = match answer.reply {
            Reply::Length(length) => length,
            Reply::Drop | Reply::Transfer => 0,
        };
        let entry = Entry {
            time: clock::unix_time(),
            peer,
            transport,
            query: kept(query),
            reply: kept(reply.get(..length).unwrap_or_default()),
            answer: *answer,
        };
        if self.queue.try_send(entry).is_err() {
            self.totals.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LogWriter {
    /// Writes what waits, as far as its reader takes it within half a second, and ends the log.
    pub fn shutdown(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic of the thread was reported where it happened.
        let _ = self.thread.join();
    }
}

/// Tells which queries of a worker are sampled, by counting down to the next one: queries that
/// are not cost a comparison for a whole batch.
#[derive(Debug)]
pub(super) struct Sampler {
    sample: f64,
    /// Queries before the next sampled one.
    ahead: u64,
}

impl Sampler {
    /// Passes over `count` queries; `false`, and nothing passed, when one of them is sampled.
    pub(super) fn passes(&mut self, count: usize) -> bool {
        let Some(left) = self.ahead.checked_sub(count as u64) else { return false };
        self.ahead = left;
        true
    }

    /// Whether the next query is sampled.
    pub(super) fn takes(&mut self, random: &mut fastrand::Rng) -> bool {
        if self.passes(1) {
            return false;
        }
        self.ahead = self.draw(random);
        true
    }

    /// How many queries pass before the next sampled one, when each is sampled with the same
    /// probability: a geometric distribution.
    fn draw(&self, random: &mut fastrand::Rng) -> u64 {
        match self.sample {
            all if all >= 1.0 => 0,
            none if none <= 0.0 => u64::MAX,
            // The cast ends at the largest number; `f64()` is below 1, so the logarithm exists.
            sample => ((1.0 - random.f64()).ln() / (-sample).ln_1p()) as u64,
        }
    }
}
