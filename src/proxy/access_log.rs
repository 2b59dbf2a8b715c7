//! The access log: requests with what became of them, written beside the replies.
//!
//! A thread of the proxy puts what is sampled into a bounded queue and never waits; a thread of the
//! log encodes and writes it. Whatever its reader does, it can cost entries, which are counted, and
//! never a reply.

mod line;
mod output;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri, Version};
use prometheus::IntCounter;

use self::output::Output;
use super::traces::Spans;
use crate::clock;
use crate::metrics::ProxyMetrics;
use crate::model;
use crate::spool::{Fate, Spool};

/// Entries that wait to be written; beyond them entries are dropped. With [`TEXT_MAX`] they take
/// 16 MiB at most.
const QUEUE_MAX: usize = 4096;
/// Octets kept of each text that a client sends.
const TEXT_MAX: usize = 1024;
/// Longest that a shutdown waits for the thread, beside what the thread waits for its reader.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where entries are handed in.
#[derive(Debug)]
pub struct AccessLog {
    sample: f64,
    errors: bool,
    queue: SyncSender<Entry>,
    dropped: IntCounter,
}

/// The thread that writes.
#[derive(Debug)]
pub struct AccessLogWriter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// When its head had come, since 1970.
    pub(super) time: Duration,
    pub(super) client: IpAddr,
    pub(super) secure: bool,
    pub(super) protocol: &'static str,
    pub(super) method: String,
    pub(super) host: Option<String>,
    /// Without the query.
    pub(super) path: String,
    pub(super) user_agent: Option<String>,
    trace: Option<u128>,
    pub(super) ended: Ended,
}

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    /// `None`: no reply was begun.
    pub(super) status: Option<u16>,
    /// Why the proxy replied itself; `None`: it did not.
    pub(super) cause: Option<&'static str>,
    /// The name of its route; `None`: none was found.
    pub(super) route: Option<String>,
    /// The endpoint of the last try.
    pub(super) endpoint: Option<SocketAddr>,
    /// Endpoints that were tried.
    pub(super) tries: u32,
    /// From the request's head to the reply's end.
    pub(super) duration: Duration,
    /// From the last try to the reply's head.
    pub(super) endpoint_duration: Option<Duration>,
    /// Octets of the request's body.
    pub(super) received: u64,
    /// Octets of the reply's body.
    pub(super) sent: u64,
    /// Whether the reply came to its end.
    pub(super) complete: bool,
    /// Whether its source broke off.
    #[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "spans alone tell"))]
    pub(super) broken: bool,
}

/// A request while it is under way, by references to its head.
#[derive(Debug)]
pub(super) struct Record {
    /// The log that may be told of it; `None`: none is.
    log: Option<Arc<AccessLog>>,
    sampled: bool,
    /// `None`: it is part of no recorded trace.
    pub(super) spans: Option<Rc<Spans>>,
    time: Duration,
    /// Who asks.
    pub(super) client: IpAddr,
    secure: bool,
    version: Version,
    method: Method,
    target: Uri,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    /// The trace of the request.
    pub(super) trace: Option<u128>,
    /// What is known of its end so far.
    pub(super) ended: Ended,
}

impl AccessLog {
    /// Opens the log and starts its thread; `node` is the name of the node. A reader of a named
    /// pipe may come later.
    ///
    /// # Errors
    /// When the file cannot be opened, or the thread cannot be started.
    pub fn start(
        settings: &model::AccessLog,
        node: &str,
        metrics: &ProxyMetrics,
    ) -> io::Result<(Arc<Self>, AccessLogWriter)> {
        let output = Output::open(settings.file.clone())?;
        let (queue, entries) = sync_channel(QUEUE_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let count = |result| metrics.access_log.with_label_values(&[result]);
        let dropped = count("dropped");
        let node = node.to_owned();
        let encode = move |entry: &Entry, ahead: &mut Vec<u8>| line::write(entry, &node, ahead);
        let totals = (count("written"), dropped.clone());
        let count = move |fate, entries| match fate {
            Fate::Written => totals.0.inc_by(entries),
            Fate::Dropped => totals.1.inc_by(entries),
        };
        let spool = Spool::new(entries, output, encode, count, stop.clone());
        let thread = thread::Builder::new().name("access-log".to_owned());
        let thread = thread.spawn(move || spool.run())?;
        let (sample, errors) = (settings.sample, settings.errors);
        Ok((Arc::new(Self { sample, errors, queue, dropped }), AccessLogWriter { stop, thread }))
    }

    /// A request whose head has come, when it may be logged; `random` is from 0 to 1.
    pub(super) fn begin(
        self: &Arc<Self>,
        request: &Parts,
        by: (IpAddr, bool),
        random: f64,
    ) -> Option<Box<Record>> {
        let sampled = random < self.sample;
        if !sampled && !self.errors {
            return None;
        }
        let record = Record::of(request, by);
        Some(Box::new(Record { log: Some(self.clone()), sampled, ..record }))
    }

    /// Takes in an entry, or drops it.
    fn take(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            self.dropped.inc();
        }
    }
}

impl Record {
    /// A request whose head has come, and of which nobody is told yet; `by` is its client, and
    /// whether that speaks TLS.
    pub(super) fn of(request: &Parts, (client, secure): (IpAddr, bool)) -> Self {
        let field = |name| request.headers.get(name).cloned();
        Self {
            log: None,
            sampled: false,
            spans: None,
            time: clock::unix_time(),
            client,
            secure,
            version: request.version,
            method: request.method.clone(),
            target: request.uri.clone(),
            host: field(HOST),
            user_agent: field(USER_AGENT),
            trace: None,
            ended: Ended::default(),
        }
    }

    /// Hands in a request that has ended, or drops it: never waits.
    pub(super) fn end(mut self) {
        let failed = self
            .ended
            .status
            .is_some_and(|status| status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16());
        let log = self.log.take().filter(|_| self.sampled || failed);
        match (log, self.spans.take()) {
            (Some(log), None) => log.take(self.entry()),
            (Some(log), Some(spans)) => {
                let entry = self.entry();
                log.take(entry.clone());
                spans.end(entry);
            }
            (None, Some(spans)) => spans.end(self.entry()),
            (None, None) => {}
        }
    }

    /// What is told of it.
    pub(super) fn entry(self) -> Entry {
        let text = |value: &HeaderValue| shortened(&String::from_utf8_lossy(value.as_bytes()));
        // RFC 9113 section 8.3.1: HTTP/2 names the host in the target.
        let target = self.target.authority().map(|authority| shortened(authority.as_str()));
        Entry {
            time: self.time,
            client: self.client,
            secure: self.secure,
            protocol: match self.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_3 => "HTTP/3",
                _ => "HTTP/1.1",
            },
            method: shortened(self.method.as_str()),
            host: self.host.as_ref().map(text).or(target),
            path: shortened(self.target.path()),
            user_agent: self.user_agent.as_ref().map(text),
            trace: self.trace,
            ended: self.ended,
        }
    }
}

/// A text as far as it is kept.
pub(super) fn shortened(text: &str) -> String {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

impl AccessLogWriter {
    /// Writes what waits, as far as its reader takes it within half a second. Blocks for that.
    pub(super) fn shutdown(self) {
        self.stop.store(true, Ordering::Relaxed);
        let end = clock::now() + PATIENCE;
        // Standard error may have a reader that takes nothing; nobody waits for that one.
        while !self.thread.is_finished() && clock::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        if self.thread.is_finished() {
            // A panic of the thread was reported where it happened.
            let _ = self.thread.join();
        }
    }
}
