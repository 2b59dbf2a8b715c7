//! What must be true when all faults have healed, or are there for good.

use std::collections::BTreeSet;

use meridian::health::{Action, Forced, Level};
use meridian::model::PlanNumber;
use meridian::snapshot::Accepted;

use super::scale::PROBERS;
use super::world::World;

impl World {
    /// The overrides of the moment are in force on every node that can be reached, and no others.
    pub(crate) fn check_overrides(&mut self) {
        let wanted = self.forced_now();
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let reached =
                self.links.is_open_both_ways(0, node.region) && self.away[node.region] == 0;
            if !node.runs() || !reached || node.misled {
                continue;
            }
            let found = self.control.forced(&node.overrides, &self.fleet);
            if found != wanted {
                let ids: Vec<String> = node.overrides.overrides().map(|o| o.id.clone()).collect();
                let now = self.now;
                self.witness.object(now, || format!("node {at} has overrides {ids:?} in force"));
                return;
            }
        }
    }

    /// Whether probers of two regions can judge an endpoint; else what was settled is frozen.
    fn is_judged(&self, endpoint: usize) -> bool {
        let lives = |prober: &usize| {
            let node = prober / PROBERS * self.fleet.scale.nodes + prober % PROBERS;
            self.nodes[node].stopped == 0 && self.nodes[node].judge.table().council().own_votes
        };
        let probers = self.fleet.watchers[endpoint].iter().map(|(prober, _)| *prober);
        let regions: BTreeSet<usize> = probers.filter(lives).map(|p| p / PROBERS).collect();
        regions.len() > 1
    }

    /// Every node holds the same true of every endpoint, and that is what is true.
    pub(crate) fn check_agreement(&mut self) {
        let now = self.now;
        let forced = self.forced_now();
        let wanted: Vec<Level> = self
            .dead
            .iter()
            .zip(forced.iter())
            .map(|(dead, f)| level(*dead > 0, f.as_ref()))
            .collect();
        let judged: Vec<bool> = (0..wanted.len()).map(|at| self.is_judged(at)).collect();
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            if node.stopped > 0 {
                continue;
            }
            let health = node.judge.table().endpoints();
            let wrong: Vec<_> = health
                .iter()
                .zip(&wanted)
                .zip(0..)
                .filter(|((found, wanted), _)| found.level != **wanted)
                .filter(|(_, endpoint)| judged[*endpoint])
                .collect();
            if let Some(((found, wanted), endpoint)) = wrong.first() {
                let what = format!(
                    "node {at} ({} of {}, mute {}) holds endpoint {endpoint} to be {} ({}), which \
                     is {}, and {} others",
                    node.name.node,
                    node.name.region,
                    node.mute,
                    found.level.as_str(),
                    found.cause,
                    wanted.as_str(),
                    wrong.len() - 1,
                );
                return self.witness.object(now, || what);
            }
            if let Some(epoch) = node.mesh.cloned() {
                return self.witness.object(now, || format!("node {at} fell silent for {epoch}"));
            }
            let plan = self.served(at).map(Accepted::number);
            let newest = PlanNumber { epoch: 1, version: 5 };
            if self.rules.trouble && plan != Some(newest) {
                return self.witness.object(now, || format!("node {at} serves plan {plan:?}"));
            }
        }
    }
}

/// What is true of an endpoint.
fn level(dead: bool, forced: Option<&Forced>) -> Level {
    let by_health = if dead { Level::Down } else { Level::Up };
    match forced.map(|forced| forced.action) {
        Some(Action::Up) => Level::Up,
        Some(Action::Down) => Level::Down,
        Some(Action::Drain) if !dead => Level::Drained,
        Some(Action::Drain) | None => by_health,
    }
}
