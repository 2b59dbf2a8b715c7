//! Clients driven through the answers of a service, before and after.

use std::collections::BTreeMap;

use super::latency::to;
use super::population::Group;
use super::world::{Given, Loads, World};
use crate::model::{PoolId, RegionId};
use crate::place::Country;
use crate::snapshot::ServiceAnswers;
use crate::steering::mix;

/// Milliseconds that are told apart.
const MS_MAX: usize = 1_000;

/// The clients.
pub(super) struct Clients<'a> {
    /// By prefix.
    pub(super) groups: &'a [Group],
    /// How many of each.
    pub(super) counts: &'a [u64],
    /// Their round trips to the regions, by group.
    pub(super) latencies: &'a [Vec<f32>],
    /// What chance is drawn from.
    pub(super) seed: u64,
}

/// How far clients are from where they go, in whole milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    counts: Vec<u32>,
    total: u64,
}

/// The clients of a country, or all.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// All of them.
    pub(super) clients: u64,
    /// Those who go elsewhere afterwards.
    pub(super) moved: u64,
    /// By region, before and after.
    pub(super) regions: BTreeMap<RegionId, [u64; 2]>,
    /// Before and after.
    pub(super) spans: [Spans; 2],
    /// Who has no answer, before and after.
    pub(super) unanswered: [u64; 2],
}

/// What became of all clients of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// All of them.
    pub(super) all: Part,
    /// By country.
    pub(super) countries: BTreeMap<Option<Country>, Part>,
    /// Clients by where they go, before and after.
    pub(super) places: [BTreeMap<(PoolId, RegionId), u64>; 2],
    /// Who moves: from where to where.
    pub(super) moves: BTreeMap<(Option<RegionId>, Option<RegionId>), u64>,
    /// TTLs of the answers before, of those who move.
    pub(super) ttls: BTreeMap<u32, u64>,
}

/// A state of the fleet with a service in it.
pub(super) type Side<'a> = (&'a World, &'a ServiceAnswers);

/// Drives the clients; `progress` is told of each that is done.
pub(super) fn drive(
    clients: &Clients<'_>,
    before: Side<'_>,
    after: Side<'_>,
    mut progress: impl FnMut(u64),
) -> Tally {
    let mut tally = Tally::default();
    let groups = clients.groups.iter().zip(clients.counts).zip(clients.latencies).enumerate();
    for (at, ((group, count), latencies)) in groups {
        let part = tally.countries.entry(group.country).or_default();
        for number in 0..*count {
            let draw = mix(mix(clients.seed, at as u64), number);
            let address = group.address(draw);
            let given = [before, after].map(|(world, answers)| world.ask(answers, address, draw));
            tally.all.add(given, latencies);
            part.add(given, latencies);
            for (places, given) in tally.places.iter_mut().zip(given) {
                if let Some(place) = given.to {
                    *places.entry(place).or_default() += 1;
                }
            }
            let [from, to] = given.map(|given| given.to.map(|(_, region)| region));
            if from != to {
                *tally.moves.entry((from, to)).or_default() += 1;
                let [Given { ttl, .. }, _] = given;
                *tally.ttls.entry(ttl).or_default() += 1;
            }
        }
        progress(*count);
    }
    tally
}

/// The load of each place when every client of a service makes so many requests a second.
pub(super) fn add_loads(
    world: &World,
    answers: &ServiceAnswers,
    clients: &Clients<'_>,
    each: f64,
    loads: &mut Loads,
) {
    let groups = clients.groups.iter().zip(clients.counts).enumerate();
    for (at, (group, count)) in groups {
        for number in 0..*count {
            let draw = mix(mix(clients.seed, at as u64), number);
            if let Some(place) = world.ask(answers, group.address(draw), draw).to {
                *loads.entry(place).or_default() += each;
            }
        }
    }
}

impl Part {
    fn add(&mut self, given: [Given; 2], latencies: &[f32]) {
        self.clients += 1;
        let regions = given.map(|given| given.to.map(|(_, region)| region));
        let [from, to_region] = regions;
        self.moved += u64::from(from != to_region);
        for (side, region) in regions.into_iter().enumerate() {
            let Some(region) = region else {
                if let Some(count) = self.unanswered.get_mut(side) {
                    *count += 1;
                }
                continue;
            };
            let counts = self.regions.entry(region).or_default();
            if let Some(count) = counts.get_mut(side) {
                *count += 1;
            }
            if let Some(spans) = self.spans.get_mut(side) {
                spans.add(to(latencies, region));
            }
        }
    }
}

impl Default for Spans {
    fn default() -> Self {
        Self { counts: vec![0; MS_MAX + 1], total: 0 }
    }
}

impl Spans {
    fn add(&mut self, ms: f32) {
        let at = (ms.max(0.0).round() as usize).min(MS_MAX);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
            self.total += 1;
        }
    }

    /// The round trip that this share of the clients does not exceed; `None`: there are none.
    pub(super) fn quantile(&self, share: f64) -> Option<u32> {
        let wanted = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut sum = 0;
        let at = self.counts.iter().position(|count| {
            sum += u64::from(*count);
            sum >= wanted
        });
        at.filter(|_| self.total > 0).map(|at| at as u32)
    }

    /// The shares of clients that do not exceed each millisecond.
    pub(super) fn curve(&self) -> Vec<(u32, f64)> {
        let mut sum = 0;
        let point = |(ms, count): (u32, &u32)| {
            sum += u64::from(*count);
            (ms, sum as f64 / self.total.max(1) as f64)
        };
        (0..).zip(&self.counts).map(point).collect()
    }
}
