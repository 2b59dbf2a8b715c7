//! Keeps the zones that have a primary fresh: one task a zone, which visits the primary when it is
//! time or the primary says so, keeps the zone on disk and hands it on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::fetch::Visit;
use super::incoming::Outcome;
use super::notify::source;
use crate::clock;
use crate::durable;
use crate::metrics::Metrics;
use crate::model::Primary;
use crate::name::Name;
use crate::snapshot::{Fetched, FetchedZone, LoadedZone, Snapshot};
use crate::zone::schedule::{Schedule, without_copy};
use crate::zone::{Records, kept};

/// Least time between two visits: a flood of NOTIFY messages makes no flood of queries.
const VISIT_GAP: Duration = Duration::from_secs(1);

/// A zone that is to be kept fresh.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The zone.
    pub zone: Name,
    /// Where it is fetched.
    pub primary: Primary,
    /// Where it is kept.
    pub path: PathBuf,
    /// Woken by NOTIFY.
    pub told: Arc<Notify>,
    /// The copy there is, and when its primary was last heard of; it may have expired.
    pub copy: Option<(Arc<Records>, u64)>,
}

/// What all tasks use.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The zones with the services that stand beside fetched records.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where fetched zones go.
    pub fetched: mpsc::Sender<FetchedZone>,
    /// The addresses that primaries know this server by.
    pub listen: Vec<SocketAddr>,
}

