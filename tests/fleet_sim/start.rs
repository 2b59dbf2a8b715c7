//! How nodes begin: all at once in a fleet that has run for long, and one by one after a stop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use meridian::clock::Tick;
use meridian::cluster::{Identity, Mesh, Pace, next_epoch};
use meridian::health::overrides::{OverrideSet, SavedOverrides};
use meridian::health::{CauseKind, HealthTable, PeerEvent, Standing, Subject, Verdict, Vote};
use meridian::snapshot::Publisher;

use super::Rules;
use super::fault::is_mute;
use super::letter::{Letter, Sort};
use super::node::{Disk, Judge, SimNode};
use super::scale::{PROBERS, SimFleet};
use super::world::{World, prefix};

/// When the world begins by the wall clock, in seconds since 1970.
pub(crate) const WALL: u64 = 1_790_000_000;
/// How long the fleet has known all that it knows when the world begins.
const SETTLED: Duration = Duration::from_secs(600);

/// What the nodes of a world begin with.
pub(crate) struct Beginning {
    fleet: Arc<SimFleet>,
    verdict: Verdict,
    /// A judge who has heard all probers.
    base: HealthTable,
    /// The same in a region, by region and whether the node probes.
    settled: HashMap<(usize, bool), HealthTable>,
}

impl Beginning {
    /// What nodes begin with in a fleet where everything is up, or down.
    pub(crate) fn new(fleet: &Arc<SimFleet>, all_down: bool) -> Self {
        let verdict = if all_down { Verdict::Down } else { Verdict::Up };
        let kind = all_down.then_some(CauseKind::Timeout);
        let long_ago = Tick(Tick::START.0 - 1_800_000);
        let lately = Tick(Tick::START.0 - 10_000);
        let mut base = HealthTable::new(fleet.fleet(), long_ago);
        let names: HashMap<u32, Subject> =
            fleet.subjects.iter().map(|(subject, endpoint)| (*endpoint, *subject)).collect();
        let name = |prober: usize| SimFleet::name(prober / PROBERS, prober % PROBERS);
        // Each is first heard of as dead, so that who is a prober itself has lost none.
        for (standing, now) in [(Standing::Dead, long_ago), (Standing::Live, lately)] {
            for prober in 0..fleet.watched.len() {
                base.peers(&PeerEvent::Standing { prober: name(prober), standing }, now);
            }
        }
        for (watched, prober) in fleet.watched.iter().zip(0..) {
            let vote =
                |endpoint: &u32| Vote { subject: names[endpoint], verdict, kind, held: SETTLED };
            let votes = watched.iter().map(vote).collect();
            base.peers(&PeerEvent::Votes { prober: name(prober), votes }, lately);
        }
        Self { fleet: fleet.clone(), verdict, base, settled: HashMap::new() }
    }

    /// A node, by its number.
    pub(crate) fn node(&mut self, at: usize, rng: &mut fastrand::Rng, rules: Rules) -> SimNode {
        let (fleet, now) = (self.fleet.clone(), Tick::START);
        let (region, nth) = (at / fleet.scale.nodes, at % fleet.scale.nodes);
        let prober = (nth < PROBERS).then_some(region * PROBERS + nth);
        let table = self.settled.entry((region, prober.is_some())).or_insert_with(|| {
            let mut table = self.base.clone();
            table.settle(&fleet.node(region, prober.is_some()), now);
            table
        });
        let mut table = table.clone();
        let name = SimFleet::name(region, nth);
        if let Some(prober) = prober {
            let me = name.clone();
            let of_me =
                table.peers(&PeerEvent::Standing { prober: me, standing: Standing::Dead }, now);
            drop(of_me);
            let outcome = match self.verdict {
                Verdict::Down => {
                    meridian::health::Outcome::failure(CauseKind::Timeout, "timed out")
                }
                _ => meridian::health::Outcome::Success,
            };
            for endpoint in fleet.watched[prober].iter() {
                let endpoint = meridian::model::EndpointId(*endpoint);
                table.observe(endpoint, meridian::model::MonitorId(0), &outcome, now);
            }
        }
        let epoch = WALL * 1_000;
        let before = Tick(now.0 - 1_000);
        let mut mesh = mesh(&name, prober.is_some().then_some(epoch), rules, before, rng);
        mesh.local(&table.local_votes(before), before);
        // The first node of a region that does not probe answers queries.
        let judge = judge(&fleet, nth == PROBERS, table);
        let watched = prober.map_or(0, |prober| fleet.watched[prober].len());
        SimNode {
            region,
            name,
            prober,
            mesh,
            judge,
            life: 0,
            epoch,
            stopped: 0,
            paused: 0,
            next_wake: now,
            backlog: std::collections::VecDeque::new(),
            lost: false,
            wrong: 0,
            misled: false,
            mute: is_mute(region),
            streaks: vec![0; watched],
            overrides: OverrideSet::default(),
            disk: None,
            plan: None,
        }
    }
}

