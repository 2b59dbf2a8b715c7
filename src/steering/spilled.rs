//! A spread applied to one class of clients.

use super::eligible::{Eligible, standbys};
use super::spill::HARD;
use super::{Candidate, Class, Contest, Family, Grade, Local, Opinion, Seen, Spread, Stance, View};
use crate::model::{Fence, Method, PoolId};

/// Sum of the weights of candidates, in which parts are counted.
const PRECISION: f64 = (1u64 << 40) as f64;
/// A region with less of its capacity left has no room.
const ROOM: f64 = 0.02;

/// What a class is answered by load.
pub(super) struct Spilled {
    /// With weights in proportion to the parts of their regions.
    pub(super) candidates: Vec<Candidate>,
    /// Their regions, the largest part first.
    pub(super) regions: Vec<Local>,
}

/// The regions whose clients a class are: the best ones, were all regions up. None where the
/// spread has nothing to say of them.
pub(super) fn homes(
    contest: &Contest,
    class: &Class,
    found: &Eligible,
    view: &View<'_>,
) -> Vec<Local> {
    let ordinary = matches!(found.grade, Grade::Up | Grade::Unknown);
    let spread = view.spread.filter(|spread| spread.pool == found.pool && ordinary);
    let Some(spread) = spread.filter(|_| contest.spill().is_some()) else { return Vec::new() };
    let is_home = |region: &&Local| spread.weight(**region) > 0;
    let homes = |tier: &Vec<Local>| tier.iter().filter(is_home).copied().collect();
    let mut tiers = class.tiers.iter().map(homes);
    let homes: Vec<Local> = tiers.find(|tier: &Vec<Local>| !tier.is_empty()).unwrap_or_default();
    if homes.iter().all(|home| spread.stays(*home)) { Vec::new() } else { homes }
}

/// The regions that a class is answered by load, in their order; `None`: the other methods say.
pub(super) fn regions(
    contest: &Contest,
    class: &Class,
    found: &Eligible,
    view: &View<'_>,
) -> Option<Vec<Local>> {
    let homes = homes(contest, class, found, view);
    let spread = view.spread.filter(|_| !homes.is_empty())?;
    let mut regions = found.regions();
    let standby = |(_, seen): &(Local, &Seen)| seen.stance == Stance::Standby;
    regions.extend((0..).zip(&spread.seen).filter(standby).map(|(region, _)| region));
    let parts = parts(contest, class, spread, &homes);
    let part = |region: &Local| parts.get(usize::from(*region)).copied().unwrap_or(0.0);
    regions.retain(|region| class.allows(*region) && part(region) > 0.0);
    regions.sort_unstable();
    regions.dedup();
    (!regions.is_empty()).then_some(regions)
}

/// The parts of all regions in the answers to a class whose own regions are `homes`.
///
/// Who is of a network is not known where loads are shared out; so what of its clients would leave
/// its fence is kept inside here, while there is room.
fn parts(contest: &Contest, class: &Class, spread: &Spread, homes: &[Local]) -> Vec<f64> {
    let mut parts = spread.parts(homes);
    let mut said = contest.methods.iter().zip(&class.opinions);
    // Behind a method that tells regions apart a fence only does so among those that tie.
    let first = said.find(|(_, opinion)| !matches!(opinion, Opinion::None | Opinion::Strict(_)));
    if let Some((Method::Fence { by: Fence::Network(_), .. }, Opinion::Ranks(ranks))) = first {
        keep_inside(&mut parts, ranks, spread);
    }
    parts
}

/// Gives the parts of regions outside of a fence to those inside by their room.
fn keep_inside(parts: &mut [f64], ranks: &[u16], spread: &Spread) {
    let room = |(at, rank): (usize, &u16)| if *rank == 0 { spread.room(at) } else { 0.0 };
    let rooms: Vec<f64> = ranks.iter().enumerate().map(room).collect();
    let total: f64 = rooms.iter().sum();
    if total <= 0.0 {
        return;
    }
    let mut outside = 0.0;
    for (part, _) in parts.iter_mut().zip(ranks).filter(|(_, rank)| **rank > 0) {
        outside += std::mem::take(part);
    }
    for (part, room) in parts.iter_mut().zip(rooms) {
        *part += outside * room / total;
    }
}

/// What a class is answered by load; `None`: what the other methods say.
pub(super) fn spilled(
    contest: &Contest,
    class: &Class,
    family: Family,
    found: &Eligible,
    view: &View<'_>,
) -> Option<Spilled> {
    let homes = homes(contest, class, found, view);
    let spread = view.spread.filter(|_| !homes.is_empty())?;
    let parts = parts(contest, class, spread, &homes);
    let part = |region: Local| parts.get(usize::from(region)).copied().unwrap_or(0.0);
    let mut candidates = found.candidates.clone();
    if (0..).zip(&spread.seen).any(|(at, seen)| seen.stance == Stance::Standby && part(at) > 0.0) {
        let allowed = |region: Local| class.allows(region);
        candidates.extend(standbys(contest, found.pool, family, view, allowed));
    }
    candidates.retain(|candidate| part(candidate.region) > 0.0);
    let mut regions: Vec<Local> = candidates.iter().map(|candidate| candidate.region).collect();
    regions.sort_unstable();
    regions.dedup();
    let total: f64 = regions.iter().map(|region| part(*region)).sum();
    if total <= 0.0 {
        return None;
    }
    for region in &regions {
        weigh(&mut candidates, *region, PRECISION * part(*region) / total);
    }
    regions.sort_by(|a, b| part(*b).total_cmp(&part(*a)));
    Some(Spilled { candidates, regions })
}

