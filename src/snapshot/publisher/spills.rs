//! Where clients go by load.

use std::time::Duration;

use super::Publisher;
use crate::clock::Tick;
use crate::model::Fleet;
use crate::snapshot::{Loaded, Steering};
use crate::steering::Sluice;

/// Loads are looked at this often.
const EVERY: Duration = Duration::from_secs(1);

impl Publisher {
    /// Works out where the clients of each region go under the loads of the moment.
    pub(super) fn follow_loads(&mut self, now: Tick) {
        self.spill_due = None;
        for at in 0..self.loaded.plan.steerings.len() {
            let Some(steering) = self.loaded.plan.steerings.get(at).cloned() else { continue };
            let contest = &steering.contest;
            let Some(rule) = contest.spill() else { continue };
            self.spill_due = Some(now + EVERY);
            let Some((pool, mut seen)) = contest.stances(&self.view(at)) else { continue };
            let fleet = &self.loaded.model.fleet;
            for (region, seen) in contest.regions().iter().zip(&mut seen) {
                let load = self.loads.served(fleet, pool, *region, now);
                let own = fleet.pool(pool).capacity(*region).map(f64::from);
                seen.capacity = own.or(load.and_then(|load| load.sum.capacity));
                seen.load = load.map(|load| load.sum.requests);
            }
            let Some(sluice) = self.sluices.get_mut(at) else { continue };
            let rule = (rule, contest.circles());
            if sluice.step((pool, seen), rule, contest.ttl().max, now) {
                self.dirty.get_mut(at).into_iter().for_each(|dirty| *dirty = true);
                self.behind = true;
            }
        }
    }

    /// Where the clients of a new contest went in an equal one of before.
    pub(super) fn carried_sluice(&self, loaded: &Loaded, steering: &Steering) -> Sluice {
        let names = |fleet: &Fleet| -> Vec<String> {
            let pools = steering.contest.pools().filter_map(|pool| {
                fleet.pools.get(usize::from(pool.0)).map(|pool| pool.name.clone())
            });
            let regions = steering.contest.regions().iter().filter_map(|region| {
                fleet.regions.get(usize::from(region.0)).map(|region| region.name.clone())
            });
            pools.chain(regions).collect()
        };
        // Ids of another fleet mean other pools and regions.
        if names(&self.loaded.model.fleet) != names(&loaded.model.fleet) {
            return Sluice::default();
        }
        let mut known = self.loaded.plan.steerings.iter().zip(&self.sluices);
        let same = known.find(|(other, _)| other.contest == steering.contest);
        same.map(|(_, sluice)| sluice.clone()).unwrap_or_default()
    }
}