/// Runs a task for each assignment until `stop`; an assignment that is gone or has changed ends its
/// task.
pub async fn run(
    surroundings: Surroundings,
    mut assignments: watch::Receiver<Vec<Assignment>>,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<Name, (Primary, AbortHandle)> = BTreeMap::new();
    loop {
        let wanted = assignments.borrow_and_update().clone();
        running.retain(|zone, (primary, handle)| {
            let same = |other: &Assignment| other.zone == *zone && other.primary == *primary;
            let kept = wanted.iter().any(same) && !handle.is_finished();
            if !kept {
                handle.abort();
            }
            kept
        });
        for assignment in wanted {
            if !running.contains_key(&assignment.zone) {
                let (zone, primary) = (assignment.zone.clone(), assignment.primary.clone());
                let keeper = Keeper::new(assignment, surroundings.clone());
                running.insert(zone, (primary, tasks.spawn(keeper.run())));
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = assignments.changed() => if changed.is_err() { break },
            Some(ended) = tasks.join_next() => if let Err(error) = ended && error.is_panic() {
                // Begun anew, after a rest that keeps a panic at once from filling the log.
                error!(%error, "the keeper of a zone has ended; it begins anew");
                sleep(VISIT_GAP).await;
            },
        }
    }
    tasks.shutdown().await;
}

/// The task of one zone.
struct Keeper {
    visit: Visit,
    path: PathBuf,
    told: Arc<Notify>,
    around: Surroundings,
    copy: Option<Copy>,
    /// Visits in a row that failed.
    failures: u32,
}

/// The zone as it is held.
struct Copy {
    records: Arc<Records>,
    serial: u32,
    schedule: Schedule,
    /// When the primary was last heard of, in seconds since 1970-01-01 UTC.
    heard: u64,
}

impl Copy {
    fn new(records: Arc<Records>, apex: &Name, heard: u64) -> Option<Self> {
        let (serial, schedule) = Schedule::of(&records, apex.as_wire())?;
        Some(Self { records, serial, schedule, heard })
    }

    /// Time left until it expires.
    fn left(&self) -> Option<Duration> {
        let silence = clock::unix_seconds().saturating_sub(self.heard);
        self.schedule.left(Duration::from_secs(silence))
    }
}

impl Keeper {
    fn new(assignment: Assignment, around: Surroundings) -> Self {
        let Assignment { zone, primary, path, told, copy } = assignment;
        let copy = copy.and_then(|(records, heard)| Copy::new(records, &zone, heard));
        let source = source(primary.address, &around.listen);
        let visit = Visit { zone, primary, source };
        Self { visit, path, told, around, copy, failures: 0 }
    }

    async fn run(mut self) {
        // What is on disk may be old, and a secondary asks at its start.
        let mut due = tokio::time::Instant::now();
        loop {
            let left = self.copy.as_ref().map(|copy| copy.left().unwrap_or(Duration::ZERO));
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.told.notified() => {}
                () = clock::rest(left) => {
                    self.expire().await;
                    continue;
                }
            }
            let wait = self.visit().await;
            due = tokio::time::Instant::now() + wait;
            sleep(VISIT_GAP.min(wait)).await;
        }
    }

    /// Visits the primary; gives the time until the next visit.
    async fn visit(&mut self) -> Duration {
        let copy = self.copy.as_ref().map(|copy| (copy.serial, copy.records.clone()));
        let (zone, primary) = (&self.visit.zone, self.visit.primary.address);
        let outcome = self.visit.fetch(copy).await;
        let word = match &outcome {
            Ok(Outcome::Zone(_)) => "fetched",
            Ok(Outcome::Unchanged) => "unchanged",
            Err(_) => "failed",
        };
        self.around.metrics.zone_fetches.with_label_values(&[word]).inc();
        match outcome {
            Ok(Outcome::Zone(records)) => self.take(Arc::new(records)).await,
            Ok(Outcome::Unchanged) => self.confirm().await,
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                // Once in a row is enough: the metric goes on counting.
                if self.failures == 1 {
                    warn!(%zone, %primary, why = %failure, "the zone cannot be fetched");
                }
            }
        }
        match (&self.copy, self.failures) {
            (Some(copy), 0) => copy.schedule.after_success(fastrand::f64()),
            (Some(copy), _) => copy.schedule.after_failure(fastrand::f64()),
            (None, failures) => without_copy(failures),
        }
    }

    /// Takes over what was fetched: first to disk, then to the world.
    async fn take(&mut self, records: Arc<Records>) {
        let zone = self.visit.zone.clone();
        let heard = clock::unix_seconds();
        let Some(copy) = Copy::new(records.clone(), &zone, heard) else { return };
        self.failures = 0;
        let path = self.path.clone();
        let written = records.clone();
        self.on_disk(move || kept::write(&path, &written)).await;
        info!(%zone, serial = copy.serial, records = records.len(), "the zone was fetched");
        self.copy = Some(copy);
        let fetched = Fetched { records, heard };
        let snapshot = self.around.snapshot.load_full();
        // Built here, so that a large zone does not hold up the judge of health.
        let built = tokio::task::spawn_blocking(move || {
            let model = snapshot.state.as_ref().map(|state| state.loaded.model.clone())?;
            let files = model.zones.iter().find(|files| files.origin == zone)?;
            LoadedZone::fetched(files, Some(fetched))
        });
        if let Ok(Some(loaded)) = built.await {
            self.hand_on(FetchedZone::Fresh(Box::new(loaded))).await;
        }
    }

    /// Notes that the copy is what the primary has.
    async fn confirm(&mut self) {
        self.failures = 0;
        let heard = clock::unix_seconds();
        if let Some(copy) = &mut self.copy {
            copy.heard = heard;
        }
        let path = self.path.clone();
        self.on_disk(move || kept::touch(&path, heard)).await;
    }

    /// Gives up the copy.
    async fn expire(&mut self) {
        let zone = self.visit.zone.clone();
        warn!(%zone, "the zone has expired: its primary was not heard of for too long");
        self.copy = None;
        self.hand_on(FetchedZone::Expired(zone, self.visit.primary.clone())).await;
    }

    async fn hand_on(&self, zone: FetchedZone) {
        // The judge is gone only when the process ends.
        let _ = self.around.fetched.send(zone).await;
    }

    /// Works on the disk; a failure is told, and the zone serves on from memory.
    async fn on_disk(&self, work: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
        if let Err(error) = durable::on_disk(work).await {
            self.around.metrics.state_failures.inc();
            let file = self.path.display();
            warn!(error, %file, "cannot keep the zone on disk; serving goes on");
        }
    }
}