/// Gives the candidates of a region this weight together, in proportion to their own; alike, where
/// all are 0.
fn weigh(candidates: &mut [Candidate], region: Local, weight: f64) {
    let own = || candidates.iter().filter(|candidate| candidate.region == region);
    let level = u64::from(own().all(|candidate| candidate.weight == 0));
    let total: u64 = own().map(|candidate| candidate.weight + level).sum();
    for candidate in candidates.iter_mut().filter(|candidate| candidate.region == region) {
        let share = (candidate.weight + level) as f64 / total.max(1) as f64;
        candidate.weight = (weight * share) as u64;
    }
}

impl Spread {
    /// The weight of a region as somebody's own; 0: it is nobody's.
    fn weight(&self, region: Local) -> u64 {
        let seen = self.seen.get(usize::from(region));
        let home = |seen: &&Seen| matches!(seen.stance, Stance::Active(_) | Stance::Gone);
        seen.filter(home).map_or(0, |seen| seen.weight)
    }

    /// Whether all clients of a region stay there.
    fn stays(&self, region: Local) -> bool {
        let at = usize::from(region);
        let own = self.shares.of.get(at).and_then(|shares| shares.get(at));
        own.is_some_and(|own| *own >= 1.0)
    }

    /// Requests a second that a region can take beside those that are sent there; 0 where that is
    /// too little, or not known.
    fn room(&self, at: usize) -> f64 {
        let active = |seen: &&Seen| matches!(seen.stance, Stance::Active(_));
        let Some(capacity) = self.seen.get(at).filter(active).and_then(|seen| seen.capacity) else {
            return 0.0;
        };
        let sent =
            self.demand.iter().zip(&self.shares.of).map(|(demand, shares)| {
                demand.unwrap_or(0.0) * shares.get(at).copied().unwrap_or(0.0)
            });
        let room = HARD * capacity - sent.sum::<f64>();
        if room < ROOM * capacity { 0.0 } else { room }
    }

    /// The parts of all regions in the answers to those whose own regions are `homes`.
    fn parts(&self, homes: &[Local]) -> Vec<f64> {
        let total: u64 = homes.iter().map(|home| self.weight(*home)).sum();
        let mut parts = vec![0.0; self.seen.len()];
        for home in homes {
            let weight = self.weight(*home) as f64 / total.max(1) as f64;
            let shares = self.shares.of.get(usize::from(*home));
            for (part, share) in parts.iter_mut().zip(shares.into_iter().flatten()) {
                *part += weight * share;
            }
        }
        parts
    }
}

impl Contest {
    /// The pool that is answered from in either family, and its regions as they stand, without
    /// capacity and load; `None`: nothing is up that would do.
    pub fn stances(&self, view: &View<'_>) -> Option<(PoolId, Vec<Seen>)> {
        let found: Vec<Eligible> = [Family::V4, Family::V6]
            .into_iter()
            .filter_map(|family| self.eligible(family, view, |_| true))
            .filter(|found| matches!(found.grade, Grade::Up | Grade::Unknown))
            .collect();
        let pool = found.iter().map(|found| found.pool).min_by_key(|pool| self.place(*pool))?;
        let serves: Vec<Local> =
            found.iter().filter(|found| found.pool == pool).flat_map(Eligible::regions).collect();
        let waiting: Vec<Local> = [Family::V4, Family::V6]
            .into_iter()
            .flat_map(|family| standbys(self, pool, family, view, |_| true))
            .map(|candidate| candidate.region)
            .collect();
        let mut seen = vec![Seen::default(); self.regions().len()];
        for (region, id) in self.members(pool) {
            let Some(seen) = seen.get_mut(usize::from(*region)) else { continue };
            seen.weight += u64::from(view.fleet.endpoint(*id).weight);
            seen.stance = if serves.contains(region) {
                Stance::Active(view.share(*region))
            } else {
                Stance::Gone
            };
        }
        for (region, seen) in (0..).zip(&mut seen) {
            // Who has clients of his own is gone for them, also where a standby is left.
            if seen.stance == Stance::Gone && seen.weight == 0 && waiting.contains(&region) {
                seen.stance = Stance::Standby;
            }
        }
        Some((pool, seen))
    }

    /// The place of a pool in the order of preference.
    fn place(&self, pool: PoolId) -> Option<usize> {
        self.pools().position(|other| other == pool)
    }
}
