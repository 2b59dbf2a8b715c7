//! The publisher: the only writer of snapshots.

mod measured;
mod primaries;
mod regions;
mod spills;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::load::Loaded;
use super::plan::Steering;
use super::version::flatten;
use super::{
    AnswerOptions, FetchedZone, Labels, Memory, Prepared, Replacement, SavedSerials, ServedZone,
    ServiceAnswers, Snapshot, State, Versions, ZoneEntry, ZoneSet,
};
use crate::acme::Issuance;
use crate::clock::Tick;
use crate::health::overrides::{OverrideSet, resolve};
use crate::health::{
    Change, Flip, HealthTable, HostAddresses, Level, LocalVotes, Outcome, PeerEvent, Subject,
};
use crate::load::Loads;
use crate::model::{EndpointId, MonitorId, PoolId};
use crate::name::Name;
use crate::steering::{Comeback, Sluice, View};
use crate::zone::Zone;

/// Most services, and most regions, that are counted one by one.
pub const LABELS_MAX: u32 = 10_000;

/// What the publisher is told.
#[derive(Debug)]
pub enum Event {
    /// A probe has ended.
    Probe {
        /// Generation of the model that the ids are of.
        generation: u64,
        /// What was probed.
        endpoint: EndpointId,
        /// By which monitor.
        monitor: MonitorId,
        /// What it found.
        outcome: Outcome,
    },
    /// What the proxied requests of the last second say of an endpoint.
    Proxied {
        /// What votes on them are about, in any model.
        subject: Subject,
        /// How they went.
        outcome: Outcome,
    },
    /// A peer says something, or something is known of it.
    Peers(PeerEvent),
    /// Time has passed, up to when [`Publisher::next_due`] asked for it.
    Tick,
    /// Hostnames resolve differently now.
    Hosts(Arc<HostAddresses>),
    /// The files were read anew.
    Reload(Arc<Loaded>),
    /// Something became of a zone that has a primary.
    Fetched(FetchedZone),
    /// Contests were compiled anew by what was measured.
    Measured(Vec<Replacement>),
    /// Operators have set or cleared overrides, or some have ended.
    Overrides(Arc<OverrideSet>),
}

/// A change of an endpoint's level, to be logged and counted.
#[derive(Clone, Debug)]
pub struct EndpointFlip {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// From and to what, and why.
    pub flip: Flip,
}

/// Owns all that snapshots are made of.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<ArcSwap<Snapshot>>,
    loaded: Arc<Loaded>,
    health: HealthTable,
    hosts: Arc<HostAddresses>,
    overrides: Arc<OverrideSet>,
    /// Per contest: what it remembers.
    contests: Vec<Memory>,
    /// Per contest and region: where it is on its way back after a loss.
    comebacks: Vec<Vec<Comeback>>,
    /// When time alone changes one of them.
    share_due: Option<Tick>,
    /// What is known of the load of pools.
    loads: Arc<Loads>,
    /// Certificates by ACME.
    issuance: Arc<Issuance>,
    /// Per contest: where clients go by load.
    sluices: Vec<Sluice>,
    /// When loads are looked at again; `None`: no contest goes by them.
    spill_due: Option<Tick>,
    /// Per contest: the answers under the health of the moment.
    prepared: Vec<Arc<Prepared>>,
    /// Per contest: whether `prepared` is behind.
    dirty: Vec<bool>,
    /// Whether anything changed since the last snapshot.
    behind: bool,
    /// What transfers hold, by zone.
    versions: HashMap<Name, Versions>,
    /// Who is told that a zone has changed at its primary.
    told: HashMap<Name, Arc<Notify>>,
    /// Whether `versions` may be behind.
    unversioned: bool,
    services: Arc<Labels>,
    regions: Arc<Labels>,
    generation: u64,
    /// Generation at the last reload: endpoint ids of events before it mean other endpoints.
    model_generation: u64,
}

impl Publisher {
    /// Makes the first snapshot, from health as it was saved or unknown.
    pub fn new(loaded: Loaded, health: HealthTable) -> Self {
        let loaded = Arc::new(loaded);
        let contests = loaded.plan.steerings.len();
        let shared = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let mut publisher = Self {
            shared,
            loaded,
            health,
            hosts: Arc::default(),
            overrides: Arc::default(),
            contests: vec![Memory::default(); contests],
            comebacks: vec![Vec::new(); contests],
            share_due: None,
            loads: Arc::default(),
            issuance: Arc::default(),
            sluices: vec![Sluice::default(); contests],
            spill_due: Some(Tick(0)),
            prepared: Vec::new(),
            dirty: Vec::new(),
            behind: true,
            versions: HashMap::new(),
            told: HashMap::new(),
            unversioned: true,
            services: Arc::new(Labels::new(LABELS_MAX)),
            regions: Arc::new(Labels::new(LABELS_MAX)),
            generation: 0,
            model_generation: 1,
        };
        publisher.follow_primaries();
        publisher.prepare_all();
        publisher.publish();
        publisher
    }

