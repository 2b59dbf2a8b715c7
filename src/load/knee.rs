//! What a pool can take in a region, learnt from how its response time rises with its load.
//!
//! Below the knee of that curve requests hardly notice each other; beyond it they wait for each
//! other. Seconds are sorted by their load onto rungs, each a tenth above the one below; the
//! knee is the lowest rung from which on all the way up requests were slow. Where they were slow
//! everywhere, or not slow under more load, something else than load made them so.

use std::time::Duration;

use super::meter::Totals;
use crate::clock::Tick;

/// From a rung to the next, as a factor.
const STEP: f64 = 1.1;
/// Rungs: up to four million requests a second.
const RUNGS: usize = 160;
/// Seconds after which a rung says something: fewer may be chance.
const SECONDS_LEAST: f64 = 10.0;
/// Seconds that count at most, so that a rung follows what changes.
const SECONDS_MOST: f64 = 60.0;
/// What is known of a rung is worth half after this time, so that quiet hours last for a day.
const HALF_LIFE: Duration = Duration::from_secs(6 * 3_600);
/// Responses are slow beyond so many times those of the fastest rung…
const SLOW: f64 = 3.0;
/// …and so much later, in seconds: less is felt by nobody.
const SLOW_BY: f64 = 0.002;
/// A second in which more of the requests fail says nothing of how long they take.
const ERRORS_MOST: f64 = 0.1;
/// What was learnt is tried to be too little this often.
const RAISE_EVERY: Duration = Duration::from_secs(600);
/// That is tried while the load is no more than so many rungs below, three quarters of it.
const NEAR: usize = 3;

/// What a pool has done and does in a region, as one proxy sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Since the start.
    pub totals: Totals,
    /// Requests that are not answered to the end.
    pub in_flight: u64,
    /// Requests that wait for a place.
    pub queue: u64,
}

/// The weight of a pool's endpoints in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Of those that serve.
    pub serving: u64,
    /// Of all; what was learnt of others is forgotten.
    pub all: u64,
}

/// A load, and how long responses took under it.
#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    /// The logarithm of the geometric mean, in seconds: single late responses weigh little.
    level: f64,
    /// Seconds that count, at `seen`.
    seconds: f64,
    seen: Tick,
}

/// Learns what a pool can take in a region.
#[derive(Clone, Debug, Default)]
pub struct Knee {
    last: Option<(Reading, Tick)>,
    /// Loads are those that all endpoints would have, if only some serve.
    rungs: Vec<Rung>,
    all: u64,
    /// The rung of the knee, and when it was seen, or raised, last.
    found: Option<(usize, Tick)>,
}

impl Knee {
    /// Takes in a reading, a second or so after the last one, and gives the requests a second that
    /// those endpoints can take that serve; `None`: they were never seen at their limit.
    pub fn read(&mut self, reading: Reading, weights: Weights, now: Tick) -> Option<f64> {
        if weights.all != self.all {
            *self = Self { all: weights.all, ..Self::default() };
        }
        if weights.serving == 0 {
            self.last = None;
            return None;
        }
        let part = weights.serving as f64 / weights.all.max(1) as f64;
        let last = self.last.replace((reading, now));
        if let Some((load, response)) = last.and_then(|last| second(last, (reading, now))) {
            self.climb(load / part).take(response, now);
        }
        self.follow(now);
        self.found.map(|(rung, _)| STEP.powf(rung as f64) * part)
    }

    /// The rung of a load.
    fn climb(&mut self, load: f64) -> &mut Rung {
        let at = (load.max(1.0).ln() / STEP.ln()) as usize;
        let at = at.min(RUNGS - 1);
        if self.rungs.len() <= at {
            self.rungs.resize(at + 1, Rung::default());
        }
        #[allow(clippy::indexing_slicing)] // It was made that long.
        &mut self.rungs[at]
    }

