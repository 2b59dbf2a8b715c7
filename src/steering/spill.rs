//! The method `spill`: which part of the clients of each region goes where, by load and capacity.
//!
//! Below its target share a region keeps its clients. Above it the surplus goes to the others in
//! proportion to the capacity that they have left; so do the clients of a region that is gone, all
//! of them: within a fence first, and beyond it what has no room there. The fuller the regions are
//! on the whole, the less is gained by moving clients, so the bound rises from the target share to
//! the whole capacity while the mean nears the target share.
//! When even that does not do, all regions are loaded alike, above their capacity.

use super::FULL;
use crate::model::Spill;

/// Share of the capacity that is never exceeded while any region has room.
pub const HARD: f64 = 1.0;
/// Below this share of the target the mean load lets regions shed down to their target.
const CALM: f64 = 0.9;

/// What a region is for a pool's clients at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stance {
    /// The pool has no endpoint there.
    #[default]
    Absent,
    /// It serves, with this part of [`FULL`] of its clients while it comes back.
    Active(u8),
    /// It has weight 0 alone and could serve.
    Standby,
    /// It cannot serve.
    Gone,
}

/// A region of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Site {
    /// What it is at the moment.
    pub stance: Stance,
    /// Requests a second that it can take; `None`: nobody knows, and it neither gives nor takes.
    pub capacity: Option<f64>,
    /// Requests a second of the clients that would be its own; `None`: nothing is known.
    pub demand: Option<f64>,
    /// Whether its load was known lately; without it gets no clients of others.
    pub is_fresh: bool,
}

/// Where clients go.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// By own region, then by region they are sent to: 1 in all, or nothing.
    pub of: Vec<Vec<f64>>,
    /// Whether there is more load than capacity.
    pub is_full: bool,
}

/// A region in the sums.
#[derive(Clone, Copy, Default)]
struct Basin {
    capacity: f64,
    /// Demand of its own clients that may stay.
    own: f64,
    /// What it keeps of it.
    kept: f64,
    /// What it gets of others.
    taken: f64,
    /// What of that it gets of a narrower fence than the one that is looked at.
    settled: f64,
    is_standby: bool,
}

/// Works out where the clients of each region go; `None`: no region is known well enough.
///
/// Who leaves goes no farther than he must: `fences` are circles of regions, the narrowest first,
/// as the number of its circle by region; each circle lies within one of the next.
pub fn spill(sites: &[Site], rule: &Spill, fences: &[Vec<u16>]) -> Option<Shares> {
    let mut basins: Vec<Basin> = sites.iter().map(Basin::of).collect();
    let sum = |basins: &[Basin], standby: bool, of: fn(&Basin) -> f64| -> f64 {
        basins.iter().filter(|basin| basin.is_standby == standby).map(of).sum()
    };
    let capacity = sum(&basins, false, |basin| basin.capacity);
    if capacity <= 0.0 {
        return None;
    }
    let leaving: f64 = sites.iter().map(Site::leaving).sum();
    let demand = leaving + sum(&basins, false, |basin| basin.own);
    let reserve = sum(&basins, true, |basin| basin.capacity);
    let bound = bound(demand, capacity, reserve, rule.target);
    for basin in &mut basins {
        basin.kept = basin.own.min(bound * basin.capacity);
    }
    let surplus = |(site, basin): (&Site, &Basin)| site.leaving() + basin.own - basin.kept;
    let mut leaving = Leaving {
        surplus: sites.iter().zip(&basins).map(surplus).collect(),
        to: vec![vec![0.0; sites.len()]; sites.len()],
    };
    let everywhere = vec![0; sites.len()];
    let circles: Vec<&Vec<u16>> = fences.iter().chain([&everywhere]).collect();
    for circle in &circles {
        leaving.fill(&mut basins, circle, bound, false);
    }
    leaving.fill(&mut basins, &everywhere, bound, true);
    let standbys = basins.iter().filter(|basin| basin.is_standby).count();
    let trickle = if standbys > 0 { rule.standby } else { 0.0 };
    let share = |(at, site): (usize, &Site)| {
        let to = leaving.destinations(at, &basins, &circles, bound);
        let mut shares = site.shares(at, basins.get(at), &to);
        for (share, basin) in shares.iter_mut().zip(&basins) {
            let warm = if basin.is_standby { trickle / standbys as f64 } else { 0.0 };
            *share = *share * (1.0 - trickle) + warm;
        }
        shares
    };
    let of = sites.iter().enumerate().map(share).collect();
    Some(Shares { of, is_full: bound > HARD })
}

/// The share of their capacity up to which regions are filled.
fn bound(demand: f64, capacity: f64, reserve: f64, target: f64) -> f64 {
    let mean = demand / capacity;
    if mean <= HARD {
        // A target of nothing is one that is never reached.
        let near = ((mean / target.max(1e-3) - CALM) / (1.0 - CALM)).clamp(0.0, 1.0);
        return target + (HARD - target) * near;
    }
    (demand / (capacity + reserve)).max(HARD)
}

/// Who leaves, and where to.
struct Leaving {
    /// By region, the demand that has no place yet.
    surplus: Vec<f64>,
    /// By region, then by region that it went to.
    to: Vec<Vec<f64>>,
}

