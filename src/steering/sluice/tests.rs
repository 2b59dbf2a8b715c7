//! The sluice in a closed loop: clients, resolvers that remember, and measured loads.

use super::*;
use crate::steering::FULL;

const TTL: Duration = Duration::from_secs(30);
const POOL: PoolId = PoolId(0);
const RULE: Spill = Spill { target: 0.8, ramp: 0.1, standby: 0.0 };

/// Regions of equal weight with clients of their own.
struct World {
    sluice: Sluice,
    /// Requests a second of each region's own clients.
    demand: Vec<f64>,
    capacity: Vec<f64>,
    alive: Vec<bool>,
    /// Where resolvers send them by now.
    cached: Vec<Vec<f64>>,
    /// Loads as they are measured.
    load: Vec<f64>,
    second: u64,
    random: fastrand::Rng,
    noise: f64,
    /// Seconds in which clients were moved.
    moves: Vec<u64>,
    /// The highest load of each region, as a share of its capacity, since it was last cleared.
    peak: Vec<f64>,
}

impl World {
    fn new(demand: &[f64], capacity: &[f64]) -> Self {
        let count = demand.len();
        Self {
            sluice: Sluice::default(),
            demand: demand.to_vec(),
            capacity: capacity.to_vec(),
            alive: vec![true; count],
            cached: identity(count),
            load: demand.to_vec(),
            second: 1_000,
            random: fastrand::Rng::with_seed(11),
            noise: 0.0,
            moves: Vec::new(),
            peak: vec![0.0; count],
        }
    }

    /// Lets time pass. Resolvers ask anew evenly over the TTL; a dead region's clients find nobody.
    fn run(&mut self, seconds: u64) {
        let count = self.demand.len();
        for _ in 0..seconds {
            self.second += 1;
            let now = Tick(self.second * 1_000);
            let plain = identity(count);
            let shares = self.sluice.spread().map_or(&plain, |spread| &spread.shares.of);
            for (cached, new) in self.cached.iter_mut().zip(shares) {
                for (cached, new) in cached.iter_mut().zip(new) {
                    *cached += (new - *cached) / TTL.as_secs_f64();
                }
            }
            for region in 0..count {
                let of = self.demand.iter().zip(&self.cached);
                let load: f64 = of.map(|(demand, cached)| demand * cached[region]).sum();
                let noise = 1.0 + self.noise * (self.random.f64() * 2.0 - 1.0);
                let load = if self.alive[region] { load * noise } else { 0.0 };
                self.load[region] += (load - self.load[region]) / 5.0;
                self.peak[region] =
                    self.peak[region].max(self.load[region] / self.capacity[region]);
            }
            let seen = (0..count).map(|at| Seen {
                stance: if self.alive[at] { Stance::Active(FULL) } else { Stance::Gone },
                weight: 100,
                capacity: Some(self.capacity[at]),
                load: Some(self.load[at]),
            });
            let before = self.sluice.spread().map(|spread| spread.shares.clone());
            let changed = self.sluice.step((POOL, seen.collect()), (&RULE, &[]), TTL, now);
            let after = self.sluice.spread().map(|spread| &spread.shares);
            assert!(changed || after == before.as_ref(), "nobody is told");
            // That a region is crowded moves nobody.
            if after != before.as_ref() {
                self.moves.push(self.second);
            }
        }
    }

    fn loads(&self) -> Vec<f64> {
        self.load.iter().zip(&self.capacity).map(|(load, capacity)| load / capacity).collect()
    }
}

fn near(found: &[f64], expected: &[f64], slack: f64) -> bool {
    found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= slack)
}

#[test]
fn nobody_moves_while_all_are_below_their_target() {
    let mut world = World::new(&[70.0, 20.0, 50.0], &[100.0; 3]);
    world.noise = 0.1;
    world.run(3_600);
    assert_eq!(world.moves.len(), 1, "but to begin with: {:?}", world.moves);
    assert!(near(&world.sluice.spread().unwrap().shares.of[0], &[1.0, 0.0, 0.0], 1e-9));
}

#[test]
fn surplus_leaves_bit_by_bit_and_returns_when_there_is_room() {
    let mut world = World::new(&[60.0, 20.0, 50.0], &[100.0; 3]);
    world.run(60);
    world.demand[0] = 95.0;
    world.noise = 0.05;
    world.run(1_200);
    assert!(near(&world.loads(), &[0.8, 0.29, 0.56], 0.05), "{:?}", world.loads());
    let quick = world.moves.windows(2).filter(|pair| pair[1] - pair[0] < 10).count();
    assert_eq!(quick, 0, "{:?}", world.moves);
    let settled = world.moves.len();
    world.run(3_600);
    assert!(world.moves.len() - settled < 40, "{} moves by noise", world.moves.len() - settled);
    world.demand[0] = 40.0;
    world.run(1_800);
    assert!(near(&world.loads(), &[0.4, 0.2, 0.5], 0.05), "{:?}", world.loads());
}

