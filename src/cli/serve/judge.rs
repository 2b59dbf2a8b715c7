//! The task that owns the publisher: takes in events, publishes snapshots, keeps health on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{interval, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::latency::Measurement;
use super::serials::Serials;
use super::state::{SAVE_EVERY, Saver};
use crate::admin::{Events, Happening, Overriding, RegionState};
use crate::clock;
use crate::dns::transfer::Assignment;
use crate::durable;
use crate::health::{EndpointHealth, HostAddresses, Level, LocalVotes, Mode, Outcome, PeerEvent};
use crate::latency::Refusal;
use crate::load::Weights;
use crate::metrics::Metrics;
use crate::model::{Fleet, RegionId};
use crate::name::Name;
use crate::probe::{ProbeResult, Targets, hostnames};
use crate::proxy::Witness;
use crate::snapshot::{EndpointFlip, Event, FetchedZone, Loaded, Publisher, Replacement};

/// How often the proxy is asked what it saw, as the rules for that have it.
const LISTEN_EVERY: Duration = Duration::from_secs(1);

/// A new load of the files, and where to tell that it serves.
pub(super) type Reload = (Arc<Loaded>, oneshot::Sender<()>);

/// What the judge hears.
pub(super) struct Inbox {
    /// Results of probes.
    pub(super) results: mpsc::Receiver<ProbeResult>,
    /// What the proxy sees; `None`: this node has none.
    pub(super) proxied: Option<Arc<Witness>>,
    /// What peers say, and what is known of them.
    pub(super) peers: mpsc::Receiver<PeerEvent>,
    /// What hostnames resolve to.
    pub(super) hosts: watch::Receiver<Arc<HostAddresses>>,
    /// What became of zones that have a primary.
    pub(super) fetched: mpsc::Receiver<FetchedZone>,
    /// Files read anew.
    pub(super) reloads: mpsc::Receiver<Reload>,
    /// What operators have decided.
    pub(super) overrides: mpsc::Receiver<Overriding>,
    /// Services compiled anew by what was measured.
    pub(super) replacements: mpsc::Receiver<Vec<Replacement>>,
}

/// What the judge says.
pub(super) struct Outbox {
    /// What is to be probed.
    pub(super) targets: watch::Sender<Arc<Targets>>,
    /// What is to be resolved.
    pub(super) names: watch::Sender<BTreeSet<Name>>,
    /// The zones that are to be kept fresh.
    pub(super) assignments: watch::Sender<Vec<Assignment>>,
    /// What peers are to be told.
    pub(super) votes: watch::Sender<Arc<LocalVotes>>,
    /// What was measured.
    pub(super) measured: mpsc::Sender<Measurement>,
    /// Wakes whoever tells secondaries of new serials.
    pub(super) advanced: Arc<Notify>,
    /// Turns true when every target has been probed once.
    pub(super) judged: watch::Sender<bool>,
    /// What happens.
    pub(super) events: Arc<Events>,
}

/// Owns the publisher.
pub(super) struct Judge {
    publisher: Publisher,
    saver: Saver,
    serials: Serials,
    metrics: Arc<Metrics>,
    outbox: Outbox,
    /// As it was told last.
    mode: Mode,
    /// Whether it was told that this node is suspect.
    suspect: bool,
    /// The regions that serve, by name, as they were told last; `None`: not told yet.
    serving: Option<BTreeMap<String, bool>>,
}

impl Judge {
    /// A judge over a publisher that has made its first snapshot.
    pub(super) fn new(
        publisher: Publisher,
        saver: Saver,
        serials: Serials,
        metrics: Arc<Metrics>,
        outbox: Outbox,
    ) -> Self {
        let (mode, suspect) = (Mode::Alone, false);
        let serving = None;
        let judge = Self { publisher, saver, serials, metrics, outbox, mode, suspect, serving };
        judge.announce();
        judge
    }

