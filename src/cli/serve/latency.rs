//! The task that owns the latency map: takes in what is measured, compiles services by it from time
//! to time, and keeps it on disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cluster::Telling;
use crate::clock::{self, Tick};
use crate::cluster::Report;
use crate::durable;
use crate::health::Prober;
use crate::latency::{Estimates, Facts, LENGTH_MAX, LatencyMap, Refusal, Reporter, Way};
use crate::metrics::Metrics;
use crate::model::Model;
use crate::proxy::RoundTrip;
use crate::snapshot::{Loaded, Replacement, Snapshot};

/// Measurements that wait for the map: seconds of a busy node, while it is compiled.
pub(super) const MEASUREMENTS_MAX: usize = 8_192;
/// How often it is looked at whether there is something to do.
const TURN: Duration = Duration::from_secs(1);
/// Services are compiled anew this long after the last time at the soonest.
const COMPILE_AFTER: Duration = Duration::from_secs(10);
/// They are at the latest, if something changed, whatever it costs.
const COMPILE_WITHIN: Duration = Duration::from_secs(60);
/// In between it depends on how long it takes: a twentieth of a core at most.
const COMPILE_PAUSE: u32 = 20;
/// Estimates age by the hour, so they are made anew even when nothing is measured.
const AGED: Duration = Duration::from_secs(3_600);
/// How often it is looked whether others are to be told something.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How often the map is saved; a crash loses what was measured in this time.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// Something that was measured.
#[derive(Debug)]
pub(super) enum Measurement {
    /// Round trips of clients, by this node's proxy.
    Clients(Vec<RoundTrip>),
    /// The round trip of a probe to an endpoint of a region.
    Probe(String, Duration),
}

/// What the map is fed from, and what it feeds.
pub(super) struct Around {
    /// What this node measures.
    pub(super) measurements: mpsc::Receiver<Measurement>,
    /// What nodes tell each other.
    pub(super) telling: Telling,
    /// What is served.
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// Services compiled anew.
    pub(super) replacing: mpsc::Sender<Vec<Replacement>>,
}

/// Owns the map.
pub(super) struct Mapper {
    /// Locked by one piece of work at a time, on this task or on the thread that it waits for.
    map: Arc<Mutex<LatencyMap>>,
    path: PathBuf,
    /// That of this node.
    region: String,
    metrics: Arc<Metrics>,
    /// When services were compiled last, how long that took, and of which revision.
    compiled: Option<(Tick, Duration, u64)>,
    saved: (Tick, u64),
    /// When it was last looked what to tell others.
    told: Option<Tick>,
    failing: bool,
    distrusted: Vec<Reporter>,
}

impl Mapper {
    /// The map of this node as it was saved, or an empty one.
    pub(super) fn open(model: &Model, metrics: Arc<Metrics>) -> Self {
        let now = clock::now();
        let map = saved(model, now).unwrap_or_else(|error| {
            warn!(error, "the saved latency map is not used; it is learnt anew");
            LatencyMap::new(me(model), fastrand::u64(..))
        });
        if !map.is_empty() {
            info!(estimates = map.len(), "starting from the latency map last known");
        }
        for reason in Refusal::ALL {
            metrics.latency.refused.with_label_values(&[reason.as_str()]);
        }
        let region = me(model).region;
        metrics.latency.contradictions.with_label_values(&[&region]);
        Self {
            region,
            saved: (now, map.revision()),
            map: Arc::new(Mutex::new(map)),
            path: path(model),
            metrics,
            compiled: None,
            told: None,
            failing: false,
            distrusted: Vec::new(),
        }
    }

    /// What was loaded, going by what is known already.
    pub(super) fn apply(&self, loaded: Loaded) -> Loaded {
        let map = self.map();
        if map.revision() == 0 || !loaded.plan.measures() {
            return loaded;
        }
        loaded.measured(&map, clock::now())
    }

