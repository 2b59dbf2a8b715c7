//! Where the clients of a contest go over time: what is measured, what follows, and how fast.

use std::time::Duration;

use super::spill::{HARD, Shares, Site, Stance, spill};
use crate::clock::Tick;
use crate::model::{PoolId, Spill};

/// Smaller moves than this share of a region's clients are noise.
const NOISE: f64 = 0.02;
/// Clients are moved this often at most; with `ramp` spread over the steps of a minute.
const STEP: Duration = Duration::from_secs(10);
/// What `ramp` counts by.
const RAMP: Duration = Duration::from_secs(60);
/// Time in which a demand that falls is believed to two thirds. A region that dies has no load
/// before anyone knows that it is gone, and its clients still have to go somewhere.
const FALL: Duration = Duration::from_secs(300);
/// Rounds of the estimate each time; it begins where the last one ended.
const ROUNDS: usize = 8;
/// A region whose load was known within this time is still believed to have about that load: when
/// reports fail, clients stay where they were sent.
const MEMORY: Duration = Duration::from_secs(600);
/// A region at its target is not taken as crowded any more below this share of it, so that noise
/// changes nothing.
const UNCROWDED: f64 = 0.9;
/// A region's demand is left as it was while less than this share of it can be seen.
const SEEN: f64 = 0.05;

/// A region of the contest, as it is seen now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// What it is for the pool's clients.
    pub stance: Stance,
    /// Its configured weight; with 0 no client's own region.
    pub weight: u64,
    /// Requests a second that it can take.
    pub capacity: Option<f64>,
    /// Requests a second that it gets; `None`: nobody says.
    pub load: Option<f64>,
}

/// Where clients go now.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// The pool that is answered from.
    pub pool: PoolId,
    /// The regions of the contest as they were seen when this was decided.
    pub seen: Vec<Seen>,
    /// Requests a second of each region's own clients, as estimated.
    pub demand: Vec<Option<f64>>,
    /// Where they go.
    pub shares: Shares,
    /// By region, whether it has so much load that nobody is sent there without need.
    pub crowded: Vec<bool>,
}

/// Keeps a contest's [`Spread`].
#[derive(Clone, Debug, Default)]
pub struct Sluice {
    spread: Option<Spread>,
    demand: Vec<Option<f64>>,
    /// When the load of each region was known last.
    heard: Vec<Tick>,
    /// By region, whether it is at its target; see [`Spread::crowded`].
    crowded: Vec<bool>,
    /// The shares as resolvers hand them out by now, by own region.
    felt: Vec<Vec<f64>>,
    /// When clients were moved last.
    moved: Tick,
    /// When it was last looked.
    looked: Tick,
}

impl Sluice {
    /// What is in force; `None`: the method has nothing to say.
    pub fn spread(&self) -> Option<&Spread> {
        self.spread.as_ref()
    }

    /// Takes in what is seen of the regions, and says whether clients go elsewhere now, or other
    /// regions are crowded. Resolvers keep answers for `ttl`; `circles` are those of
    /// [`super::Contest::circles`].
    pub fn step(
        &mut self,
        (pool, seen): (PoolId, Vec<Seen>),
        (rule, circles): (&Spill, &[Vec<u16>]),
        ttl: Duration,
        now: Tick,
    ) -> bool {
        if self.demand.len() != seen.len() || self.spread.as_ref().is_some_and(|s| s.pool != pool) {
            *self = Self { moved: now, looked: now, ..Self::default() };
            self.demand = vec![None; seen.len()];
            self.heard = vec![Tick(0); seen.len()];
            self.crowded = vec![false; seen.len()];
            self.felt = identity(seen.len());
        }
        let passed = now.since(std::mem::replace(&mut self.looked, now));
        self.feel(passed, ttl);
        self.listen(&seen, now);
        self.crowd(&seen, rule.target);
        self.estimate(&seen, passed);
        let site = |(seen, demand): (&Seen, &Option<f64>)| Site {
            stance: seen.stance,
            capacity: seen.capacity,
            demand: *demand,
            is_fresh: demand.is_some(),
        };
        let sites: Vec<Site> = seen.iter().zip(&self.demand).map(site).collect();
        let Some(wanted) = spill(&sites, rule, circles) else {
            return self.spread.take().is_some();
        };
        let Some(shares) = self.next(wanted, &seen, rule, now) else { return self.show_crowded() };
        self.moved = now;
        let (demand, crowded) = (self.demand.clone(), self.crowded.clone());
        self.spread = Some(Spread { pool, seen, demand, shares, crowded });
        true
    }

