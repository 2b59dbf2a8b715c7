//! A fleet in virtual time: events in the order of their time, and what each of them does.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use meridian::clock::Tick;
use meridian::health::{CauseKind, LocalVotes, Outcome, PeerEvent, Standing, Verdict, Vote};
use meridian::snapshot::Accepted;

use super::control::Control;
use super::fault::{self, HEALED, Trouble};
use super::letter::{Letter, PLACES, PREFIX, Sort, number};
use super::link::Links;
use super::node::{Judge, SimNode, Turn};
use super::scale::{INTERVAL, PROBERS, SimFleet};
use super::start::Beginning;
use super::witness::Witness;
use super::{Arrival, BOUND, Rules};

/// A node looks at its clock this often at least, as the production task does.
const REST_MAX: Duration = Duration::from_secs(1);
/// Probes are spread over their interval in slices of this.
const SLICE: Duration = Duration::from_secs(1);
/// Messages that wait for a node that is held still.
const BACKLOG_MAX: usize = 256;
/// Services that a node is asked for when it has published.
const ASKED: usize = 4;

/// What happens.
pub(crate) enum What {
    /// A message comes to the server of a region, from a node.
    Arrive { region: usize, from: usize, letter: Arc<Letter> },
    /// A message comes to a node.
    Hand { node: usize, letter: Arc<Letter> },
    /// A node looks at its clock.
    Wake { node: usize, life: u32 },
    /// A node probes what is due.
    Probe { node: usize, life: u32, slice: usize },
    /// A fault begins, or ends.
    Fault { begins: bool, at: usize },
    /// Operators do something.
    Operator { act: usize },
    /// What operators have done comes to a node.
    Control { node: usize },
    /// A plan comes to a node.
    Plan { node: usize, version: u32, empty: bool },
    /// The overrides that are in force are to be on every node.
    Overrides,
    /// All nodes are to agree.
    Agree,
}

/// What happens when; of one time, in the order in which it was put down.
pub(crate) struct Due {
    at: Tick,
    order: u64,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// A fleet in virtual time.
pub(crate) struct World {
    pub(crate) fleet: Arc<SimFleet>,
    pub(crate) rules: Rules,
    pub(crate) rng: fastrand::Rng,
    pub(crate) now: Tick,
    order: u64,
    heap: BinaryHeap<Due>,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) links: Links,
    /// Per region: how many faults keep its server away, and the last message of each place.
    pub(crate) away: Vec<u8>,
    pub(crate) kept: Vec<Vec<Option<Arc<Letter>>>>,
    /// Per endpoint and prober: how many faults are on it.
    pub(crate) dead: Vec<u8>,
    pub(crate) blind: Vec<u8>,
    pub(crate) lying: Vec<u8>,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) control: Control,
    pub(crate) witness: Witness,
    /// Octets that were sent, subjects included.
    pub(crate) octets: u64,
}