    /// Works until `stop`, then saves health a last time.
    pub(super) async fn run(mut self, mut inbox: Inbox, stop: CancellationToken) {
        let mut save = interval_at(tokio::time::Instant::now() + SAVE_EVERY, SAVE_EVERY);
        let mut listen = interval(LISTEN_EVERY);
        // Without monitors there is no round to wait for.
        self.spared(Self::publish);
        loop {
            let due = self.publisher.next_due().map(|due| due.since(clock::now()));
            tokio::select! {
                () = stop.cancelled() => break,
                () = clock::rest(due) => self.take(Event::Tick),
                Some(event) = inbox.peers.recv() => {
                    self.spared(|judge| judge.heard(Event::Peers(event)));
                    while let Ok(event) = inbox.peers.try_recv() {
                        self.spared(|judge| judge.heard(Event::Peers(event)));
                    }
                    self.spared(Self::publish);
                }
                Some(result) = inbox.results.recv() => {
                    self.spared(|judge| judge.probed(result));
                    // A burst makes one snapshot; the channel's bound bounds the burst.
                    while let Ok(result) = inbox.results.try_recv() {
                        self.spared(|judge| judge.probed(result));
                    }
                    self.spared(Self::publish);
                }
                _ = listen.tick(), if inbox.proxied.is_some() => {
                    self.spared(|judge| judge.proxied(inbox.proxied.as_deref()));
                    self.spared(Self::publish);
                }
                Ok(()) = inbox.hosts.changed() => {
                    let hosts = inbox.hosts.borrow_and_update().clone();
                    self.take(Event::Hosts(hosts));
                }
                Some((loaded, done)) = inbox.reloads.recv() => {
                    self.spared(|judge| {
                        judge.publisher.apply(Event::Reload(loaded), clock::now());
                        judge.publish();
                        judge.announce();
                        // Whoever waits may have given up.
                        let _ = done.send(());
                    });
                    self.advance().await;
                }
                Some((overrides, done)) = inbox.overrides.recv() => {
                    self.take(Event::Overrides(overrides));
                    let _ = done.send(());
                }
                Some(new) = inbox.replacements.recv() => self.take(Event::Measured(new)),
                Some(fetched) = inbox.fetched.recv() => {
                    self.spared(|judge| {
                        let before = judge.publisher.model_generation();
                        judge.publisher.apply(Event::Fetched(fetched), clock::now());
                        judge.publish();
                        // Probes go on as they were, unless the contests were planned anew.
                        if judge.publisher.model_generation() != before {
                            judge.announce();
                        }
                    });
                    self.advance().await;
                }
                // Transfers follow health at this pace, however fast it changes.
                _ = save.tick() => {
                    self.advance().await;
                    self.save().await;
                }
            }
        }
        self.save().await;
    }

    /// Takes in one event and publishes what came of it.
    fn take(&mut self, event: Event) {
        self.spared(|judge| {
            judge.heard(event);
            judge.publish();
        });
    }

