//! Contests whose classes follow what was measured.

use std::sync::Arc;

use super::load::Loaded;
use super::plan::{Plan, Steering};
use crate::clock::Tick;
use crate::geo::Ground;
use crate::latency::{Estimates, LatencyMap};
use crate::model::Fleet;

/// A contest and the same one with newer classes.
pub type Replacement = (Arc<Steering>, Arc<Steering>);

impl Plan {
    /// Whether any contest goes by round trips.
    pub fn measures(&self) -> bool {
        self.steerings.iter().any(|steering| steering.contest.measures())
    }

    /// Classifies clients anew in the contests that go by round trips.
    pub fn again(&self, fleet: &Fleet, ground: &Ground, estimates: &Estimates) -> Vec<Replacement> {
        let measuring = self.steerings.iter().filter(|steering| steering.contest.measures());
        measuring.map(|old| (old.clone(), Arc::new(old.again(fleet, ground, estimates)))).collect()
    }

    /// Puts newer contests in the place of those they replace, and gives the places; what was
    /// replaced meanwhile is left as it is.
    pub(super) fn replace(&mut self, replacements: Vec<Replacement>) -> Vec<usize> {
        let mut replaced = Vec::new();
        for (old, new) in replacements {
            let at = self.steerings.iter().position(|steering| Arc::ptr_eq(steering, &old));
            if let Some((at, slot)) = at.and_then(|at| Some((at, self.steerings.get_mut(at)?))) {
                *slot = new;
                replaced.push(at);
            }
        }
        replaced
    }
}

impl Loaded {
    /// The same, going by what a map says.
    #[must_use]
    pub fn measured(mut self, map: &LatencyMap, now: Tick) -> Self {
        let (fleet, before) = (&self.model.fleet, self.latency.load_full());
        let estimates = Estimates::new(map, fleet, &self.ground, &before, now);
        let again = self.plan.again(fleet, &self.ground, &estimates);
        self.plan.replace(again);
        self.latency.store(Arc::new(estimates));
        self
    }
}