fn judge(fleet: &SimFleet, answers: bool, table: HealthTable) -> Judge {
    if answers {
        Judge::Publisher(Box::new(Publisher::new(fleet.loaded.clone(), table)))
    } else {
        Judge::Table(Box::new(table))
    }
}

fn mesh(
    me: &meridian::health::Prober,
    epoch: Option<u64>,
    rules: Rules,
    now: Tick,
    rng: &mut fastrand::Rng,
) -> Mesh {
    let identity = Identity { me: me.clone(), epoch, prefix: prefix() };
    let for_ever = Duration::from_secs(1_000_000);
    let refresh = if rules.refreshes { Pace::default().refresh } else { for_ever };
    let mut mesh = Mesh::new(identity, Pace { refresh }, now, rng.fork());
    mesh.link(true, now);
    mesh
}

impl World {
    /// Lets all meshes know what all judges know already.
    pub(crate) fn acquaint(&mut self) {
        for from in 0..self.nodes.len() {
            let out = self.nodes[from].mesh.tick(self.now).outgoing.into_iter();
            let letters = out.map(|out| Arc::new(Letter::of(out, self.rules.ignore_epochs)));
            let mut letters: Vec<Arc<Letter>> = letters.collect();
            // The beat comes first, so that none is taken for dead.
            letters.reverse();
            for letter in letters {
                let Sort::Kept { place, .. } = letter.kind else { continue };
                self.kept.iter_mut().for_each(|kept| kept[place] = Some(letter.clone()));
                for at in (0..self.nodes.len()).filter(|at| *at != from) {
                    let mesh = &mut self.nodes[at].mesh;
                    drop(mesh.receive(&letter.subject, &letter.payload, self.now));
                    self.witness.heard(at, &letter, &[], self.now);
                }
            }
        }
    }

    /// What a node's wall clock says, in seconds.
    pub(crate) fn wall(&self, at: usize) -> u64 {
        self.true_wall().saturating_add_signed(self.nodes[at].wrong)
    }

    fn true_wall(&self) -> u64 {
        WALL + self.now.since(Tick::START).as_secs()
    }

    /// Stops a node; what it knows goes to its disk.
    pub(crate) fn stop(&mut self, at: usize) {
        let (wall, now) = (self.true_wall(), self.now);
        let node = &mut self.nodes[at];
        node.stopped += 1;
        if node.stopped > 1 {
            return;
        }
        let health = node.judge.table().save(self.fleet.fleet(), now, wall);
        let overrides = SavedOverrides::of(&node.overrides, now, wall);
        node.disk = Some(Disk { health, overrides });
        node.life += 1;
        node.backlog.clear();
        if let Some(prober) = node.prober {
            self.witness.silent(prober, now);
        }
    }

    /// Starts a node again, unless another fault keeps it stopped.
    pub(crate) fn start(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.stopped -= 1;
        if node.stopped > 0 {
            return;
        }
        let Some(Disk { health, overrides }) = node.disk.take() else { return };
        let (own_wall, wall) = (self.wall(at), self.true_wall());
        let (now, fleet) = (self.now, self.fleet.clone());
        let epoch = self.epoch(at, wall);
        let node = &mut self.nodes[at];
        let mut table = HealthTable::restore(fleet.fleet(), &health, now, own_wall);
        table.settle(&fleet.node(node.region, node.prober.is_some()), now);
        node.judge = judge(&fleet, matches!(node.judge, Judge::Publisher(_)), table);
        let epoch_of_writer = node.prober.map(|_| epoch);
        node.mesh = mesh(&node.name, epoch_of_writer, self.rules, now, &mut self.rng);
        node.epoch = epoch;
        node.overrides = overrides.restore(now, wall);
        node.life += 1;
        let watched = node.prober.map_or(0, |prober| fleet.watched[prober].len());
        node.streaks = vec![0; watched];
        node.next_wake = now;
        self.witness.forgets(at);
        self.force(at);
        self.recall(at);
        self.wake_at(at, now + Duration::from_millis(1));
        self.watch(at);
        self.put(now, super::world::What::Control { node: at });
    }

    /// The epoch of a start, by the production rule.
    fn epoch(&mut self, at: usize, wall: u64) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("epoch"), self.nodes[at].epoch.to_string()).unwrap();
        let ms = self.now.since(Tick::START).subsec_millis();
        next_epoch(folder.path(), wall * 1_000 + u64::from(ms))
    }

    /// Hands over what the server of its region has kept.
    pub(crate) fn recall(&mut self, at: usize) {
        let region = self.nodes[at].region;
        if self.away[region] > 0 {
            return self.nodes[at].mesh.link(false, self.now);
        }
        let kept: Vec<_> = self.kept[region].iter().flatten().cloned().collect();
        for letter in kept {
            self.deliver(at, &letter, true);
        }
    }
}