impl Leaving {
    /// Gives what leaves the regions of each circle to those of it that have room.
    fn fill(&mut self, basins: &mut [Basin], circle: &[u16], bound: f64, standby: bool) {
        let mut numbers = circle.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        for basin in basins.iter_mut() {
            basin.settled = basin.taken;
        }
        for number in numbers {
            let is_inside = |at: usize| circle.get(at) == Some(&number);
            let own = self.surplus.iter().enumerate().filter(|(at, _)| is_inside(*at));
            let surplus: f64 = own.map(|(_, surplus)| surplus).sum();
            let inside = basins.iter_mut().enumerate().filter(|(at, _)| is_inside(*at));
            let open = inside.filter(|(_, basin)| basin.is_standby == standby);
            let left = fill(&mut open.map(|(_, basin)| basin).collect::<Vec<_>>(), surplus, bound);
            if left >= surplus {
                continue;
            }
            let of = self.surplus.iter_mut().zip(&mut self.to).enumerate();
            for (_, (own, to)) in of.filter(|(at, _)| is_inside(*at)) {
                let part = *own / surplus;
                for (at, (to, basin)) in to.iter_mut().zip(basins.iter()).enumerate() {
                    let given = if is_inside(at) { basin.taken - basin.settled } else { 0.0 };
                    *to += part * given;
                }
                *own = part * left;
            }
        }
    }

    /// Where those go who leave a region, as shares; nothing where nobody can take them.
    fn destinations(
        &self,
        at: usize,
        basins: &[Basin],
        circles: &[&Vec<u16>],
        bound: f64,
    ) -> Vec<f64> {
        let gone = self.to.get(at).and_then(|to| normal(to.clone()));
        // Nobody leaves that is known of: where others of the circle go, else by room, should
        // somebody come.
        let within = |circle: &&Vec<u16>| {
            let others = |of: &dyn Fn(&Basin) -> f64| {
                let all = basins.iter().zip(circle.iter()).enumerate();
                let of = all.map(|(other, (basin, number))| {
                    let counts = other != at && circle.get(at) == Some(number);
                    if counts { of(basin) } else { 0.0 }
                });
                normal(of.collect())
            };
            let room = |basin: &Basin| if basin.is_standby { 0.0 } else { basin.room(bound) };
            others(&|basin| basin.taken).or_else(|| others(&room))
        };
        let supposed = || circles.iter().find_map(within);
        gone.or_else(supposed).unwrap_or_else(|| vec![0.0; basins.len()])
    }
}

/// Gives `surplus` to regions in proportion to their room, none beyond `bound`; what is left.
fn fill(basins: &mut [&mut Basin], surplus: f64, bound: f64) -> f64 {
    let mut left = surplus;
    // Each round but the last fills one region at least.
    for _ in 0..=basins.len() {
        let open = |basin: &Basin| basin.gap(bound) > 0.0;
        let room: f64 = basins.iter().filter(|b| open(b)).map(|b| b.room(bound)).sum();
        if left <= 0.0 || room <= 0.0 {
            break;
        }
        let mut given = 0.0;
        for basin in basins.iter_mut().filter(|basin| open(basin)) {
            let part = (left * basin.room(bound) / room).min(basin.gap(bound));
            basin.taken += part;
            given += part;
        }
        left -= given;
        // Rounding never ends.
        if left < surplus * 1e-9 {
            return 0.0;
        }
    }
    left
}

/// Amounts as shares of their sum; `None`: there is nothing.
fn normal(mut amounts: Vec<f64>) -> Option<Vec<f64>> {
    let total: f64 = amounts.iter().sum();
    for amount in &mut amounts {
        *amount /= total;
    }
    (total > 0.0).then_some(amounts)
}

impl Site {
    /// The part of its clients that may stay.
    fn part(&self) -> f64 {
        match self.stance {
            Stance::Active(part) => f64::from(part.min(FULL)) / f64::from(FULL),
            _ => 0.0,
        }
    }

    /// Demand that has to go elsewhere whatever the load.
    fn leaving(&self) -> f64 {
        match self.stance {
            Stance::Active(_) | Stance::Gone => self.demand.unwrap_or(0.0) * (1.0 - self.part()),
            Stance::Absent | Stance::Standby => 0.0,
        }
    }

    /// Where its clients go.
    fn shares(&self, at: usize, basin: Option<&Basin>, to: &[f64]) -> Vec<f64> {
        let Some(basin) = basin else { return Vec::new() };
        let can_leave = to.iter().any(|share| *share > 0.0);
        let kept = match self.stance {
            Stance::Absent | Stance::Standby => return vec![0.0; to.len()],
            Stance::Active(_) if !can_leave => 1.0,
            // What is not measured is not moved.
            Stance::Active(_) if basin.capacity <= 0.0 => self.part(),
            Stance::Active(_) if basin.own > 0.0 => self.part() * basin.kept / basin.own,
            Stance::Active(_) => self.part(),
            Stance::Gone => 0.0,
        };
        let mut shares: Vec<f64> = to.iter().map(|share| share * (1.0 - kept)).collect();
        if let Some(own) = shares.get_mut(at) {
            *own += kept;
        }
        shares
    }
}

impl Basin {
    fn of(site: &Site) -> Self {
        let known = site.capacity.filter(|_| site.is_fresh || site.stance == Stance::Standby);
        let (capacity, demand) = (known.unwrap_or(0.0), site.demand.unwrap_or(0.0));
        match site.stance {
            Stance::Active(_) if capacity > 0.0 => {
                let part = site.part();
                Self { capacity: capacity * part, own: demand * part, ..Self::default() }
            }
            Stance::Standby => Self { capacity, is_standby: true, ..Self::default() },
            _ => Self::default(),
        }
    }

    /// What it may still get.
    fn gap(&self, bound: f64) -> f64 {
        bound * self.capacity - self.kept - self.taken
    }

    /// What surplus is shared out by.
    fn room(&self, bound: f64) -> f64 {
        (bound.max(HARD) * self.capacity - self.kept - self.settled).max(0.0)
    }
}

#[cfg(test)]
mod tests;
