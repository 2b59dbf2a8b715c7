//! Capacity as traffic shows it: the knee of the latency curve.
//!
//! The knee is the load at which good replies a second, divided by the time that they take, are the
//! most (Kleinrock 1979, "Power and deterministic rules of thumb"): below it more load costs little
//! time, beyond it time grows faster than what is done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Totals;
use crate::clock::Tick;

/// Loads within a tenth of each other are one.
const STEP: f64 = 1.1;
/// Loads from a tenth of a request a second on; lower ones count as that.
const LEAST: f64 = 0.1;
/// Steps up to more than any machine there is.
const STEPS_MAX: u32 = 250;
/// Looks of a second after which the mean of a load is one.
const SETTLED: u32 = 10;
/// Looks that a mean remembers: soon enough after a deployment or an incident.
const MEMORY: u32 = 30;
/// Replies of an endpoint below which a look says nothing.
const REPLIES_MIN: u64 = 5;
/// The knee has been seen when a load beyond it had but this share of its power.
const FALLEN: f64 = 0.8;
/// What was not seen for so long may be otherwise by now: all weekdays come within.
const FORGET: Duration = Duration::from_secs(7 * 86_400);

/// What a pool has done since the start, as far as one node sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Requests, and those that failed.
    pub totals: Totals,
    /// Heads of replies.
    pub replies: u64,
    /// Seconds that those took, together.
    pub seconds: f64,
    /// Endpoints that were asked since the last look.
    pub endpoints: usize,
}

/// What a pool can do, learned from what it does.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    knee: Knee,
    last: Option<(Work, Tick)>,
    /// Endpoints that were asked in the last look that says something.
    endpoints: usize,
}

impl Learned {
    /// Takes in what was done; to be called every second. Gives the requests a second that the
    /// endpoints which serve can take together; `None`: they were never seen beyond that.
    pub fn read(&mut self, work: Work, now: Tick) -> Option<f64> {
        if let Some((before, at)) = self.last.replace((work, now)) {
            let seconds = now.since(at).as_secs_f64();
            let of = work.endpoints.max(1) as f64;
            let replies = work.replies.saturating_sub(before.replies);
            if seconds > 0.0 && replies >= REPLIES_MIN * work.endpoints.max(1) as u64 {
                let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds / of;
                let asked = rate(work.totals.requests, before.totals.requests);
                let failed = rate(work.totals.errors, before.totals.errors);
                let took = (work.seconds - before.seconds).max(0.0) / replies as f64;
                self.knee.look(asked, (asked - failed).max(0.0), took, now);
                self.endpoints = work.endpoints;
            }
        }
        Some(self.knee.load(now)? * self.endpoints as f64)
    }
}

/// What one endpoint does under which load.
#[derive(Clone, Debug, Default)]
struct Knee {
    /// By step; at most [`STEPS_MAX`].
    curve: BTreeMap<u32, Mean>,
}

/// What was seen at one load.
#[derive(Clone, Copy, Debug)]
struct Mean {
    /// Requests a second.
    asked: f64,
    /// Good replies a second.
    good: f64,
    /// Seconds for each.
    took: f64,
    looks: u32,
    seen: Tick,
}

impl Mean {
    /// What is done for the time that it takes.
    fn power(&self) -> f64 {
        self.good / self.took.max(1e-6)
    }
}

impl Knee {
    fn look(&mut self, asked: f64, good: f64, took: f64, now: Tick) {
        self.curve.retain(|_, mean| now.since(mean.seen) < FORGET);
        if !(asked.is_finite() && took.is_finite() && asked > 0.0) {
            return;
        }
        let step = ((asked / LEAST).ln() / STEP.ln()).round().clamp(0.0, f64::from(STEPS_MAX));
        let fresh = Mean { asked, good, took, looks: 0, seen: now };
        let mean = self.curve.entry(step as u32).or_insert(fresh);
        mean.looks = (mean.looks + 1).min(MEMORY);
        mean.seen = now;
        let part = 1.0 / f64::from(mean.looks);
        for (old, new) in [(&mut mean.asked, asked), (&mut mean.good, good), (&mut mean.took, took)]
        {
            *old += (new - *old) * part;
        }
    }