    /// Brings what was found up to date.
    fn follow(&mut self, now: Tick) {
        let known = || {
            let known = self.rungs.iter().enumerate();
            known.filter(|(_, rung)| rung.seconds_at(now) >= SECONDS_LEAST)
        };
        let fastest = known().map(|(_, rung)| rung.level.exp()).fold(f64::INFINITY, f64::min);
        let slow = (fastest * SLOW).max(fastest + SLOW_BY).ln();
        let beyond = known().rev().take_while(|(_, rung)| rung.level > slow).last();
        if let Some((knee, _)) = beyond {
            self.found = Some((knee, now));
            return;
        }
        // Nobody has been there for long, as load is kept below; perhaps more can be taken by now.
        let most = known().map(|(at, _)| at).next_back();
        let is_near = |knee: usize| most.is_some_and(|most| most + NEAR >= knee);
        self.found = self.found.map(|(knee, at)| {
            let rises = is_near(knee) && now.since(at) >= RAISE_EVERY && knee + 1 < RUNGS;
            if rises { (knee + 1, now) } else { (knee, at) }
        });
    }
}

impl Rung {
    fn seconds_at(&self, now: Tick) -> f64 {
        let idle = now.since(self.seen).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.seconds * (-idle).exp2()
    }

    fn take(&mut self, response: f64, now: Tick) {
        let seconds = (self.seconds_at(now) + 1.0).min(SECONDS_MOST);
        self.level += (response.max(1e-6).ln() - self.level) / seconds;
        (self.seconds, self.seen) = (seconds, now);
    }
}