    /// Where readers find the snapshot.
    pub fn shared(&self) -> Arc<ArcSwap<Snapshot>> {
        self.shared.clone()
    }

    /// What the files said when they were last read without errors.
    pub fn loaded(&self) -> &Arc<Loaded> {
        &self.loaded
    }

    /// The state of all probes.
    pub fn health(&self) -> &HealthTable {
        &self.health
    }

    /// Where loads of pools are reported.
    pub fn loads(&self) -> &Arc<Loads> {
        &self.loads
    }

    /// What is shared about certificates by ACME.
    pub fn issuance(&self) -> &Arc<Issuance> {
        &self.issuance
    }

    /// Number of the snapshot published last.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The labels under which answers of services and of regions are counted.
    pub fn labels(&self) -> (Arc<Labels>, Arc<Labels>) {
        (self.services.clone(), self.regions.clone())
    }

    /// Generation of the model that endpoint ids of events must be of.
    pub fn model_generation(&self) -> u64 {
        self.model_generation
    }

    /// The world as the contest at this index of the plan sees it.
    pub fn view(&self, contest: usize) -> View<'_> {
        View {
            fleet: &self.loaded.model.fleet,
            health: self.health.endpoints(),
            hosts: &self.hosts,
            last_good: self.contests.get(contest).map_or(&[], |memory| &memory.last_good),
            shares: self.contests.get(contest).map_or(&[], |memory| &memory.shares),
            spread: self.sluices.get(contest).and_then(Sluice::spread),
        }
    }

    /// Takes in one event; the snapshot changes only with [`Publisher::publish`], so that a burst
    /// of events makes one snapshot.
    pub fn apply(&mut self, event: Event, now: Tick) -> Vec<EndpointFlip> {
        match event {
            Event::Probe { generation, .. } if generation != self.model_generation => {}
            Event::Probe { endpoint, monitor, outcome, .. } => {
                let changes = self.health.observe(endpoint, monitor, &outcome, now);
                return self.changed(changes, now);
            }
            Event::Proxied { subject, outcome } => {
                let changes = self.health.proxied(subject, &outcome, now);
                return self.changed(changes, now);
            }
            Event::Peers(event) => {
                let changes = self.health.peers(&event, now);
                return self.changed(changes, now);
            }
            Event::Measured(replacements) => self.take_measured(replacements),
            Event::Overrides(overrides) => {
                self.overrides = overrides;
                return self.force(now);
            }
            Event::Tick => {
                let changes = self.health.tick(now);
                return self.changed(changes, now);
            }
            Event::Hosts(hosts) => {
                self.hosts = hosts;
                self.behind = true;
                self.mark(|_| true);
            }
            Event::Reload(loaded) => self.reload(loaded.keep_fetched(&self.loaded), now),
            Event::Fetched(fetched) => {
                if let Some((loaded, replanned)) = self.loaded.take(fetched) {
                    if replanned {
                        self.reload(Arc::new(loaded), now);
                    } else {
                        self.loaded = Arc::new(loaded);
                    }
                    self.behind = true;
                }
            }
        }
        Vec::new()
    }

    /// When it is to be told that time has passed; `None`: not before the next event.
    pub fn next_due(&self) -> Option<Tick> {
        let own = self.share_due.into_iter().chain(self.spill_due);
        self.health.next_due().into_iter().chain(own).min()
    }

    /// What peers are to be told, if it is not what they were told the last time.
    pub fn take_votes(&mut self, now: Tick) -> Option<LocalVotes> {
        self.health.take_votes(now)
    }

    /// Marks the contests of what is no longer as it was, and gives back what is to be told.
    fn changed(&mut self, changes: Vec<Change>, now: Tick) -> Vec<EndpointFlip> {
        let shown = self.shared.load();
        let council = shown.state.as_ref().map(|state| &state.council);
        self.behind |= council != Some(self.health.council());
        let fleet = &self.loaded.model.fleet;
        let pools: BTreeSet<PoolId> =
            changes.iter().map(|change| fleet.endpoint(change.endpoint).pool).collect();
        if !pools.is_empty() {
            // Routes and metrics look at pools that no service uses, too.
            self.behind = true;
            self.mark(|steering| steering.contest.pools().any(|pool| pools.contains(&pool)));
        }
        if !pools.is_empty() || self.share_due.is_some_and(|due| due <= now) {
            self.follow_regions(now);
        }
        if !pools.is_empty() || self.spill_due.is_some_and(|due| due <= now) {
            self.follow_loads(now);
        }
        let flips = changes.into_iter().filter_map(|change| {
            Some(EndpointFlip { endpoint: change.endpoint, flip: change.flip? })
        });
        flips.collect()
    }

    /// Whether the snapshot is behind.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Publishes what has changed since the last snapshot.
    pub fn publish(&mut self) {
        for at in 0..self.dirty.len() {
            if self.dirty.get(at) == Some(&true) {
                self.prepare(at);
            }
        }
        self.dirty.fill(false);
        self.unversioned |= self.behind;
        self.behind = false;
        self.generation += 1;
        self.shared.store(Arc::new(self.snapshot()));
    }

    /// Gives new serials to the zones whose content changed since the last call, as far as anyone
    /// may transfer them; `saved` is what was given out before a restart. What comes back is to be
    /// kept on disk before [`Publisher::publish`] tells the world; `None`: nothing changed.
    pub fn advance(&mut self, saved: &SavedSerials) -> Option<SavedSerials> {
        let model = self.loaded.model.clone();
        let transferred = model.node.dns.as_ref().is_some_and(|dns| !dns.transfer.is_empty());
        if !std::mem::take(&mut self.unversioned) || !transferred {
            return None;
        }
        let loaded = self.loaded.clone();
        let mut changed = false;
        for (at, (loaded, files)) in loaded.zones.iter().zip(&model.zones).enumerate() {
            let Some(zone) = &loaded.zone else { continue };
            let (answers, _) = self.services(at);
            let steered = flatten(zone, files.flattened, &files.services, &answers);
            let versions = self.versions.entry(loaded.origin.clone()).or_default();
            changed |= versions.update(zone, steered, saved.of(&loaded.origin));
        }
        self.versions.retain(|origin, _| loaded.zones.iter().any(|zone| zone.origin == *origin));
        self.behind |= changed;
        let mut serials = saved.clone();
        for (origin, versions) in &self.versions {
            versions.current().into_iter().for_each(|version| serials.note(origin, version));
        }
        changed.then_some(serials)
    }

    fn reload(&mut self, loaded: Arc<Loaded>, now: Tick) {
        let health = HealthTable::carry_over(
            &self.health,
            &self.loaded.model.fleet,
            &loaded.model.fleet,
            now,
        );
        let steerings = || loaded.plan.steerings.iter();
        self.comebacks =
            steerings().map(|steering| self.carried_comebacks(&loaded, steering)).collect();
        self.sluices = steerings().map(|steering| self.carried_sluice(&loaded, steering)).collect();
        let memory = |steering| Memory {
            last_good: self.carried_last_good(&loaded, steering),
            ..Memory::default()
        };
        self.contests = steerings().map(|steering| memory(steering)).collect();
        self.health = health;
        self.loaded = loaded;
        self.force(now);
        self.model_generation = self.generation + 1;
        self.behind = true;
        self.follow_primaries();
        self.dirty = vec![false; self.loaded.plan.steerings.len()];
        self.follow_regions(now);
        self.follow_loads(now);
        self.prepare_all();
    }

    /// Lets the overrides decide about the endpoints of the fleet as it is now.
    fn force(&mut self, now: Tick) -> Vec<EndpointFlip> {
        // The count of overrides is part of what is shown.
        self.behind = true;
        let fleet = &self.loaded.model.fleet;
        let forced = resolve(self.overrides.overrides(), fleet);
        let changes = self.health.set_overrides(&forced, now);
        self.changed(changes, now)
    }

    /// The endpoints of a new contest that were last good in an old one.
    fn carried_last_good(&self, loaded: &Loaded, steering: &Steering) -> Arc<[EndpointId]> {
        let old = &self.loaded.model.fleet;
        let new = &loaded.model.fleet;
        let was_good = |id: &EndpointId| {
            let endpoint = new.endpoint(*id);
            self.contests.iter().flat_map(|memory| memory.last_good.iter()).any(|last| {
                let last = old.endpoint(*last);
                last.address == endpoint.address
                    && old.pool(last.pool).name == new.pool(endpoint.pool).name
            })
        };
        members(steering).filter(was_good).collect()
    }

    fn mark(&mut self, concerns: impl Fn(&Steering) -> bool) {
        for (steering, dirty) in self.loaded.plan.steerings.iter().zip(&mut self.dirty) {
            if concerns(steering) {
                *dirty = true;
                self.behind = true;
            }
        }
    }

    fn prepare_all(&mut self) {
        self.prepared.clear();
        self.dirty = vec![false; self.loaded.plan.steerings.len()];
        for at in 0..self.loaded.plan.steerings.len() {
            self.prepare(at);
        }
    }

    /// Prepares the answers of one contest from the health of the moment.
    fn prepare(&mut self, at: usize) {
        let Some(steering) = self.loaded.plan.steerings.get(at) else { return };
        let up: Vec<EndpointId> =
            members(steering).filter(|id| self.level(*id) == Level::Up).collect();
        if let Some(memory) = self.contests.get_mut(at).filter(|_| !up.is_empty()) {
            memory.last_good = up.into();
        }
        let prepared = Arc::new(Prepared::new(steering, &self.view(at)));
        match self.prepared.get_mut(at) {
            Some(slot) => *slot = prepared,
            None => self.prepared.push(prepared),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let model = &self.loaded.model;
        let entries = self.loaded.zones.iter().enumerate().map(|(at, zone)| {
            let entry = match &zone.zone {
                None if zone.expired => ZoneEntry::Expired,
                None => ZoneEntry::Failed,
                Some(tree) => ZoneEntry::Serving(self.served(at, tree.clone(), zone.stale)),
            };
            (zone.origin.clone(), entry)
        });
        let regions = model.fleet.regions.iter().map(|region| self.regions.number(&region.name));
        Snapshot {
            generation: self.generation,
            zones: ZoneSet::new(entries),
            primaries: self.primaries(),
            options: AnswerOptions::of(&self.loaded),
            issuance: self.issuance.clone(),
            region_labels: regions.collect(),
            state: Some(Arc::new(State {
                loaded: self.loaded.clone(),
                health: self.health.endpoints().to_vec(),
                council: self.health.council().clone(),
                overrides: self.overrides.clone(),
                hosts: self.hosts.clone(),
                contests: self.contests.clone(),
                loads: self.loads.clone(),
                spreads: self.sluices.iter().map(|s| s.spread().cloned()).collect(),
            })),
        }
    }

    /// A zone with its services in the order that the tree knows them by.
    fn served(&self, at: usize, zone: Arc<Zone>, stale: bool) -> ServedZone {
        let (services, labels) = self.services(at);
        let served = ServedZone { stale, ..ServedZone::new(zone, services, labels) };
        match self.versions.get(served.zone.apex()) {
            Some(versions) => ServedZone {
                serial: versions.current().map_or(served.serial, |version| version.serial),
                versions: versions.clone(),
                ..served
            },
            None => served,
        }
    }

    /// The answers of a zone's services with their labels.
    fn services(&self, at: usize) -> (Vec<Arc<ServiceAnswers>>, Vec<u32>) {
        let services = self.loaded.model.zones.get(at).map_or(&[][..], |zone| &zone.services);
        let numbers = self.loaded.plan.services.get(at).map_or(&[][..], Vec::as_slice);
        let answers = services.iter().zip(numbers).filter_map(|(service, number)| {
            let steering = self.loaded.plan.steerings.get(*number)?.clone();
            let prepared = self.prepared.get(*number)?.clone();
            let name = service.owner.to_string();
            let label = self.services.number(&name);
            let answers = ServiceAnswers::new(name.into(), steering, prepared);
            let answers = answers.with_https(service.https.as_ref());
            let answers = answers.with_client_subnet(service.client_subnet.clone());
            Some((Arc::new(answers), label))
        });
        answers.unzip()
    }

    fn level(&self, id: EndpointId) -> Level {
        self.health.endpoints().get(id.0 as usize).map_or(Level::Unknown, |health| health.level)
    }
}

/// All endpoints of a contest.
fn members(steering: &Steering) -> impl Iterator<Item = EndpointId> {
    let pools: Vec<PoolId> = steering.contest.pools().collect();
    pools.into_iter().flat_map(|pool| steering.contest.members(pool)).map(|(_, id)| *id)
}