    /// The load at the knee; `None`: no load beyond it was seen lately.
    fn load(&self, now: Tick) -> Option<f64> {
        let known = |mean: &Mean| mean.looks >= SETTLED && now.since(mean.seen) < FORGET;
        let settled = || self.curve.iter().filter(|(_, mean)| known(mean));
        let (at, peak) = settled().max_by(|(_, a), (_, b)| a.power().total_cmp(&b.power()))?;
        let mut beyond = settled().filter(|(step, _)| *step > at);
        let fallen = beyond.any(|(_, mean)| mean.power() < peak.power() * FALLEN);
        fallen.then_some(peak.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds that an endpoint of this capacity takes under a load: short up to three quarters of
    /// it, then more and more, as where many work side by side.
    fn took(load: f64, capacity: f64) -> f64 {
        let busy = (load / capacity).min(0.995);
        0.010 * (1.0 + busy.powi(6) / (1.0 - busy))
    }

    /// The knee of that curve, by trying all loads.
    fn knee(capacity: f64) -> f64 {
        let power = |load: &f64| load / took(*load, capacity);
        let all = (1..1_000).map(|part| capacity * f64::from(part) / 1_000.0);
        all.max_by(|a, b| power(a).total_cmp(&power(b))).unwrap()
    }

    /// A pool whose endpoints have a capacity each.
    struct World {
        learned: Learned,
        work: Work,
        now: Tick,
        random: fastrand::Rng,
    }

    impl World {
        fn new() -> Self {
            let random = fastrand::Rng::with_seed(11);
            Self { learned: Learned::default(), work: Work::default(), now: Tick(1), random }
        }

        /// One second under this load of each endpoint; what is above the capacity fails.
        fn second(&mut self, load: f64, capacity: f64, endpoints: usize) -> Option<f64> {
            let noise = 0.9 + 0.2 * self.random.f64();
            let all = load * noise * endpoints as f64;
            let failed = (all - capacity * endpoints as f64).max(0.0);
            let slow = 0.8 + 0.4 * self.random.f64();
            self.work.totals.requests += all as u64;
            self.work.totals.errors += failed as u64;
            self.work.replies += (all - failed) as u64;
            self.work.seconds += took(load * noise, capacity) * slow * (all - failed).floor();
            self.work.endpoints = endpoints;
            self.now = self.now + Duration::from_secs(1);
            self.learned.read(self.work, self.now)
        }

        /// Loads from little to `most` and back, half an hour each way.
        fn day(&mut self, most: f64, capacity: f64, endpoints: usize) -> Option<f64> {
            let up = (1..=1_800).chain((1..=1_800).rev());
            up.map(|at| self.second(most * f64::from(at) / 1_800.0, capacity, endpoints)).last()?
        }
    }

    fn is_near(found: Option<f64>, expected: f64) {
        let near = found.is_some_and(|found| (found / expected - 1.0).abs() < 0.15);
        assert!(near, "{found:?} instead of {expected}");
    }

    #[test]
    fn the_knee_is_known_once_there_was_more_load_than_that() {
        let mut world = World::new();
        assert_eq!(world.day(0.7 * knee(400.0), 400.0, 3), None, "it was never near");
        assert_eq!(world.day(0.7 * knee(400.0), 400.0, 3), None, "however often");
        is_near(world.day(440.0, 400.0, 3), 3.0 * knee(400.0));
        is_near(world.day(100.0, 400.0, 3), 3.0 * knee(400.0));
        is_near(world.day(100.0, 400.0, 5), 5.0 * knee(400.0));
        let quiet = world.second(0.0, 400.0, 5);
        is_near(quiet, 5.0 * knee(400.0));
        // A week in which it was never beyond: nobody knows any more.
        world.now = world.now + FORGET;
        assert_eq!(world.second(100.0, 400.0, 5), None);
    }

    #[test]
    fn other_machines_and_bad_hours_are_learned_and_unlearned() {
        let mut world = World::new();
        is_near(world.day(440.0, 400.0, 2), 2.0 * knee(400.0));
        // Slower ones.
        is_near(world.day(440.0, 200.0, 2), 2.0 * knee(200.0));
        // And faster ones, as far as there is load to see it.
        is_near(world.day(900.0, 800.0, 2), 2.0 * knee(800.0));
    }

    #[test]
    fn what_says_nothing_teaches_nothing() {
        let mut learned = Learned::default();
        let mut work = Work { endpoints: 2, ..Work::default() };
        for second in 1..10_000 {
            // Four replies of an endpoint, some of them very slow.
            work.totals.requests += 8;
            work.replies += 8;
            work.seconds += if second % 7 == 0 { 40.0 } else { 0.01 };
            assert_eq!(learned.read(work, Tick(second * 1_000)), None);
        }
        assert!(learned.knee.curve.is_empty());
        for (asked, took) in [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, f64::NAN), (0.0, 1.0)] {
            learned.knee.look(asked, asked, took, Tick(1));
        }
        assert!(learned.knee.curve.is_empty());
        for load in 0..100_000 {
            learned.knee.look(1.13_f64.powi(load), 1.0, 1.0, Tick(1));
        }
        assert!(learned.knee.curve.len() <= STEPS_MAX as usize + 1, "it is bounded");
    }
}
