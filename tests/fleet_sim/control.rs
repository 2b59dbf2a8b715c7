//! What operators do to the simulated fleet: overrides and plans, and how they get to the nodes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use meridian::clock::Tick;
use meridian::health::overrides::{Override, OverrideSet, Scope, resolve};
use meridian::health::{Action, Forced};
use meridian::model::{PlanMark, PlanNumber};
use meridian::snapshot::{Accepted, PlanCandidate, Size, succeed};

use super::fault::HEALED;
use super::scale::SimFleet;
use super::start::WALL;
use super::world::{What, World};

/// What the overrides of a set come to, by endpoint.
type Resolved = Rc<Vec<Option<Forced>>>;

/// A table that all nodes watch; it is in the first region.
#[derive(Default)]
pub(crate) struct Control {
    /// What is in it.
    table: Vec<Override>,
    /// What sets come to: it follows from them and the fleet alone, so it is worked out once.
    resolved: RefCell<HashMap<Vec<String>, Resolved>>,
}

/// An act of operators.
struct Act {
    at: Duration,
    id: &'static str,
    /// `None`: it is cleared.
    set: Option<(Action, String, Option<Duration>)>,
}

/// One override ends in trouble, one is cleared in it, one ends in the calm after it, and one
/// outlasts the world.
fn acts() -> Vec<Act> {
    let seconds = Duration::from_secs;
    let rest = HEALED + seconds(5);
    let act = |at, id, set: Option<(Action, &str, Option<Duration>)>| {
        let set = set.map(|(action, target, lasts)| (action, target.to_owned(), lasts));
        Act { at, id, set }
    };
    vec![
        act(seconds(3), "short", Some((Action::Down, "pool:p01@r03", Some(seconds(30))))),
        act(seconds(4), "cleared", Some((Action::Drain, "region:r02", None))),
        act(seconds(5), "long", Some((Action::Up, "pool:p05", Some(rest)))),
        act(seconds(40), "cleared", None),
        act(HEALED + seconds(2), "last", Some((Action::Drain, "pool:p07", Some(seconds(9_000))))),
    ]
}

impl Control {
    /// What a set of overrides comes to.
    pub(crate) fn forced(&self, set: &OverrideSet, fleet: &SimFleet) -> Resolved {
        let ids: Vec<String> = set.overrides().map(|one| one.id.clone()).collect();
        let mut resolved = self.resolved.borrow_mut();
        let found = resolved.entry(ids);
        found.or_insert_with(|| Rc::new(resolve(set.overrides(), fleet.fleet()))).clone()
    }
}

impl World {
    /// Puts down what operators will do: overrides, plans that overtake each other, and one that is
    /// empty by mistake.
    pub(crate) fn plan_operators(&mut self) {
        let start = self.now;
        for (act, at) in acts().iter().zip(0..) {
            self.put(start + act.at, What::Operator { act: at });
        }
        let calm = HEALED + Duration::from_secs(10);
        for at in [Duration::from_secs(8), calm + WITHIN] {
            self.put(start + at, What::Overrides);
        }
        for node in 0..self.nodes.len() {
            for version in 1..=5 {
                let sent = Duration::from_secs(u64::from(version) * 12);
                for _ in 0..self.rng.u32(1..3) {
                    let late = Duration::from_millis(self.rng.u64(0..40_000));
                    let at = start + sent + late;
                    self.put(at, What::Plan { node, version, empty: false });
                }
            }
            let at = start + HEALED + Duration::from_millis(self.rng.u64(0..5_000));
            self.put(at, What::Plan { node, version: 6, empty: true });
        }
    }

    /// An act of operators, which all nodes then hear of.
    pub(crate) fn operate(&mut self, act: usize) {
        let Some(Act { id, set, .. }) = acts().into_iter().nth(act) else { return };
        self.control.table.retain(|one| one.id != id);
        if let Some((action, target, lasts)) = set {
            let created = WALL + self.now.since(Tick::START).as_secs();
            self.control.table.push(Override {
                id: id.to_owned(),
                action,
                target: target.parse().unwrap(),
                reason: "as the simulation wants it".to_owned(),
                author: "operator".to_owned(),
                created,
                until: lasts.map(|lasts| created + lasts.as_secs()),
                scope: Scope::Fleet,
                anyway: false,
                drill: None,
            });
        }
        for node in 0..self.nodes.len() {
            let late = Duration::from_millis(self.rng.u64(10..500));
            self.put(self.now + late, What::Control { node });
        }
    }

    /// A node looks at the table, or tries again where it cannot.
    pub(crate) fn hear_operators(&mut self, at: usize) {
        let region = self.nodes[at].region;
        if self.nodes[at].stopped > 0 {
            // It looks when it starts.
            return;
        }
        let reached = self.links.is_open_both_ways(0, region) && self.away[region] == 0;
        if self.nodes[at].paused > 0 || !reached {
            return self.put(self.now + Duration::from_secs(1), What::Control { node: at });
        }
        let (table, wall) = (self.control.table.clone(), self.wall(at));
        self.nodes[at].misled |= self.nodes[at].wrong != 0;
        if self.nodes[at].overrides.merge(table, self.now, wall) {
            self.force(at);
        }
    }

    /// Puts the overrides that a node knows in force there.
    pub(crate) fn force(&mut self, at: usize) {
        let forced = self.control.forced(&self.nodes[at].overrides, &self.fleet);
        let node = &mut self.nodes[at];
        node.judge.force(&node.overrides, &forced, self.now);
        let due = node.overrides.next_end();
        if let Some(due) = due.filter(|due| *due > self.now) {
            self.wake_at(at, due);
        }
    }

    /// What the overrides in the table come to now.
    pub(crate) fn forced_now(&self) -> Resolved {
        let wall = WALL + self.now.since(Tick::START).as_secs();
        let mut set = OverrideSet::default();
        let table = self.control.table.iter();
        let lasts = table.filter(|one| one.until.is_none_or(|until| until > wall)).cloned();
        set.merge(lasts.collect(), self.now, wall);
        self.control.forced(&set, &self.fleet)
    }

    /// A plan comes to a node, which serves it or refuses.
    pub(crate) fn plan(&mut self, at: usize, version: u32, empty: bool) {
        if !self.nodes[at].runs() {
            // Whoever sends plans does so until they are there.
            let later = self.now + Duration::from_secs(2);
            return self.put(later, What::Plan { node: at, version, empty });
        }
        let whole = Size::of(&self.fleet.loaded);
        let none = Size::default();
        let fingerprint = self.fleet.loaded.fingerprint;
        let number = PlanNumber { epoch: 1, version };
        let candidate = PlanCandidate {
            mark: Some(PlanMark { number, shrink: false }),
            fingerprint,
            size: if empty { &none } else { &whole },
        };
        let before = self.nodes[at].plan.as_ref().map(Accepted::number);
        if succeed(self.nodes[at].plan.as_ref(), &whole, candidate).is_ok() {
            if empty || before.is_some_and(|before| number < before) {
                let now = self.now;
                self.witness
                    .object(now, || format!("node {at} serves plan {number} after {before:?}"));
            }
            self.nodes[at].plan = Some(Accepted::new(number, fingerprint));
        }
    }
}

/// Overrides are in force, or have ended, on every node within this.
const WITHIN: Duration = Duration::from_secs(3);