/// Requests a second between two readings, and how long responses took; `None`: that says nothing.
fn second((old, from): (Reading, Tick), (new, to): (Reading, Tick)) -> Option<(f64, f64)> {
    let passed = to.since(from).as_secs_f64();
    let (old_totals, totals) = (old.totals, new.totals);
    // What was counted falls when an endpoint goes.
    let requests = totals.requests.checked_sub(old_totals.requests)? as f64;
    let errors = totals.errors.checked_sub(old_totals.errors)? as f64;
    let took = totals.took_us.checked_sub(old_totals.took_us)? as f64 / 1e6;
    if passed <= 0.0 || requests < 1.0 || errors > requests * ERRORS_MOST {
        return None;
    }
    // What came in: when more comes than is answered, it piles up. When the pile is worked off, the
    // answers are the load.
    let pile = |reading: Reading| (reading.in_flight + reading.queue) as f64;
    let came = requests + (pile(new) - pile(old)).max(0.0);
    let waited = new.queue as f64 * passed / requests;
    Some((came / passed, took / requests + waited))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Weights = Weights { serving: 300, all: 300 };

    /// A pool that answers so many a second at most, 20 ms each while nobody waits.
    struct Shop {
        capacity: f64,
        reading: Reading,
        pile: f64,
        now: Tick,
        knee: Knee,
        random: fastrand::Rng,
    }

    impl Shop {
        fn new(capacity: f64, seed: u64) -> Self {
            let random = fastrand::Rng::with_seed(seed);
            let (reading, knee) = (Reading::default(), Knee::default());
            Self { capacity, reading, pile: 0.0, now: Tick(1 << 40), knee, random }
        }

        /// So many seconds under a load.
        fn serve(&mut self, load: f64, seconds: u32, weights: Weights) -> Option<f64> {
            let mut told = None;
            for _ in 0..seconds {
                let noise = 0.9 + 0.2 * self.random.f64();
                let able = self.capacity * weights.serving as f64 / weights.all as f64;
                self.pile = (self.pile + load * noise).min(able * 4.0);
                let done = self.pile.min(able).floor();
                self.pile -= done;
                let busy = (done / able).min(0.99);
                let response = 0.02 * (1.0 + 0.1 * busy / (1.0 - busy)) + self.pile.floor() / able;
                self.reading.totals.requests += done as u64;
                self.reading.totals.took_us += (response * done * 1e6) as u64;
                self.reading.in_flight = self.pile as u64;
                self.now = self.now + Duration::from_millis(900 + self.random.u64(0..200));
                told = self.knee.read(self.reading, weights, self.now);
            }
            told
        }
    }

    #[test]
    fn the_knee_is_found_once_it_is_reached_and_not_before() {
        for (seed, capacity) in (0..).zip([20.0, 80.0, 1_000.0, 50_000.0]) {
            let mut shop = Shop::new(capacity, seed);
            for share in [0.2, 0.5, 0.7, 0.6] {
                assert_eq!(shop.serve(capacity * share, 60, ALL), None, "{capacity}");
            }
            let told = shop.serve(capacity * 1.2, 40, ALL).unwrap() / capacity;
            assert!((0.7..1.15).contains(&told), "{capacity}: {told}");
            // What piled up is worked off, and a quiet night changes nothing.
            let told = shop.serve(capacity * 0.3, 3 * 3_600, ALL).unwrap() / capacity;
            assert!((0.7..1.15).contains(&told), "{capacity} later: {told}");
        }
    }

    #[test]
    fn what_is_slow_for_other_reasons_is_no_knee() {
        let mut shop = Shop::new(100.0, 1);
        shop.serve(60.0, 60, ALL);
        shop.serve(30.0, 60, ALL);
        // A database fails at a load that is usual.
        for _ in 0..120 {
            shop.reading.totals.took_us += 40 * 1_000_000;
            assert_eq!(shop.serve(35.0, 1, ALL), None);
        }
        // Most requests fail, late.
        let mut shop = Shop::new(100.0, 2);
        shop.serve(30.0, 60, ALL);
        for _ in 0..60 {
            shop.reading.totals.errors += 30;
            shop.reading.totals.took_us += 60 * 1_000_000;
            assert_eq!(shop.serve(60.0, 1, ALL), None);
        }
    }

    #[test]
    fn a_pool_with_half_of_its_endpoints_takes_half_and_other_endpoints_are_learnt_anew() {
        let mut shop = Shop::new(100.0, 3);
        shop.serve(50.0, 60, ALL);
        let whole = shop.serve(120.0, 40, ALL).unwrap();
        let half = Weights { serving: 150, ..ALL };
        let told = shop.serve(20.0, 1, half).unwrap();
        assert!((told - whole / 2.0).abs() < 1e-9, "{told} of {whole}");
        assert_eq!(shop.serve(20.0, 1, Weights { serving: 0, ..ALL }), None);
        assert_eq!(shop.serve(20.0, 1, Weights { serving: 400, all: 400 }), None, "all is new");
    }

    #[test]
    fn a_pool_that_can_take_more_is_given_more_by_and_by() {
        let mut shop = Shop::new(100.0, 4);
        shop.serve(50.0, 60, ALL);
        let mut told = shop.serve(120.0, 40, ALL).unwrap();
        let first = told;
        shop.capacity = 200.0;
        // As `spill` does, load is kept at four fifths of what is told.
        for _ in 0..18 {
            told = shop.serve(0.85 * told, 1_800, ALL).unwrap();
        }
        assert!(told > 1.5 * first && told < 250.0, "{told}, {first} at first");
        // Nobody knows whether it could take more while nobody asks for it.
        let before = told;
        assert_eq!(shop.serve(30.0, 6 * 3_600, ALL), Some(before));
    }

    #[test]
    fn requests_that_wait_for_a_place_are_late() {
        let reading = |requests, took_us, queue| Reading {
            totals: Totals { requests, took_us, ..Totals::default() },
            queue,
            ..Reading::default()
        };
        let at = |second: u64| Tick(1_000 * second);
        let old = (reading(100, 0, 50), at(1));
        let (load, response) = second(old, (reading(150, 1_000_000, 100), at(2))).unwrap();
        assert!((load - 100.0).abs() < 1e-9 && (response - 2.02).abs() < 1e-9, "{response}");
        assert_eq!(second(old, (reading(100, 0, 0), at(2))), None, "nothing was answered");
        assert_eq!(second(old, (reading(90, 0, 0), at(2))), None, "an endpoint is gone");
    }
}