    /// Does a piece of work; a panic costs that piece at most, and health goes on to be judged.
    fn spared(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            error!("the judge of health goes on after a panic");
        }
    }

    fn probed(&mut self, result: ProbeResult) {
        let model = self.publisher.loaded().model.clone();
        let ProbeResult { endpoint, monitor, generation, outcome, took, waited } = result;
        if generation != self.publisher.model_generation() {
            return;
        }
        let definition = model.fleet.monitor(monitor);
        let name = definition.name.as_str();
        let durations = &self.metrics.probe_duration;
        durations.with_label_values(&[name, outcome.word()]).observe(took.as_secs_f64());
        if let Outcome::Failure { kind, .. } = &outcome {
            self.metrics.probe_failures.with_label_values(&[name, kind.as_str()]).inc();
        }
        // The counter is there from the first probe on, so that alerts find it.
        let late = self.metrics.probe_late.with_label_values(&[name]);
        late.inc_by(u64::from(waited > definition.interval));
        let trips = definition.check.round_trips();
        if trips > 0 && outcome == Outcome::Success {
            let region = model.fleet.endpoint(endpoint).region;
            let to = model.fleet.region(region).name.clone();
            self.measured(Measurement::Probe(to, took / trips), 1);
        }
        let event = Event::Probe { generation, endpoint, monitor, outcome };
        self.heard(event);
    }

    /// Tells the keeper of the latency map, who may be busy; what it has no room for is lost.
    fn measured(&self, measurement: Measurement, count: u64) {
        if self.outbox.measured.try_send(measurement).is_err() {
            let full = [Refusal::Full.as_str()];
            self.metrics.latency.refused.with_label_values(&full).inc_by(count);
        }
    }

    /// Takes in what the proxy saw since the last time.
    fn proxied(&mut self, witness: Option<&Witness>) {
        let Some(witness) = witness else { return };
        let model = self.publisher.loaded().model.clone();
        let region = model.fleet.region(model.node.region).name.as_str();
        let protection = &self.metrics.proxy.protection;
        let smoothed = protection.rtt.with_label_values(&[region]);
        let least = protection.rtt_least.with_label_values(&[region]);
        let trips = witness.round_trips();
        for sample in &trips {
            smoothed.observe(sample.trip.smoothed.as_secs_f64());
            least.observe(sample.trip.least.as_secs_f64());
        }
        if !trips.is_empty() {
            let count = trips.len() as u64;
            self.measured(Measurement::Clients(trips), count);
        }
        let (name, now) = (&model.node.name, clock::now());
        let (fleet, health) = (&model.fleet, self.publisher.health().endpoints());
        let weights = |pool: &str| weights(fleet, health, pool, model.node.region);
        for (pool, sample) in witness.loads(region, weights, now) {
            // The error is that others have reported too much, which status shows.
            let _ = self.publisher.loads().report(&pool, region, name, sample, now);
        }
        for (subject, outcome) in witness.report(&self.metrics.proxy, clock::now()) {
            self.heard(Event::Proxied { subject, outcome });
        }
    }

    /// Takes in one event, and tells what became of endpoints.
    fn heard(&mut self, event: Event) {
        let flips = self.publisher.apply(event, clock::now());
        for flip in &flips {
            self.flipped(flip);
        }
    }

    /// Tells when peers can be relied on more or less than before.
    fn relied(&mut self) {
        let council = self.publisher.health().council();
        let (mode, suspect) = (council.mode, council.suspect);
        if std::mem::replace(&mut self.mode, mode) != mode {
            // Who is known to probe is to be known after a restart, too.
            self.saver.mark();
            let mode = mode.as_str();
            self.outbox.events.tell(Happening::Mode { mode: mode.to_owned() });
            if self.mode == Mode::Isolated || self.mode == Mode::Degraded {
                warn!(mode, "not every probing region is heard");
            } else {
                info!(mode, "peers are heard, or none is known");
            }
        }
        if std::mem::replace(&mut self.suspect, suspect) != suspect {
            match (suspect, mode) {
                (true, Mode::Alone) => {
                    warn!("most of the fleet seems to fail at once; nobody else can judge");
                }
                (true, _) => warn!("most of the fleet seems to fail at once; not voting"),
                (false, _) => info!("most of the fleet can be seen again"),
            }
        }
    }

    /// One line and one count a flip.
    fn flipped(&mut self, flip: &EndpointFlip) {
        self.saver.mark();
        let fleet = &self.publisher.loaded().model.fleet;
        let endpoint = fleet.endpoint(flip.endpoint);
        let pool = fleet.pool(endpoint.pool).name.as_str();
        let region = fleet.region(endpoint.region).name.as_str();
        let (from, to) = (flip.flip.from.as_str(), flip.flip.to.as_str());
        self.metrics.flips.with_label_values(&[pool, to]).inc();
        let (address, cause) = (&endpoint.address, &flip.flip.cause);
        self.outbox.events.tell(Happening::Flip {
            pool: pool.to_owned(),
            region: region.to_owned(),
            endpoint: address.to_string(),
            from: from.to_owned(),
            to: to.to_owned(),
            cause: cause.to_string(),
        });
        if flip.flip.to == Level::Down {
            warn!(pool, region, endpoint = %address, from, to, %cause, "endpoint is down");
        } else {
            info!(pool, region, endpoint = %address, from, to, %cause, "endpoint is {to}");
        }
    }

    /// Tells which regions have begun or ceased to serve.
    fn regions(&mut self) {
        let fleet = &self.publisher.loaded().model.fleet;
        let mut known: BTreeMap<RegionId, bool> = BTreeMap::new();
        for (endpoint, health) in fleet.endpoints.iter().zip(self.publisher.health().endpoints()) {
            *known.entry(endpoint.region).or_default() |= health.level.serves();
        }
        let named = |(id, serves): (RegionId, bool)| (fleet.region(id).name.clone(), serves);
        let serving: BTreeMap<String, bool> = known.into_iter().map(named).collect();
        if self.serving.as_ref() == Some(&serving) {
            return;
        }
        let before = self.serving.replace(serving.clone());
        for (region, serves) in serving {
            let served = before.as_ref().and_then(|before| before.get(&region)).copied();
            // At the start only what is amiss is news.
            if served.unwrap_or(true) != serves {
                let state = if serves { RegionState::Up } else { RegionState::Down };
                self.outbox.events.tell(Happening::Region { region, state });
            }
        }
    }

    fn publish(&mut self) {
        self.relied();
        if self.publisher.is_behind() {
            self.regions();
        }
        if let Some(votes) = self.publisher.take_votes(clock::now()) {
            self.outbox.votes.send_replace(Arc::new(votes));
        }
        if self.publisher.is_behind() {
            self.publisher.publish();
        }
        self.metrics.generation.set(self.publisher.generation().cast_signed());
        if self.publisher.health().is_fully_observed() {
            let first = self.outbox.judged.send_if_modified(|j| !std::mem::replace(j, true));
            if first {
                self.saver.mark();
            }
        }
    }

    /// Gives new serials to what changed, first on disk and then to the world.
    async fn advance(&mut self) {
        // Whoever has the state folder gives out serials.
        if durable::is_released() {
            return;
        }
        let mut serials = None;
        self.spared(|judge| serials = judge.publisher.advance(&judge.serials.saved));
        if let Some(serials) = serials {
            self.serials.save(serials).await;
            self.spared(Self::publish);
            self.outbox.advanced.notify_one();
        }
    }

    /// Tells probes and resolver what there is.
    fn announce(&self) {
        let model = &self.publisher.loaded().model;
        let targets = model.node.probe.as_ref().map_or_else(Targets::default, |rules| {
            Targets::of(&model.fleet, rules, self.publisher.model_generation())
        });
        self.outbox.targets.send_replace(Arc::new(targets));
        let names = hostnames(&model.fleet);
        self.outbox.names.send_if_modified(|known| {
            let changed = *known != names;
            *known = names;
            changed
        });
        self.outbox.assignments.send_if_modified(|known| {
            let wanted = assignments(&self.publisher);
            let place = |a: &Assignment| (a.zone.clone(), a.primary.clone());
            let changed = !known.iter().map(place).eq(wanted.iter().map(place));
            *known = wanted;
            changed
        });
    }

    async fn save(&mut self) {
        if self.saver.is_due() && !durable::is_released() {
            let now = clock::now();
            let fleet = &self.publisher.loaded().model.fleet;
            let saved = self.publisher.health().save(fleet, now, clock::unix_seconds());
            self.saver.save(saved).await;
        }
    }
}