    /// Works until `stop`, then saves the map a last time.
    pub(super) async fn run(mut self, around: Around, stop: CancellationToken) {
        let Around { mut measurements, mut telling, snapshot, replacing } = around;
        let mut turn = interval(TURN);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(measurement) = measurements.recv() => {
                    let learn = learns(&snapshot);
                    self.take(measurement, learn);
                    while let Ok(measurement) = measurements.try_recv() {
                        self.take(measurement, learn);
                    }
                }
                Some(report) = telling.reported.recv() => self.hear(&report),
                _ = turn.tick() => {
                    self.count();
                    self.tell(&mut telling);
                    let state = snapshot.load().state.clone();
                    let loaded = state.map(|state| state.loaded.clone());
                    if let Some(loaded) = loaded.filter(|loaded| self.is_due(loaded)) {
                        let again = self.compile(loaded).await;
                        // The judge is gone only when everything ends.
                        let _ = replacing.send(again).await;
                    }
                    if clock::now().since(self.saved.0) >= SAVE_EVERY {
                        self.save().await;
                    }
                }
            }
        }
        self.save().await;
    }

    fn map(&self) -> MutexGuard<'_, LatencyMap> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a measurement; what is refused is counted by the map.
    fn take(&self, measurement: Measurement, learn: bool) {
        let (mut map, now) = (self.map(), clock::now());
        match measurement {
            Measurement::Clients(trips) if learn => {
                for trip in trips {
                    let _ = map.sample(trip.client, trip.trip, now);
                }
            }
            Measurement::Clients(_) => {}
            Measurement::Probe(to, time) => {
                let _ = map.probed(&to, time, now);
            }
        }
    }

    /// Takes in what another node reports. Where no client is to be recorded, none of another node
    /// is either.
    fn hear(&self, report: &Report) {
        let Prober { region, node } = report.writer.clone();
        let (from, now) = (Reporter { region, node }, clock::now());
        let mut map = self.map();
        // A page holds the one or the other.
        if !report.ways.is_empty() {
            map.hear_ways(&from, &report.ways, now);
        }
        map.hear(&from, &report.measured, now);
    }

    /// Tells others what is due: what was measured is looked through once a minute.
    fn tell(&mut self, telling: &mut Telling) {
        let Telling { writer: Some(writer), saying, .. } = telling else { return };
        let now = clock::now();
        if self.told.is_none_or(|told| now.since(told) >= TELL_EVERY) {
            self.told = Some(now);
            let map = self.map();
            let ways: Vec<Way> = map.own_ways().collect();
            writer.update(&ways, map.own(now));
        }
        let room = saying.capacity();
        for page in writer.due(now, room, &mut fastrand::Rng::new()) {
            // There is room for as many as were asked for.
            let _ = saying.try_send(page);
        }
    }

    /// Whether services are to be compiled anew.
    fn is_due(&self, loaded: &Loaded) -> bool {
        if !loaded.plan.measures() {
            return false;
        }
        let Some((at, took, revision)) = self.compiled else { return true };
        let passed = clock::now().since(at);
        let pause = (took * COMPILE_PAUSE).clamp(COMPILE_AFTER, COMPILE_WITHIN);
        passed >= AGED || passed >= pause && self.map().revision() != revision
    }

    /// Compiles services anew, on a thread for blocking work.
    async fn compile(&mut self, loaded: Arc<Loaded>) -> Vec<Replacement> {
        let (map, begun) = (self.map.clone(), clock::now());
        let work = move || {
            let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
            let latency = &loaded.model.fleet.latency;
            map.forget(latency.keep, begun);
            if !latency.learn {
                map.forget_clients();
            }
            let (revision, before) = (map.revision(), loaded.latency.load_full());
            let (fleet, ground) = (&loaded.model.fleet, &loaded.ground);
            let estimates = Arc::new(Estimates::new(&map, fleet, ground, &before, begun));
            let octets = map.bytes() + estimates.bytes();
            drop(map);
            loaded.latency.store(estimates.clone());
            let again = loaded.plan.again(fleet, ground, &estimates);
            (again, revision, estimates.facts().clone(), octets)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((again, revision, facts, octets)) => {
                self.compiled = Some((begun, clock::now().since(begun), revision));
                self.show(&facts, octets);
                again
            }
            Err(error) => {
                self.compiled = Some((begun, COMPILE_WITHIN, 0));
                warn!(%error, "services cannot be compiled by round trips; they stay");
                Vec::new()
            }
        }
    }

    /// Shows what was found on the way.
    fn show(&mut self, facts: &Facts, octets: usize) {
        let metrics = &self.metrics.latency;
        metrics.compilations.inc();
        metrics.clients.set(facts.clients.cast_signed());
        metrics.memory.set(i64::try_from(octets).unwrap_or(i64::MAX));
        metrics.contradictions.reset();
        metrics.contradictions.with_label_values(&[&self.region]);
        for (region, count) in &facts.contradictions {
            metrics.contradictions.with_label_values(&[region]).set(count.cast_signed());
        }
        metrics.distrusted.set(i64::try_from(facts.distrusted.len()).unwrap_or(i64::MAX));
        for reporter in &facts.distrusted {
            if !self.distrusted.contains(reporter) {
                let (region, node) = (&reporter.region, &reporter.node);
                warn!(region, node, "round trips faster than light: this node is not believed");
            }
        }
        self.distrusted.clone_from(&facts.distrusted);
    }

    fn count(&self) {
        let counts = self.map().take_counts();
        let metrics = &self.metrics.latency;
        metrics.samples.inc_by(counts.taken);
        metrics.dropped.inc_by(counts.dropped);
        for (why, count) in counts.refused {
            metrics.refused.with_label_values(&[why.as_str()]).inc_by(count);
        }
    }

    /// Saves the map, if it changed. The write runs on a thread for blocking work.
    async fn save(&mut self) {
        let (now, revision) = (clock::now(), self.map().revision());
        if revision == self.saved.1 || durable::is_released() {
            self.saved.0 = now;
            return;
        }
        let (map, path, unix_now) = (self.map.clone(), self.path.clone(), clock::unix_seconds());
        let write = move || {
            let file = map.lock().unwrap_or_else(PoisonError::into_inner).save(now, unix_now);
            durable::replace(&path, &file)
        };
        match durable::on_disk(write).await {
            Ok(()) => self.saved = (now, revision),
            Err(error) => {
                self.saved.0 = now;
                self.metrics.state_failures.inc();
                if !self.failing {
                    warn!(error, "cannot save the latency map in the state folder");
                }
                self.failing = true;
                return;
            }
        }
        self.failing = false;
    }
}

/// The map of this node as it was saved; an empty one if it never was.
///
/// # Errors
/// Why it cannot be used.
pub(in crate::cli) fn saved(model: &Model, now: Tick) -> Result<LatencyMap, String> {
    let seed = fastrand::u64(..);
    match durable::read(&path(model), LENGTH_MAX).map_err(|error| error.to_string())? {
        Some(file) => {
            let (keep, times) = (model.fleet.latency.keep, (now, clock::unix_seconds()));
            LatencyMap::load(me(model), seed, &file, keep, times)
        }
        None => Ok(LatencyMap::new(me(model), seed)),
    }
}

fn path(model: &Model) -> PathBuf {
    model.node.state.join("latency.map")
}

fn me(model: &Model) -> Reporter {
    let region = model.fleet.region(model.node.region).name.clone();
    Reporter { region, node: model.node.name.clone() }
}

/// Whether round trips of clients are recorded.
fn learns(snapshot: &ArcSwap<Snapshot>) -> bool {
    let snapshot = snapshot.load();
    snapshot.state.as_ref().is_some_and(|state| state.loaded.model.fleet.latency.learn)
}
