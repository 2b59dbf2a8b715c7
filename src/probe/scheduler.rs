//! The one task that starts all probes and hands out their results.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::schedule::{Schedule, Serial, Start};
use super::{Target, Targets};
use crate::clock::{self, Tick};
use crate::health::Outcome;
use crate::model::{EndpointId, MonitorId};

/// What one probe found, and for whom.
#[derive(Clone, Debug)]
pub struct ProbeResult {
    /// The endpoint, in the fleet of `generation`.
    pub endpoint: EndpointId,
    /// The monitor, in the same fleet.
    pub monitor: MonitorId,
    /// [`Targets::generation`]; a result of another one than the receiver's is to be dropped.
    pub generation: u64,
    /// What was found.
    pub outcome: Outcome,
    /// How long the probe took.
    pub took: Duration,
    /// How long after its time it started; above the interval: `max_in_flight` is too low.
    pub waited: Duration,
}

/// Starts all probes, each at its time.
///
/// At most `max_in_flight` run at a time, and one per endpoint; others wait their turn. A result
/// keeps its place until it is delivered, so that a slow receiver slows the probes down and nothing
/// piles up.
pub struct Scheduler<C, N> {
    targets: watch::Receiver<Arc<Targets>>,
    check: C,
    now: N,
    schedule: Schedule,
    running: JoinSet<Finished>,
    serials: HashMap<task::Id, Serial>,
    outbox: VecDeque<Finished>,
}

/// A probe that has ended.
struct Finished {
    serial: Serial,
    outcome: Outcome,
    took: Duration,
    waited: Duration,
}

impl<C, F, N> Scheduler<C, N>
where
    C: Fn(Arc<Target>) -> F + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
    N: Fn() -> Tick + Send + 'static,
{
    /// Starts the task. It follows `targets`, probes through `check`, and ends with `stop` or when
    /// one of the channels is closed; probes under way are then given up.
    pub fn spawn(
        targets: watch::Receiver<Arc<Targets>>,
        results: mpsc::Sender<ProbeResult>,
        check: C,
        now: N,
        random: fastrand::Rng,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let scheduler = Self {
            targets,
            check,
            now,
            schedule: Schedule::new(random),
            running: JoinSet::new(),
            serials: HashMap::new(),
            outbox: VecDeque::new(),
        };
        tokio::spawn(async move {
            stop.run_until_cancelled(scheduler.run(results)).await;
        })
    }

    async fn run(mut self, results: mpsc::Sender<ProbeResult>) {
        self.targets.mark_changed();
        loop {
            let now = (self.now)();
            for start in self.schedule.start(now, self.outbox.len()) {
                self.spawn_check(start);
            }
            let due = self.schedule.next_due(now).map(|due| due.since(now));
            tokio::select! {
                changed = self.targets.changed() => match changed {
                    Ok(()) => self.replace(),
                    Err(_) => return,
                },
                Some(ended) = self.running.join_next_with_id() => self.take_in(ended),
                permit = results.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => {
                        let finished = self.outbox.pop_front();
                        if let Some(result) = finished.and_then(|f| f.addressed(&self.schedule)) {
                            permit.send(result);
                        }
                    }
                    Err(_) => return,
                },
                () = clock::rest(due) => {}
            }
        }
    }

    fn replace(&mut self) {
        let targets = self.targets.borrow_and_update().clone();
        self.schedule.replace(&targets, (self.now)());
    }

    fn spawn_check(&mut self, start: Start) {
        let Start { serial, target, waited } = start;
        let check = (self.check)(target);
        let handle = self.running.spawn(async move {
            let begun = clock::stopwatch();
            let outcome = check.await;
            Finished { serial, outcome, took: begun.elapsed(), waited }
        });
        self.serials.insert(handle.id(), serial);
    }

    /// Frees the place of a probe. One that panicked found nothing out about its endpoint; the
    /// panic was reported where it happened.
    fn take_in(&mut self, ended: Result<(task::Id, Finished), JoinError>) {
        let (id, finished) = match ended {
            Ok((id, finished)) => (id, Some(finished)),
            Err(error) => (error.id(), None),
        };
        if let Some(serial) = self.serials.remove(&id) {
            self.schedule.finish(serial);
        }
        self.outbox.extend(finished);
    }
}

impl Finished {
    /// The result with the ids of the target list of now; `None`: the target is gone.
    fn addressed(self, schedule: &Schedule) -> Option<ProbeResult> {
        let (target, generation) = schedule.current(self.serial)?;
        Some(ProbeResult {
            endpoint: target.endpoint,
            monitor: target.monitor,
            generation,
            outcome: self.outcome,
            took: self.took,
            waited: self.waited,
        })
    }
}