#[test]
fn a_surplus_moves_no_faster_than_the_ramp() {
    let mut world = World::new(&[50.0, 20.0], &[100.0; 2]);
    world.run(60);
    world.demand[0] = 98.0;
    let mut before = 1.0;
    for _ in 0..10 {
        world.run(60);
        let kept = world.sluice.spread().unwrap().shares.of[0][0];
        // A step may fall on either end of a minute.
        assert!(before - kept <= RULE.ramp * 7.0 / 6.0 + 1e-9, "from {before} to {kept}");
        before = kept;
    }
    assert!(before < 0.9, "{before}");
}

#[test]
fn the_load_of_a_dead_region_spreads_by_headroom_and_overruns_nobody() {
    for (case, demand) in [
        ("four alike at 70 %", [70.0; 4]),
        ("four unlike", [70.0, 30.0, 50.0, 80.0]),
        ("already spilling before", [95.0, 20.0, 60.0, 70.0]),
    ] {
        let mut world = World::new(&demand, &[100.0; 4]);
        world.run(900);
        let before = world.loads();
        // Nobody knows for ten seconds, while its load falls to nothing.
        let of_dead = world.load[0];
        let dead = std::mem::take(&mut world.cached[0][0]);
        world.run(10);
        world.cached[0][0] = dead;
        world.alive[0] = false;
        world.peak = vec![0.0; 4];
        world.run(300);
        let room: f64 = (1..4).map(|at| 1.0 - before[at]).sum();
        for (at, before) in before.iter().enumerate().skip(1) {
            let expected = before + of_dead / 100.0 * (1.0 - before) / room;
            let found = world.loads()[at];
            assert!((found - expected).abs() < 0.05, "{case}: {found}, {expected} expected");
            assert!(world.peak[at] <= 1.0, "{case}: {:?}", world.peak);
        }
        world.alive[0] = true;
        world.run(1_200);
        assert!(near(&world.loads(), &before, 0.06), "{case}: {before:?} {:?}", world.loads());
    }
}

#[test]
fn more_than_all_can_take_is_shed_evenly() {
    let mut world = World::new(&[150.0, 30.0], &[100.0, 50.0]);
    world.run(1_800);
    assert!(near(&world.loads(), &[1.2, 1.2], 0.03), "{:?}", world.loads());
    assert!(world.sluice.spread().unwrap().shares.is_full);
}

#[test]
fn without_loads_or_capacities_it_says_nothing() {
    let mut sluice = Sluice::default();
    let seen =
        |capacity, load| vec![Seen { stance: Stance::Active(FULL), weight: 1, capacity, load }; 2];
    let mut step = |capacity, load, second: u64| {
        sluice.step((POOL, seen(capacity, load)), (&RULE, &[]), TTL, Tick(second * 1_000));
        sluice.spread().is_some()
    };
    assert!(!step(Some(9.0), None, 1), "nobody knows their load");
    assert!(!step(None, Some(5.0), 2), "nobody knows what they take");
    assert!(step(Some(9.0), Some(5.0), 3));
    assert!(step(Some(9.0), None, 600), "it may well be as it was");
    assert!(!step(Some(9.0), None, 604), "what is known is too old");
}

#[test]
fn a_region_is_crowded_from_its_target_on_and_until_it_is_clearly_below() {
    let mut sluice = Sluice::default();
    let mut second = 0;
    let mut step = |loads: [Option<f64>; 2]| {
        second += 1;
        let seen =
            |load| Seen { stance: Stance::Active(FULL), weight: 1, capacity: Some(100.0), load };
        let seen = loads.map(seen).to_vec();
        let changed = sluice.step((POOL, seen), (&RULE, &[]), TTL, Tick(second * 1_000));
        (changed, sluice.spread().unwrap().crowded.clone())
    };
    for (case, loads, expected) in [
        ("room", [50.0, 50.0], (true, [false, false])),
        ("the same", [52.0, 50.0], (false, [false, false])),
        ("both near", [79.0, 79.5], (false, [false, false])),
        ("one at its target", [80.0, 79.5], (true, [true, false])),
        ("noise", [78.0, 79.0], (false, [true, false])),
        ("clearly below", [71.0, 79.0], (true, [false, false])),
        ("both at it", [81.0, 82.0], (true, [true, true])),
    ] {
        let (changed, crowded) = step(loads.map(Some));
        assert_eq!((changed, crowded.as_slice()), (expected.0, &expected.1[..]), "{case}");
    }
    assert_eq!(step([None, Some(60.0)]), (true, vec![true, false]), "nobody says");
}
