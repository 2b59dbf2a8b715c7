//! Many nodes in one process, over a bus that loses, repeats and reorders what it carries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{mesh, prober};
use crate::clock::Tick;
use crate::cluster::{Channel, Identity, Mesh, Pace, Subjects};
use crate::health::{CauseKind, LocalVotes, Prober, Subject, Verdict, Vote};

/// Endpoints that each node votes on.
const VOTES: u64 = 100;
/// The world moves in steps of this.
const STEP: Duration = Duration::from_millis(50);

/// A vote as views are compared by it.
type Said = (Verdict, Option<CauseKind>);

/// One node: its mesh and what it truly says.
struct Node {
    mesh: Mesh,
    truth: Vec<(Said, Tick)>,
}

pub(super) struct World {
    nodes: Vec<Node>,
    now: Tick,
    rng: fastrand::Rng,
    pace: Pace,
    /// Whether requests are carried.
    asking: bool,
    /// Messages under way, by time of arrival and order.
    under_way: BTreeMap<(Tick, u64), (usize, String, Vec<u8>)>,
    count: u64,
    lossy: bool,
}

fn name(n: usize) -> Prober {
    prober(&format!("r{}", n % 10), &format!("n{n}"))
}

impl World {
    pub(super) fn new(seed: u64, count: usize, pace: Pace, asking: bool) -> Self {
        let (now, rng) = (Tick::START, fastrand::Rng::with_seed(seed));
        let up = ((Verdict::Up, None), now);
        let node = |n| {
            let Prober { region, node } = name(n);
            Node { mesh: mesh(&region, &node, Some(1), now), truth: vec![up; VOTES as usize] }
        };
        let nodes = (0..count).map(node).collect();
        let under_way = BTreeMap::new();
        let mut world = Self { nodes, now, rng, pace, asking, under_way, count: 0, lossy: false };
        (0..count).for_each(|n| world.start(n, 1));
        world
    }

    /// Lets endpoints flip, nodes restart and messages suffer for this long.
    pub(super) fn trouble(&mut self, time: Duration) {
        let end = self.now + time;
        self.lossy = true;
        while self.now < end {
            for n in 0..self.nodes.len() {
                if self.rng.u32(0..100) == 0 {
                    self.flip(n);
                }
                if self.rng.u32(0..20_000) == 0 {
                    let epoch = self.now.0 - Tick::START.0 + 2;
                    self.start(n, epoch);
                }
            }
            self.step();
        }
        // The last changes suffer like all others.
        (0..self.nodes.len()).for_each(|n| self.flip(n));
        (0..10).for_each(|_| self.step());
    }

    /// Lets everything be as it is, over a bus that carries all it is given.
    pub(super) fn calm(&mut self, time: Duration) {
        let end = self.now + time;
        self.lossy = false;
        while self.now < end {
            self.step();
        }
    }

    /// How many nodes see another one's votes differently from what it says.
    pub(super) fn differences(&self) -> usize {
        let mut differences = 0;
        for (at, reader) in self.nodes.iter().enumerate() {
            let view = reader.mesh.view(self.now);
            for (n, writer) in self.nodes.iter().enumerate().filter(|(n, _)| *n != at) {
                let truth = writer.truth.iter().zip(0..);
                let truth: BTreeMap<u64, Said> = truth.map(|((said, _), s)| (s, *said)).collect();
                let seen = view.get(&name(n)).cloned().unwrap_or_default();
                let seen: BTreeMap<u64, Said> =
                    seen.into_iter().map(|(s, vote)| (s.0, (vote.verdict, vote.kind))).collect();
                differences += usize::from(seen != truth);
            }
        }
        differences
    }

    /// Starts a node anew: it knows what it says, and nothing of others.
    fn start(&mut self, n: usize, epoch: u64) {
        let identity = Identity { me: name(n), epoch: Some(epoch), prefix: "gslb".into() };
        let mut mesh = Mesh::new(identity, self.pace, self.now, self.rng.fork());
        mesh.link(true, self.now);
        self.nodes[n].mesh = mesh;
        self.tell(n);
    }

    fn flip(&mut self, n: usize) {
        let at = self.rng.usize(0..VOTES as usize);
        let said = match self.nodes[n].truth[at].0.0 {
            Verdict::Up => (Verdict::Down, Some(CauseKind::Timeout)),
            _ => (Verdict::Up, None),
        };
        self.nodes[n].truth[at] = (said, self.now);
        self.tell(n);
    }

    fn tell(&mut self, n: usize) {
        let targets: [Arc<str>; 3] = ["r0", "r1", "r2"].map(Arc::from);
        let node = &mut self.nodes[n];
        let votes = node.truth.iter().zip(0..).map(|(((verdict, kind), since), s)| {
            let held = self.now.since(*since);
            let vote = Vote { subject: Subject(s), verdict: *verdict, kind: *kind, held };
            (targets[s as usize % 3].clone(), vote)
        });
        let votes = LocalVotes { impaired: false, votes: votes.collect() };
        node.mesh.local(&votes, self.now);
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        while let Some(entry) = self.under_way.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, subject, message) = entry.remove();
            self.nodes[to].mesh.receive(&subject, &message, self.now);
        }
        for n in 0..self.nodes.len() {
            if self.nodes[n].mesh.next_due(self.now) > self.now + STEP {
                continue;
            }
            for out in self.nodes[n].mesh.tick(self.now).outgoing {
                self.carry(n, &out.subject, &out.payload);
            }
        }
    }

    fn carry(&mut self, from: usize, subject: &str, message: &[u8]) {
        let asked = match Subjects::new("gslb").channel(subject) {
            Some(Channel::Need { writer }) => Some(writer),
            _ => None,
        };
        if asked.is_some() && !self.asking {
            return;
        }
        for to in 0..self.nodes.len() {
            if to == from || asked.as_ref().is_some_and(|writer| *writer != name(to)) {
                continue;
            }
            let copies = match self.rng.u32(0..100) {
                0..5 if self.lossy => 0,
                5..8 if self.lossy => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let delay =
                    Duration::from_millis(self.rng.u64(1..if self.lossy { 900 } else { 50 }));
                self.count += 1;
                let place = (self.now + delay, self.count);
                self.under_way.insert(place, (to, subject.to_owned(), message.to_vec()));
            }
        }
    }
}
