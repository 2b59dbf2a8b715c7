//! The task that sends spans to a collector: OTLP over HTTP, in Protobuf.

use std::time::Duration;

use bytes::Bytes;
use prometheus::IntCounter;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Ended, encode};
use crate::{clock, outbound};

/// Requests of one message.
const BATCH_MAX: usize = 512;
/// What is alone waits this long for more.
const GATHER: Duration = Duration::from_millis(500);
/// What a collector gets to reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause before the same is sent again; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest that a collector may have us wait.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often the same is sent: what waits meanwhile is bounded, and old spans help nobody.
const TRIES: u32 = 4;
/// What was handed in before the end gets this long.
const LAST: Duration = Duration::from_secs(2);
/// Octets of a reply that are read.
const REPLY_MAX: usize = 64 << 10;

/// Sends spans.
pub(super) struct Exporter {
    client: Client,
    url: String,
    node: String,
    region: String,
    sent: IntCounter,
    dropped: IntCounter,
    /// Whether it was said that the collector does not take everything.
    told: bool,
}

/// Why a collector did not take a message.
struct Refusal {
    why: String,
    /// How long to wait before the same is sent again; `None`: that would change nothing.
    again: Option<Duration>,
}

impl Exporter {
    pub(super) fn new(
        otlp: &str,
        (node, region): (&str, &str),
        (sent, dropped): (IntCounter, IntCounter),
    ) -> Result<Self, String> {
        let client = outbound::client(PATIENCE)?;
        let url = format!("{otlp}/v1/traces");
        let (node, region) = (node.to_owned(), region.to_owned());
        Ok(Self { client, url, node, region, sent, dropped, told: false })
    }

    /// Sends what comes until `stop`, then what has come, for [`LAST`] at most.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Ended>,
        stop: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let rounds = async { while self.round(&mut requests, &mut batch).await {} };
        tokio::select! {
            () = stop.cancelled() => {}
            () = rounds => {}
        }
        // What was on its way is sent once more: a collector knows spans by their names.
        while let Ok(request) = requests.try_recv() {
            batch.push(request);
        }
        let end = tokio::time::Instant::now() + LAST;
        for part in batch.chunks(BATCH_MAX) {
            if timeout_at(end, self.send(part)).await.is_err() {
                self.dropped.inc_by(spans(part));
            }
        }
    }

    /// Gathers one message and sends it; `false`: there will be none.
    async fn round(
        &mut self,
        requests: &mut mpsc::Receiver<Ended>,
        batch: &mut Vec<Ended>,
    ) -> bool {
        if requests.recv_many(batch, BATCH_MAX).await == 0 {
            return false;
        }
        gather(requests, batch).await;
        self.send(batch).await;
        batch.clear();
        true
    }

    /// Sends a batch, again and again where that may help, and counts what became of it.
    async fn send(&mut self, batch: &[Ended]) {
        let spans = spans(batch);
        let body = Bytes::from(encode::message(batch, (&self.node, &self.region)));
        for tries in 1..=TRIES {
            match self.post(body.clone()).await {
                Ok((rejected, why)) => {
                    let rejected = rejected.min(spans);
                    self.sent.inc_by(spans - rejected);
                    self.dropped.inc_by(rejected);
                    if rejected > 0 {
                        self.tell(&why);
                    } else if std::mem::take(&mut self.told) {
                        info!(url = self.url, "the collector takes spans again");
                    }
                    return;
                }
                Err(Refusal { why, again: Some(again) }) if tries < TRIES => {
                    self.tell(&why);
                    let pause = clock::doubled(PAUSE, tries - 1, PAUSE_MAX);
                    let wait = clock::spread(pause, fastrand::f64()).max(again);
                    sleep(wait.min(PAUSE_MAX)).await;
                }
                Err(Refusal { why, .. }) => {
                    self.dropped.inc_by(spans);
                    self.tell(&why);
                    return;
                }
            }
        }
    }

    /// Says once that the collector does not take everything, until it does.
    fn tell(&mut self, why: &str) {
        if !std::mem::replace(&mut self.told, true) {
            warn!(url = self.url, why, "the collector does not take spans; some are dropped");
        }
    }

    /// Sends a message; gives how many spans of it were rejected, and why.
    async fn post(&self, body: Bytes) -> Result<(u64, String), Refusal> {
        let request = self.client.post(&self.url);
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let failed = |error: reqwest::Error| {
            let why = error.without_url().to_string();
            Refusal { why, again: Some(Duration::ZERO) }
        };
        let reply = request.send().await.map_err(failed)?;
        if reply.status().is_success() {
            // It has taken the message, whatever becomes of its words.
            let words = outbound::read(reply, REPLY_MAX).await.ok().flatten();
            return Ok(encode::rejected(&words.unwrap_or_default()));
        }
        let status = reply.status();
        let after = reply.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| after.parse().ok()).map(Duration::from_secs);
        let again = is_passing(status).then(|| after.unwrap_or_default());
        Err(Refusal { why: status.to_string(), again })
    }
}

/// Waits for more requests, up to a full message.
async fn gather(requests: &mut mpsc::Receiver<Ended>, batch: &mut Vec<Ended>) {
    let more = async {
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            if requests.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    // What came meanwhile is in the batch.
    let _ = timeout(GATHER, more).await;
}

/// The spans of these requests.
fn spans(batch: &[Ended]) -> u64 {
    batch.iter().map(Ended::spans).sum()
}

/// Whether a collector may take later what it refuses so (OTLP 1, OTLP/HTTP, Retryable Response
/// Codes).
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}