    /// Where clients go from now on; `None`: where they went before.
    fn next(&self, wanted: Shares, seen: &[Seen], rule: &Spill, now: Tick) -> Option<Shares> {
        let Some(current) = &self.spread else {
            return Some(wanted);
        };
        let stance = |seen: &Seen| (seen.stance, seen.weight);
        if !current.seen.iter().map(stance).eq(seen.iter().map(stance)) {
            return Some(wanted);
        }
        let since = now.since(self.moved);
        let far = current.shares.of.iter().zip(&wanted.of).map(|(a, b)| distance(a, b));
        let farthest = far.fold(0.0, f64::max);
        if since < STEP || (farthest < NOISE && current.shares.is_full == wanted.is_full) {
            return None;
        }
        let overrun = |seen: &Seen| match (seen.stance, seen.load, seen.capacity) {
            (Stance::Active(_), Some(load), Some(capacity)) => load > HARD * capacity,
            _ => false,
        };
        if !wanted.is_full && seen.iter().any(overrun) {
            return Some(wanted);
        }
        let allowed = rule.ramp * since.min(RAMP).as_secs_f64() / RAMP.as_secs_f64();
        let step = |(from, to): (&Vec<f64>, &Vec<f64>)| {
            let far = distance(from, to);
            let part = if far > allowed { allowed / far } else { 1.0 };
            from.iter().zip(to).map(|(from, to)| from + (to - from) * part).collect()
        };
        let of = current.shares.of.iter().zip(&wanted.of).map(step).collect();
        Some(Shares { of, is_full: wanted.is_full })
    }

    /// Notes which regions are at their target, and which have left it again. One whose load nobody
    /// knows at the moment stays what it was.
    fn crowd(&mut self, seen: &[Seen], target: f64) {
        for (crowded, seen) in self.crowded.iter_mut().zip(seen) {
            if let (Some(load), Some(capacity)) = (seen.load, seen.capacity) {
                let share = if *crowded { target * UNCROWDED } else { target };
                *crowded = load >= share * capacity;
            }
        }
    }

    /// Brings what is in force up to date with which regions are crowded; whether it changed.
    fn show_crowded(&mut self) -> bool {
        match &mut self.spread {
            Some(spread) if spread.crowded != self.crowded => {
                spread.crowded.clone_from(&self.crowded);
                true
            }
            _ => false,
        }
    }

    /// Notes whose load is known, and forgets what is too old.
    fn listen(&mut self, seen: &[Seen], now: Tick) {
        for ((seen, heard), demand) in seen.iter().zip(&mut self.heard).zip(&mut self.demand) {
            if seen.load.is_some() {
                *heard = now;
            } else if now.since(*heard) >= MEMORY && seen.stance != Stance::Gone {
                *demand = None;
            }
        }
    }

    /// Lets resolvers learn what is in force.
    fn feel(&mut self, passed: Duration, ttl: Duration) {
        let old = (-passed.as_secs_f64() / ttl.as_secs_f64().max(1.0)).exp();
        let count = self.felt.len();
        let plain = identity(count);
        let current = self.spread.as_ref().map_or(&plain, |spread| &spread.shares.of);
        for (felt, now) in self.felt.iter_mut().zip(current) {
            for (felt, now) in felt.iter_mut().zip(now) {
                *felt = now + (*felt - now) * old;
            }
        }
    }

    /// Estimates whose clients make the loads that are measured (the iteration of Richardson and
    /// Lucy: it keeps the sum, and what was never seen at zero).
    fn estimate(&mut self, seen: &[Seen], passed: Duration) {
        let before = self.demand.clone();
        for (demand, seen) in self.demand.iter_mut().zip(seen) {
            if seen.weight > 0 && demand.is_none_or(|demand| demand <= 0.0) {
                *demand = seen.load.or(*demand);
            }
        }
        let heard = |seen: &Seen| seen.load.filter(|_| seen.stance != Stance::Gone);
        for _ in 0..ROUNDS {
            let ratio = |(at, seen): (usize, &Seen)| {
                let load = heard(seen)?;
                let part = |(demand, felt): (&Option<f64>, &Vec<f64>)| {
                    demand.unwrap_or(0.0) * felt.get(at).copied().unwrap_or(0.0)
                };
                let expected: f64 = self.demand.iter().zip(&self.felt).map(part).sum();
                (expected > 0.0).then(|| load / expected)
            };
            let ratios: Vec<Option<f64>> = seen.iter().enumerate().map(ratio).collect();
            for (demand, felt) in self.demand.iter_mut().zip(&self.felt) {
                let known =
                    || felt.iter().zip(&ratios).filter_map(|(f, ratio)| Some((f, (*ratio)?)));
                let visible: f64 = known().map(|(felt, _)| felt).sum();
                let explained: f64 = known().map(|(felt, ratio)| felt * ratio).sum();
                if let Some(demand) = demand.as_mut().filter(|_| visible > SEEN) {
                    *demand *= explained / visible;
                }
            }
        }
        let kept = (-passed.as_secs_f64() / FALL.as_secs_f64()).exp();
        for (demand, before) in self.demand.iter_mut().zip(before) {
            if let (Some(demand), Some(before)) = (demand, before)
                && *demand < before
            {
                *demand += (before - *demand) * kept;
            }
        }
    }
}

/// Everybody stays.
fn identity(count: usize) -> Vec<Vec<f64>> {
    let row = |at: usize| (0..count).map(|other| f64::from(u8::from(other == at))).collect();
    (0..count).map(row).collect()
}

/// Share of clients that differ between two spreads.
fn distance(from: &[f64], to: &[f64]) -> f64 {
    let moved = from.iter().zip(to).map(|(from, to)| (from - to).abs());
    moved.sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests;