impl World {
    /// A world that follows from its seed, its fleet and its rules alone.
    pub(crate) fn new(seed: u64, fleet: &Arc<SimFleet>, rules: Rules) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let scale = fleet.scale;
        let drawn = rules.trouble.then(|| fault::draw(&mut rng, fleet, rules.heavy));
        let troubles = drawn.unwrap_or_default();
        let (nodes, regions) = (scale.regions * scale.nodes, scale.regions);
        let places = regions * PROBERS * PLACES;
        let mut world = Self {
            fleet: fleet.clone(),
            rules,
            rng,
            now: Tick::START,
            order: 0,
            heap: BinaryHeap::new(),
            nodes: Vec::with_capacity(nodes),
            links: Links::new(regions),
            away: vec![0; regions],
            kept: vec![vec![None; places]; regions],
            dead: vec![0; fleet.fleet().endpoints.len()],
            blind: vec![0; regions * PROBERS],
            lying: vec![0; regions * PROBERS],
            troubles,
            control: Control::default(),
            witness: Witness::new(fleet),
            octets: 0,
        };
        let mut beginning = Beginning::new(fleet, rules.all_down);
        for node in 0..nodes {
            let made = beginning.node(node, &mut world.rng, rules);
            world.nodes.push(made);
            let at = Tick::START + Duration::from_millis(world.rng.u64(0..5_000));
            world.nodes[node].next_wake = at;
            world.put(at, What::Wake { node, life: 0 });
            world.watch(node);
        }
        if rules.all_down {
            world.dead.fill(1);
        }
        world.acquaint();
        world.schedule();
        world
    }

    /// Puts down what will happen whatever the nodes do.
    fn schedule(&mut self) {
        let start = Tick::START;
        for at in 0..self.troubles.len() {
            let Trouble { begins, ends, .. } = self.troubles[at];
            self.put(start + begins, What::Fault { begins: true, at });
            if let Some(ends) = ends {
                self.put(start + ends, What::Fault { begins: false, at });
            }
        }
        if self.rules.trouble {
            self.plan_operators();
        }
        self.put(start + HEALED + BOUND, What::Agree);
    }

    /// Runs until all nodes must agree.
    ///
    /// # Errors
    /// What must not be, the first of it.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.run_until(Tick::START + HEALED + BOUND)
    }

    /// Runs until a time.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn run_until(&mut self, end: Tick) -> Result<(), String> {
        while let Some(due) = self.heap.peek()
            && due.at <= end
        {
            let Some(due) = self.heap.pop() else { break };
            self.now = due.at;
            self.links.rough = self.rules.trouble
                && (fault::CALM_UNTIL..HEALED).contains(&self.now.since(Tick::START));
            self.happen(due.what);
            if let Some(violation) = self.witness.violation.take() {
                return Err(violation);
            }
        }
        Ok(())
    }

    pub(crate) fn put(&mut self, at: Tick, what: What) {
        self.order += 1;
        self.heap.push(Due { at, order: self.order, what });
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrive { region, from, letter } => self.arrive(region, from, &letter),
            What::Hand { node, letter } => self.deliver(node, &letter, false),
            What::Wake { node, life } => {
                if self.nodes[node].life == life && self.nodes[node].next_wake == self.now {
                    self.wake(node);
                }
            }
            What::Probe { node, life, slice } => self.probe(node, life, slice),
            What::Fault { begins, at } => {
                let fault = self.troubles[at].fault.clone();
                self.witness.trace(self.now, at as u64, u64::from(begins));
                if begins { self.strike(&fault) } else { self.heal(&fault) }
            }
            What::Operator { act } => self.operate(act),
            What::Control { node } => self.hear_operators(node),
            What::Plan { node, version, empty } => self.plan(node, version, empty),
            What::Overrides => self.check_overrides(),
            What::Agree => self.check_agreement(),
        }
    }

    /// The region's server hands a message to its nodes.
    fn arrive(&mut self, region: usize, from: usize, letter: &Arc<Letter>) {
        if self.away[region] > 0 {
            return;
        }
        if let Sort::Kept { place, .. } = letter.kind {
            self.kept[region][place] = Some(letter.clone());
        }
        let nodes = self.fleet.scale.nodes;
        for node in region * nodes..(region + 1) * nodes {
            if node == from {
                continue;
            }
            match self.links.arrive(&mut self.rng) {
                Arrival::Never => {}
                Arrival::Once => self.deliver(node, letter, false),
                Arrival::Twice(lag) => {
                    self.deliver(node, letter, false);
                    self.put(self.now + lag, What::Hand { node, letter: letter.clone() });
                }
            }
        }
    }

    /// A message comes to a node; `recalled`: out of the memory of the server.
    pub(crate) fn deliver(&mut self, at: usize, letter: &Arc<Letter>, recalled: bool) {
        let node = &mut self.nodes[at];
        if node.stopped > 0 {
            return;
        }
        if node.paused > 0 {
            if node.backlog.len() < BACKLOG_MAX {
                node.backlog.push_back(letter.clone());
            } else {
                node.lost = true;
            }
            return;
        }
        let events = if recalled {
            node.mesh.recall(&letter.subject, &letter.payload, self.now)
        } else {
            node.mesh.receive(&letter.subject, &letter.payload, self.now)
        };
        self.witness.heard(at, letter, &events, self.now);
        for event in events {
            self.tell(at, event);
        }
    }

    /// Tells the judge of a node what its mesh says.
    fn tell(&mut self, at: usize, event: PeerEvent) {
        if let PeerEvent::Standing { standing: Standing::Dead, .. } = event
            && self.rules.ignore_deaths
        {
            return;
        }
        if let PeerEvent::Votes { prober, votes } = &event
            && self.rules.forge
            && self.lying[number(prober)] > 0
        {
            for name in self.forged_names(number(prober), votes) {
                let (prober, votes) = (name, votes.clone());
                let turns =
                    self.nodes[at].judge.peers(PeerEvent::Votes { prober, votes }, self.now);
                self.turned(at, &turns);
            }
        }
        let turns = self.nodes[at].judge.peers(event, self.now);
        self.turned(at, &turns);
    }

    /// The other probers of what a liar votes on.
    fn forged_names(&self, liar: usize, votes: &[Vote]) -> Vec<meridian::health::Prober> {
        let Some(endpoint) = votes.first().and_then(|v| self.fleet.subjects.get(&v.subject)) else {
            return Vec::new();
        };
        let others = self.fleet.watchers[*endpoint as usize].iter().map(|(prober, _)| *prober);
        let others = others.filter(|other| other / PROBERS != liar / PROBERS);
        others.map(|other| SimFleet::name(other / PROBERS, other % PROBERS)).collect()
    }

    pub(crate) fn turned(&mut self, at: usize, turns: &[Turn]) {
        // What operators force down needs no votes.
        let forced = self.control.forced(&self.nodes[at].overrides, &self.fleet);
        let by_health = |turn: &&Turn| forced[turn.endpoint as usize].is_none();
        if turns.iter().any(|turn| !by_health(&turn)) {
            let turns: Vec<Turn> = turns.iter().filter(by_health).copied().collect();
            return self.witness.turned(&self.fleet, at, &turns, self.now);
        }
        self.witness.turned(&self.fleet, at, turns, self.now);
    }

    /// A node looks at its clock.
    fn wake(&mut self, at: usize) {
        if !self.nodes[at].runs() {
            return;
        }
        let now = self.now;
        let node = &mut self.nodes[at];
        let step = node.mesh.tick(now);
        let ended = node.overrides.next_end().is_some_and(|end| end <= now);
        for out in step.outgoing {
            self.send(at, Letter::of(out, self.rules.ignore_epochs));
        }
        for event in step.events {
            self.tell(at, event);
        }
        if ended {
            self.nodes[at].overrides.expire(now);
            self.force(at);
        }
        let turns = self.nodes[at].judge.tick(now);
        self.turned(at, &turns);
        self.publish(at, &turns);
        let due = self.nodes[at].mesh.next_due(now).min(now + REST_MAX);
        self.wake_at(at, due.max(now + Duration::from_millis(10)));
    }

    /// Lets a node look at its clock at `due`, if it would not do so before.
    pub(crate) fn wake_at(&mut self, at: usize, due: Tick) {
        let node = &mut self.nodes[at];
        if node.next_wake > self.now && node.next_wake <= due {
            return;
        }
        node.next_wake = due;
        let life = node.life;
        self.put(due, What::Wake { node: at, life });
    }

    /// Publishes what has changed, and looks at answers.
    fn publish(&mut self, at: usize, turns: &[Turn]) {
        let Judge::Publisher(publisher) = &mut self.nodes[at].judge else { return };
        if !publisher.is_behind() {
            return;
        }
        publisher.publish();
        let snapshot = publisher.shared().load_full();
        let fleet = self.fleet.clone();
        let drawn: Vec<usize> =
            (0..ASKED).map(|_| self.rng.usize(0..fleet.fleet().pools.len())).collect();
        let turned = turns
            .iter()
            .take(ASKED)
            .map(|turn| usize::from(fleet.fleet().endpoints[turn.endpoint as usize].pool.0));
        for pool in drawn.into_iter().chain(turned) {
            self.witness.look(&fleet, at, &snapshot, pool);
        }
    }

    /// Puts a message of a node on its way.
    fn send(&mut self, at: usize, letter: Letter) {
        let (from, mute) = (self.nodes[at].region, self.nodes[at].mute);
        if self.away[from] > 0 {
            return;
        }
        self.octets += (letter.subject.len() + letter.payload.len()) as u64;
        let letter = Arc::new(letter);
        if let Sort::Need { prober } = letter.kind {
            if mute || !self.rules.asks {
                return;
            }
            let to = prober / PROBERS;
            if let Some(delay) = self.links.carry(&mut self.rng, from, to) {
                let nodes = self.fleet.scale.nodes;
                let of = to * nodes..(to + 1) * nodes;
                for node in of {
                    if self.nodes[node].prober != Some(prober) {
                        continue;
                    }
                    self.put(self.now + delay, What::Hand { node, letter: letter.clone() });
                }
            }
            return;
        }
        for region in 0..self.fleet.scale.regions {
            if let Some(delay) = self.links.carry(&mut self.rng, from, region) {
                let letter = letter.clone();
                self.put(self.now + delay, What::Arrive { region, from: at, letter });
            }
        }
    }

    /// Lets a node that probes begin.
    pub(crate) fn watch(&mut self, at: usize) {
        if self.nodes[at].prober.is_some() {
            let life = self.nodes[at].life;
            let soon = Duration::from_millis(self.rng.u64(0..1_000));
            self.put(self.now + soon, What::Probe { node: at, life, slice: 0 });
        }
    }

    /// A prober looks at a slice of what it watches.
    fn probe(&mut self, at: usize, life: u32, slice: usize) {
        let Some(prober) = self.nodes[at].prober.filter(|_| self.nodes[at].life == life) else {
            return;
        };
        self.put(self.now + SLICE, What::Probe { node: at, life, slice: slice + 1 });
        if !self.nodes[at].runs() {
            return;
        }
        let slices = INTERVAL.as_secs() as usize;
        let watched = self.fleet.watched[prober].clone();
        let mut turns = Vec::new();
        for nth in (slice % slices..watched.len()).step_by(slices) {
            let endpoint = watched[nth];
            let fails = self.fails(prober, endpoint);
            let node = &mut self.nodes[at];
            let streak = &mut node.streaks[nth];
            // One success more says nothing new, and most probes are that.
            if !fails && *streak > 4 {
                continue;
            }
            *streak = if fails { 0 } else { *streak + 1 };
            let outcome = if fails {
                Outcome::failure(CauseKind::Timeout, "timed out")
            } else {
                Outcome::Success
            };
            turns.extend(node.judge.observe(endpoint, outcome, self.now));
        }
        self.vote(at, prober);
        self.turned(at, &turns);
    }

    /// Whether an endpoint does not answer a prober.
    fn fails(&self, prober: usize, endpoint: u32) -> bool {
        let (from, to) = (prober / PROBERS, self.fleet.region_of(endpoint));
        self.dead[endpoint as usize] > 0
            || self.blind[prober] > 0
            || !self.links.is_open_both_ways(from, to)
    }

    /// Hands over to the mesh what the judge of a node has to say.
    fn vote(&mut self, at: usize, prober: usize) {
        if let Some(votes) = self.nodes[at].judge.take_votes(self.now) {
            self.say(at, prober, votes);
        }
    }

    /// What a prober says, which is not what it thinks while it lies.
    pub(crate) fn say(&mut self, at: usize, prober: usize, mut votes: LocalVotes) {
        if self.lying[prober] > 0 {
            votes.impaired = false;
            for (_, vote) in &mut votes.votes {
                (vote.verdict, vote.kind) = (Verdict::Down, Some(CauseKind::Timeout));
            }
        }
        self.witness.said(&self.fleet, prober, &votes, self.now);
        self.nodes[at].mesh.local(&votes, self.now);
        self.wake_at(at, self.now + Duration::from_millis(200));
    }

    /// The plan that a node serves, for comparison.
    pub(crate) fn served(&self, at: usize) -> Option<&Accepted> {
        self.nodes[at].plan.as_ref()
    }
}

/// The prefix of all subjects.
pub(crate) fn prefix() -> String {
    PREFIX.to_owned()
}
