//! Which probe starts when: pure, on a clock that is passed in.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::allowance::Allowance;
use super::{Target, Targets};
use crate::clock::Tick;
use crate::health::EndpointIdentity;

/// New targets start within this time (or a quarter of the interval, if less): at once, but not
/// all in the same millisecond.
const FIRST_SPREAD: Duration = Duration::from_millis(250);

/// Each probe is due this share of the interval before or after its place on the target's grid,
/// so that two probes are 90 to 110 % of the interval apart, and `fall` of them never drift.
const JITTER: f64 = 0.05;

/// A target for as long as it is probed; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Serial(u64);

/// A probe that is to start now.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) serial: Serial,
    pub(super) target: Arc<Target>,
    /// How long it had to wait for its endpoint or for a free place.
    pub(super) waited: Duration,
}

/// The state behind the scheduler. Its size is that of the target list.
///
/// A target is at any time in exactly one of `due` (waiting for its time) and `ready` (waiting for
/// its endpoint to be idle and for a free place). When its probe starts, the next one is put into
/// `due` at once.
#[derive(Debug)]
pub(super) struct Schedule {
    generation: u64,
    max_in_flight: usize,
    entries: HashMap<Serial, Entry>,
    due: BinaryHeap<Reverse<(Tick, Serial)>>,
    ready: VecDeque<(Tick, Serial)>,
    in_flight: HashMap<Serial, Arc<EndpointIdentity>>,
    busy: HashSet<Arc<EndpointIdentity>>,
    next_serial: u64,
    allowance: Allowance,
    random: Rng,
}

#[derive(Debug)]
struct Entry {
    target: Arc<Target>,
    /// Where the last probe stood on the target's grid; `None` before the first.
    grid: Option<Tick>,
}

/// What makes a target the same in two lists: endpoint and the monitor's definition.
type Key = (Arc<EndpointIdentity>, Arc<str>);

fn key(target: &Target) -> Key {
    (target.identity.clone(), target.words.clone())
}

impl Schedule {
    /// Without targets.
    pub(super) fn new(random: Rng) -> Self {
        Self {
            generation: 0,
            max_in_flight: 1,
            entries: HashMap::new(),
            due: BinaryHeap::new(),
            ready: VecDeque::new(),
            in_flight: HashMap::new(),
            busy: HashSet::new(),
            next_serial: 0,
            allowance: Allowance::default(),
            random,
        }
    }

    /// Replaces the target list. Targets that stay keep their place in time; new ones are due at
    /// once; those that are gone start no more probes, and results of ones under way are nobody's.
    pub(super) fn replace(&mut self, targets: &Targets, now: Tick) {
        self.generation = targets.generation;
        self.max_in_flight = targets.max_in_flight.max(1);
        self.allowance.set_rate(targets.rate);
        let mut old: HashMap<Key, (Serial, Entry)> = std::mem::take(&mut self.entries)
            .into_iter()
            .map(|(serial, entry)| (key(&entry.target), (serial, entry)))
            .collect();
        for target in &targets.list {
            let target = Arc::new(target.clone());
            if let Some((serial, entry)) = old.remove(&key(&target)) {
                self.entries.insert(serial, Entry { target, grid: entry.grid });
                continue;
            }
            let serial = Serial(self.next_serial);
            self.next_serial += 1;
            let spread = FIRST_SPREAD.min(target.definition.interval / 4);
            self.due.push(Reverse((now + spread.mul_f64(self.random.f64()), serial)));
            self.entries.insert(serial, Entry { target, grid: None });
        }
        let entries = &self.entries;
        self.due.retain(|Reverse((_, serial))| entries.contains_key(serial));
        self.ready.retain(|(_, serial)| entries.contains_key(serial));
    }

    /// When there is something to do next: a target becomes due, or one that waits for the rate
    /// may start; `None`: never.
    pub(super) fn next_due(&self, now: Tick) -> Option<Tick> {
        let due = self.due.peek().map(|Reverse((due, _))| *due);
        let room = !self.ready.is_empty() && self.in_flight.len() < self.max_in_flight;
        let allowed = self.allowance.next(now).filter(|_| room);
        due.into_iter().chain(allowed).min()
    }

    /// The probes to start now, oldest first. `undelivered`: places taken by finished probes whose
    /// results nobody has taken yet.
    pub(super) fn start(&mut self, now: Tick, undelivered: usize) -> Vec<Start> {
        while let Some(Reverse((due, serial))) = self.due.peek().copied() {
            if due > now {
                break;
            }
            self.due.pop();
            self.ready.push_back((due, serial));
        }
        let mut started = Vec::new();
        let mut blocked = VecDeque::new();
        while self.in_flight.len() + undelivered < self.max_in_flight && self.allowance.any(now) {
            let Some((due, serial)) = self.ready.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&serial) else { continue };
            let target = entry.target.clone();
            if self.busy.contains(&target.identity) {
                blocked.push_back((due, serial));
                continue;
            }
            self.allowance.take();
            let next = entry.next_due(now, &mut self.random);
            self.due.push(Reverse((next, serial)));
            self.in_flight.insert(serial, target.identity.clone());
            self.busy.insert(target.identity.clone());
            started.push(Start { serial, target, waited: now.since(due) });
        }
        blocked.append(&mut self.ready);
        self.ready = blocked;
        started
    }

    /// The probe has ended: its endpoint is idle and its place free again.
    pub(super) fn finish(&mut self, serial: Serial) {
        if let Some(identity) = self.in_flight.remove(&serial) {
            self.busy.remove(&identity);
        }
    }

    /// The target as it is now, and the generation it is of; `None`: it is no longer probed.
    pub(super) fn current(&self, serial: Serial) -> Option<(&Target, u64)> {
        self.entries.get(&serial).map(|entry| (&*entry.target, self.generation))
    }
}

impl Entry {
    /// Moves on by one interval on the grid and says when the probe after this one is due.
    ///
    /// The second probe comes up to half an interval early, so that targets that started together
    /// spread out. One that is late by more than an interval starts a new grid: probes that did
    /// not happen are not made up for.
    fn next_due(&mut self, now: Tick, random: &mut Rng) -> Tick {
        let interval = self.target.definition.interval;
        let grid = match self.grid {
            None => now + interval.mul_f64(0.5 + 0.5 * random.f64()),
            Some(grid) => grid + interval,
        };
        let grid = if grid <= now { now + interval } else { grid };
        self.grid = Some(grid);
        let shift = JITTER * random.f64();
        if random.bool() {
            grid + interval.mul_f64(shift)
        } else {
            Tick(grid.0.saturating_sub(interval.mul_f64(shift).as_millis() as u64))
        }
    }
}
