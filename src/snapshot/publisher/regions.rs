//! Regions that were lost, on their way back into the answers.

use std::sync::Arc;

use super::Publisher;
use crate::clock::Tick;
use crate::model::{Failback, Fleet, RegionId};
use crate::snapshot::{Loaded, Steering};
use crate::steering::{Comeback, Contest, Local};

impl Publisher {
    /// Works out how far regions that were lost are back.
    pub(super) fn follow_regions(&mut self, now: Tick) {
        self.share_due = None;
        for at in 0..self.loaded.plan.steerings.len() {
            let Some(steering) = self.loaded.plan.steerings.get(at) else { continue };
            let (contest, rule) = (&steering.contest, steering.contest.failback());
            if rule == Failback::Auto {
                continue;
            }
            let view = self.view(at);
            let before = self.comebacks.get(at).map_or(&[][..], Vec::as_slice);
            let step = |region: Local| {
                let before = before.get(usize::from(region)).copied().unwrap_or_default();
                before.step(rule, contest.presence(region, &view), now)
            };
            let new: Vec<Comeback> = (0..contest.regions().len() as Local).map(step).collect();
            let shares: Arc<[u8]> = new.iter().map(|comeback| comeback.share(rule, now)).collect();
            let due = new.iter().filter_map(|comeback| comeback.due(rule, now)).min();
            self.share_due = self.share_due.into_iter().chain(due).min();
            if let Some(comebacks) = self.comebacks.get_mut(at) {
                *comebacks = new;
            }
            let memory = self.contests.get_mut(at).filter(|memory| memory.shares != shares);
            if let Some(memory) = memory {
                memory.shares = shares;
                self.dirty.get_mut(at).into_iter().for_each(|dirty| *dirty = true);
                self.behind = true;
            }
        }
    }

    /// Where the regions of a new contest were on their way back in an old one.
    pub(super) fn carried_comebacks(&self, loaded: &Loaded, steering: &Steering) -> Vec<Comeback> {
        let (old, new) = (&self.loaded.model.fleet, &loaded.model.fleet);
        let pools = |contest: &Contest, fleet: &Fleet| -> Vec<String> {
            contest.pools().map(|pool| fleet.pool(pool).name.clone()).collect()
        };
        let contest = &steering.contest;
        let wanted = pools(contest, new);
        let same = |other: &&(&Arc<Steering>, &Vec<Comeback>)| {
            other.0.contest.failback() == contest.failback()
                && pools(&other.0.contest, old) == wanted
        };
        let mut known = self.loaded.plan.steerings.iter().zip(&self.comebacks);
        let Some((other, comebacks)) = known.find(|known| same(&known)) else { return Vec::new() };
        let of = |region: &RegionId| {
            let name = &new.region(*region).name;
            let regions = other.contest.regions().iter().zip(comebacks);
            let found = regions.into_iter().find(|(id, _)| old.region(**id).name == *name);
            found.map_or_else(Comeback::default, |(_, comeback)| *comeback)
        };
        contest.regions().iter().map(of).collect()
    }
}
