//! Traces: spans of requests and of their tries, sent to a collector beside the replies.
//!
//! A thread of the proxy puts what is recorded into a bounded queue and never waits; a task encodes
//! and sends it. Whatever the collector does, it can cost spans, which are counted, and never a
//! reply.

mod attempt;
#[cfg(feature = "otlp")]
mod encode;
#[cfg(feature = "otlp")]
mod exporter;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use http::request::Parts;
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) use self::attempt::Attempt;
use self::attempt::Try;
use super::access_log::{Entry, Record};
use super::head::Trace;
use super::worker::Worker;
use crate::clock;

/// Requests that wait to be sent; beyond them they are dropped. With the longest texts and as many
/// tries as there can be they take 32 MiB.
const QUEUE_MAX: usize = 4_096;

/// Where requests that are recorded are handed in.
#[derive(Debug)]
pub struct Traces {
    sample: f64,
    queue: mpsc::Sender<Ended>,
    dropped: IntCounter,
}

/// The task that sends spans.
#[derive(Debug)]
pub struct SpanSender {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

/// The spans of a request that is under way.
#[derive(Debug)]
pub(super) struct Spans {
    traces: Arc<Traces>,
    position: Position,
    begun: Instant,
    /// Tries that have begun.
    count: Cell<u32>,
    /// Those that have ended.
    tries: RefCell<Vec<Try>>,
    /// What endpoints are asked for, as the first one is.
    path: OnceCell<String>,
}

/// A span's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// Names the trace.
    trace: u128,
    /// Names the span.
    own: u64,
    /// The span of who sent the request; `None`: the trace begins here.
    parent: Option<u64>,
}

/// A request that has ended.
#[derive(Debug)]
struct Ended {
    position: Position,
    entry: Entry,
    tries: Vec<Try>,
    /// What endpoints were asked for; empty: none was asked.
    path: String,
}

impl Ended {
    /// The spans that it makes.
    fn spans(&self) -> u64 {
        1 + self.tries.len() as u64
    }
}

/// What chance says of a request.
#[derive(Clone, Copy, Debug)]
struct Random {
    /// From 0 to 1, which is not reached.
    share: f64,
    trace: u128,
    span: u64,
}

impl Traces {
    /// Starts to send what is handed in, in the name of a node of a region; within a runtime.
    ///
    /// # Errors
    /// When TLS cannot be set up at all: why.
    #[cfg(feature = "otlp")]
    pub fn start(
        settings: &crate::model::Telemetry,
        (node, region): (&str, &str),
        metrics: &crate::metrics::ProxyMetrics,
    ) -> Result<(Arc<Self>, SpanSender), String> {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let count = |result| metrics.spans.with_label_values(&[result]);
        let dropped = count("dropped");
        let counters = (count("sent"), dropped.clone());
        let exporter = exporter::Exporter::new(&settings.otlp, (node, region), counters)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(exporter.run(requests, stop.clone()));
        let traces = Self { sample: settings.sample, queue, dropped };
        Ok((Arc::new(traces), SpanSender { task, stop }))
    }

    /// Begins the spans of a request whose head has come, where its trace is recorded: as a trusted
    /// peer says, else by chance. Its head then names its span.
    pub(super) fn begin(
        self: &Arc<Self>,
        request: &mut Parts,
        by: (IpAddr, bool),
        worker: &Worker,
        record: &mut Option<Box<Record>>,
    ) {
        let (trace, span) = (worker.long_random(), worker.random());
        let random = Random { share: worker.random_share(), trace, span };
        let trusted = worker.view().proxy.trusts(by.0);
        if let Some(position) = self.position(&mut request.headers, trusted, random) {
            let record = record.get_or_insert_with(|| Box::new(Record::of(request, by)));
            record.trace = Some(position.trace);
            record.spans = Some(Rc::new(Spans::new(self.clone(), position)));
        }
    }

    /// Where the request of this head, from a peer whose word is taken or not, is in its trace, if
    /// that is recorded. Any client can ask for that, and would choose what tracing costs; whoever
    /// is not trusted has the chance of a request without a trace.
    fn position(&self, headers: &mut HeaderMap, trusted: bool, random: Random) -> Option<Position> {
        let known = Trace::read(headers);
        let told = known.filter(|_| trusted).map(|trace| trace.sampled);
        if !told.unwrap_or(random.share < self.sample) {
            return None;
        }
        let trace = Trace { sampled: true, ..Trace::ensure(headers, (random.trace, random.span)) };
        let own = trace.child(random.span);
        own.write(headers);
        let parent = known.map(|trace| trace.parent);
        Some(Position { trace: trace.id, own: own.parent, parent })
    }
}

impl Spans {
    fn new(traces: Arc<Traces>, position: Position) -> Self {
        Self {
            traces,
            position,
            begun: clock::stopwatch(),
            count: Cell::new(0),
            tries: RefCell::default(),
            path: OnceCell::new(),
        }
    }

    /// Hands in the request, which has ended, or drops it: never waits.
    pub(super) fn end(&self, entry: Entry) {
        let path = self.path.get().cloned().unwrap_or_default();
        let ended = Ended { position: self.position, entry, tries: self.tries.take(), path };
        let spans = ended.spans();
        if self.traces.queue.try_send(ended).is_err() {
            self.traces.dropped.inc_by(spans);
        }
    }
}

impl SpanSender {
    /// Sends what was handed in, as far as the collector takes it within two seconds.
    pub(super) async fn end(self) {
        self.stop.cancel();
        // A panic of the task was reported where it happened.
        let _ = self.task.await;
    }
}
