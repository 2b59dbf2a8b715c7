//! Transfers to secondaries as a connection carries them out: in turn, in time, and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::outgoing::Outgoing;
use crate::clock::{self, Tick};
use crate::dns::counters::Counters;
use crate::snapshot::Snapshot;

/// Transfers under way at a time; others wait, as long as their clients do.
const UNDER_WAY_MAX: usize = 16;
/// Longest wait for a turn.
const TURN_TIME: Duration = Duration::from_secs(5);
/// Longest time for one transfer: a client that takes a large zone at the pace of each write's
/// limit would hold it for days.
const TRANSFER_TIME: Duration = Duration::from_secs(900);

/// The transfers of all connections of a service.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    turns: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// One transfer; dropped before its end it counts as failed.
#[derive(Debug)]
pub(crate) struct Sending {
    outgoing: Option<Outgoing>,
    counters: Arc<Counters>,
    started: Tick,
    whole: bool,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Sender {
    /// Counts in `counters`.
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { turns: Arc::new(Semaphore::new(UNDER_WAY_MAX)), counters }
    }

    /// Begins the transfer that a query asks for, once the engine has said that it may.
    pub(crate) async fn begin(&self, snapshot: Arc<Snapshot>, query: Vec<u8>) -> Sending {
        let turn = timeout(TURN_TIME, self.turns.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok);
        // Working out what changed in a large zone takes long enough to hold up others.
        let begin = move || Outgoing::new(&snapshot, &query, clock::unix_seconds());
        let outgoing = match turn {
            Some(_) => tokio::task::spawn_blocking(begin).await.ok().flatten(),
            None => None,
        };
        let (counters, started) = (self.counters.clone(), clock::now());
        Sending { outgoing, counters, started, whole: false, _turn: turn }
    }
}

impl Sending {
    /// The next message, without the length in front; `None`: there are no more, see
    /// [`Sending::is_whole`].
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        if clock::now().since(self.started) > TRANSFER_TIME {
            return None;
        }
        let next = self.outgoing.as_mut()?.next(clock::unix_seconds());
        self.whole = next == Ok(None);
        next.ok().flatten()
    }

    /// Whether all messages were given. If not, only a closed connection tells the client.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let counts = &self.counters.transfers;
        let incremental = self.outgoing.as_ref().is_some_and(Outgoing::is_incremental);
        let counter = match (self.whole, incremental) {
            (false, _) => &counts.failed,
            (true, true) => &counts.ixfr,
            (true, false) => &counts.axfr,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