/// The endpoints of a pool in a region, whose capacity is to be learnt; `None`: it is not.
fn weights(
    fleet: &Fleet,
    health: &[EndpointHealth],
    pool: &str,
    region: RegionId,
) -> Option<Weights> {
    let pool = fleet.pools.iter().find(|other| other.name == pool)?;
    if !pool.learn_capacity || pool.capacity(region).is_some() {
        return None;
    }
    let mut weights = Weights { serving: 0, all: 0 };
    for (id, endpoint) in fleet.endpoints_of(pool).filter(|(_, one)| one.region == region) {
        let weight = u64::from(endpoint.weight);
        let health = health.get(id.0 as usize);
        weights.all += weight;
        weights.serving += if health.is_some_and(|h| h.level.serves()) { weight } else { 0 };
    }
    Some(weights)
}

/// The zones that have a primary, as they are held now.
fn assignments(publisher: &Publisher) -> Vec<Assignment> {
    let loaded = publisher.loaded();
    let zones = loaded.model.zones.iter().zip(&loaded.zones).zip(publisher.primaries());
    let assigned = zones.filter_map(|((files, zone), link)| {
        let link = link?;
        Some(Assignment {
            zone: files.origin.clone(),
            primary: link.primary,
            path: files.master.clone(),
            told: link.told,
            copy: zone.copy(),
        })
    });
    assigned.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::health::HealthTable;
    use crate::snapshot::load;

    #[tokio::test]
    async fn a_panic_costs_one_piece_of_work() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| fs::write(folder.path().join(path), text).unwrap();
        write("node.toml", "version = 1\n[node]\nname = \"a\"\nregion = \"eu\"\n[probe]\n");
        write("fleet.toml", "version = 1\n[region.eu]\nlocation = \"DE\"\n");
        let loaded = load(folder.path(), None).unwrap();
        let health = HealthTable::new(&loaded.model.fleet, clock::now());
        let publisher = Publisher::new(loaded, health);
        let metrics = Arc::new(Metrics::new().unwrap());
        let saver = Saver::new(folder.path(), metrics.clone());
        let (judged, mut told) = watch::channel(false);
        let (targets, names) = (watch::Sender::default(), watch::Sender::default());
        let (assignments, advanced) = (watch::Sender::default(), Arc::default());
        let serials = Serials::load(folder.path(), metrics.clone());
        let (votes, measured) = (watch::Sender::default(), mpsc::channel(1).0);
        let events = Arc::new(Events::new("a", metrics.clone()));
        let outbox =
            Outbox { targets, names, assignments, votes, measured, advanced, judged, events };
        let mut judge = Judge::new(publisher, saver, serials, metrics, outbox);
        judge.spared(|_| panic!("a fault"));
        assert!(!*told.borrow_and_update());
        judge.spared(Judge::publish);
        assert!(*told.borrow_and_update(), "nothing is probed, so that the first round is over");
        assert_eq!(judge.metrics.generation.get(), 1);
    }
}
