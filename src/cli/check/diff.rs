//! `check --diff`: which clients get other answers from another configuration.

mod statics;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::explain::supposed_health;
use crate::cli::simulate::{
    Given, Group, Latencies, Progress, World, apportion, read_population, usual_load,
};
use crate::clock::Tick;
use crate::diagnostic::Diagnostics;
use crate::model::{Fleet, RegionId};
use crate::place::Country;
use crate::snapshot::{Loaded, ServiceAnswers};
use crate::steering::mix;

/// What chance is drawn from: the same clients draw the same in both configurations.
const SEED: u64 = 1;

/// Who gets other answers.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    /// Number of clients that were asked for, of each service.
    pub(super) clients: u64,
    /// Number of the prefixes they are in.
    pub(super) prefixes: usize,
    /// Services of the first configuration alone.
    pub(super) gone: Vec<String>,
    /// Services of the second alone.
    pub(super) new: Vec<String>,
    /// Static records that differ, as name and type; without those of SOA.
    pub(super) records: Vec<String>,
    /// Services whose answers differ, the worst first.
    pub(super) services: Vec<ServiceDifference>,
}

/// One service.
#[derive(Debug, Serialize)]
pub(super) struct ServiceDifference {
    /// Its owner name.
    pub(super) service: String,
    /// Share of the clients who get another answer, from 0 to 1.
    pub(super) changed: f64,
    /// Share of those who get one of another region, or none.
    pub(super) moved: f64,
    /// From where to where, the worst first.
    pub(super) moves: Vec<MoveDifference>,
    /// The countries whose clients get other answers, the worst first.
    pub(super) countries: Vec<CountryDifference>,
}

/// Clients whose answers change alike.
#[derive(Debug, Serialize)]
pub(super) struct MoveDifference {
    /// The region; null: they had no answer.
    pub(super) from: Option<String>,
    /// The same region: they get another of its addresses.
    pub(super) to: Option<String>,
    /// Share of all clients.
    pub(super) share: f64,
    /// By how much their mean round trip grows, in milliseconds; null: one answer is none.
    pub(super) added_ms: Option<f64>,
}

/// One country.
#[derive(Debug, Serialize)]
pub(super) struct CountryDifference {
    /// Two letters; `-`: unknown.
    pub(super) country: String,
    /// Share of all clients.
    pub(super) share: f64,
    /// Share of its clients who get another answer.
    pub(super) changed: f64,
    /// Share of its clients who had an answer and get none.
    pub(super) lost: f64,
    /// By how much the mean round trip of those with other answers grows, in milliseconds; null:
    /// none of them has an answer in both.
    pub(super) added_ms: Option<f64>,
}

/// Who asks.
pub(super) struct Asking<'a> {
    /// A file of prefixes; `None`: the sample of the world's clients.
    pub(super) population: Option<&'a Path>,
    /// Number of clients of each service.
    pub(super) clients: u64,
}

/// A configuration as clients see it.
struct Side {
    world: World,
    fleet: Fleet,
    /// Round trips to its regions, by group of clients.
    far: Vec<Vec<f32>>,
}

/// Compares what clients get from two configurations while everything is up.
///
/// # Errors
/// When the population has mistakes.
pub(super) fn difference(
    before: Loaded,
    after: Loaded,
    asking: &Asking<'_>,
    now: Tick,
) -> Result<Difference, Diagnostics> {
    let groups = read_population(asking.population, &before.ground)?;
    let counts = apportion(&groups, asking.clients);
    let records = statics::changed(&before, &after);
    let sides = [before, after].map(|loaded| Side::new(loaded, &groups, &counts, now));
    let [old, new] = sides.each_ref().map(|side| {
        let services = side.world.services().into_iter();
        let named = services.map(|answers| (answers.name().to_owned(), answers));
        named.collect::<BTreeMap<String, Arc<ServiceAnswers>>>()
    });
    let both: Vec<&String> = old.keys().filter(|name| new.contains_key(*name)).collect();
    let mut progress = Progress::new(counts.iter().sum::<u64>() * both.len() as u64);
    let mut services = Vec::new();
    for name in &both {
        let (Some(one), Some(other)) = (old.get(*name), new.get(*name)) else { continue };
        let clients = (groups.as_slice(), counts.as_slice());
        let tally = drive(clients, &sides, (one, other), |count| progress.add(count));
        services.extend(tally.report(name, &sides));
    }
    progress.finish();
    services.sort_by(|a, b| b.harm().total_cmp(&a.harm()).then(a.service.cmp(&b.service)));
    let alone = |one: &BTreeMap<String, _>, other: &BTreeMap<String, _>| -> Vec<String> {
        one.keys().filter(|name| !other.contains_key(*name)).cloned().collect()
    };
    Ok(Difference {
        clients: asking.clients,
        prefixes: groups.len(),
        gone: alone(&old, &new),
        new: alone(&new, &old),
        records,
        services,
    })
}

impl Side {
    fn new(loaded: Loaded, groups: &[Group], counts: &[u64], now: Tick) -> Self {
        let fleet = loaded.model.fleet.clone();
        let latencies = Latencies::default();
        let far = groups.iter().map(|group| latencies.of(group, &fleet)).collect();
        let health = supposed_health(&loaded, &[]);
        let mut world = World::new(loaded, health, now);
        // Where clients spill depends on the load that there usually is.
        let loads = usual_load(&world, &fleet, groups, counts, SEED);
        world.load(&loads, now);
        Self { world, fleet, far }
    }

    fn name(&self, region: Option<RegionId>) -> Option<String> {
        region.map(|region| self.fleet.region(region).name.clone())
    }

    /// The round trip of a group's clients to a region.
    fn ms(&self, group: usize, region: RegionId) -> Option<f64> {
        let of = self.far.get(group)?.get(usize::from(region.0))?;
        Some(f64::from(*of))
    }
}

/// Clients whose answers change.
#[derive(Clone, Copy, Debug, Default)]
struct Changed {
    clients: u64,
    /// Those with an answer before and after.
    answered: u64,
    /// Those with an answer before alone.
    lost: u64,
    /// By how much the round trips of those with both grow, in all.
    added_ms: f64,
}

/// The regions before and after.
type Way = (Option<RegionId>, Option<RegionId>);

/// What became of all clients of a service.
#[derive(Debug, Default)]
struct Tally {
    clients: u64,
    moves: BTreeMap<Way, Changed>,
    /// With the number of all clients.
    countries: BTreeMap<Option<Country>, (u64, Changed)>,
}

/// Drives the clients through both configurations.
fn drive(
    (groups, counts): (&[Group], &[u64]),
    [before, after]: &[Side; 2],
    (one, other): (&ServiceAnswers, &ServiceAnswers),
    mut progress: impl FnMut(u64),
) -> Tally {
    let mut tally = Tally::default();
    for (at, (group, count)) in groups.iter().zip(counts).enumerate() {
        let (all, country) = tally.countries.entry(group.country).or_default();
        *all += count;
        tally.clients += count;
        for number in 0..*count {
            let draw = mix(mix(SEED, at as u64), number);
            let address = group.address(draw);
            let old = before.world.ask(one, address, draw);
            let new = after.world.ask(other, address, draw);
            if old.first == new.first && old.to.is_some() == new.to.is_some() {
                continue;
            }
            let region = |given: Given| given.to.map(|(_, region)| region);
            let way = (region(old), region(new));
            let far = (
                way.0.and_then(|region| before.ms(at, region)),
                way.1.and_then(|region| after.ms(at, region)),
            );
            country.add(far);
            tally.moves.entry(way).or_default().add(far);
        }
        progress(*count);
    }
    tally
}

impl Changed {
    fn add(&mut self, far: (Option<f64>, Option<f64>)) {
        self.clients += 1;
        match far {
            (Some(before), Some(after)) => {
                self.answered += 1;
                self.added_ms += after - before;
            }
            (Some(_), None) => self.lost += 1,
            (None, _) => {}
        }
    }

    /// By how much the mean round trip grows, to a tenth of a millisecond.
    fn mean(&self) -> Option<f64> {
        (self.answered > 0).then(|| (self.added_ms / self.answered as f64 * 10.0).round() / 10.0)
    }
}

impl Tally {
    /// What is told of a service; `None`: nobody gets another answer.
    fn report(&self, service: &str, [before, after]: &[Side; 2]) -> Option<ServiceDifference> {
        let all = self.clients.max(1) as f64;
        let changed: u64 = self.moves.values().map(|part| part.clients).sum();
        if changed == 0 {
            return None;
        }
        let mut moves: Vec<MoveDifference> = self
            .moves
            .iter()
            .map(|((from, to), part)| MoveDifference {
                from: before.name(*from),
                to: after.name(*to),
                share: part.clients as f64 / all,
                added_ms: part.mean(),
            })
            .collect();
        moves.sort_by(|a, b| b.harm().total_cmp(&a.harm()).then(b.share.total_cmp(&a.share)));
        // A sum of nothing is a negative zero.
        let moved = moves.iter().filter(|one| one.from != one.to).map(|one| one.share);
        let moved = moved.fold(0.0, |sum, share| sum + share);
        let concerned = self.countries.iter().filter(|(_, (_, part))| part.clients > 0);
        let mut countries: Vec<CountryDifference> = concerned
            .map(|(country, (clients, part))| CountryDifference {
                country: country.map_or_else(|| "-".to_owned(), |country| country.to_string()),
                share: *clients as f64 / all,
                changed: part.clients as f64 / (*clients).max(1) as f64,
                lost: part.lost as f64 / (*clients).max(1) as f64,
                added_ms: part.mean(),
            })
            .collect();
        countries.sort_by(|a, b| {
            let number = |one: &CountryDifference| one.share * one.changed;
            b.harm().total_cmp(&a.harm()).then(number(b).total_cmp(&number(a)))
        });
        let changed = changed as f64 / all;
        Some(ServiceDifference { service: service.to_owned(), changed, moved, moves, countries })
    }
}

/// A client without an answer is as bad as one who waits so many milliseconds longer.
const LOST_MS: f64 = 10_000.0;

impl ServiceDifference {
    fn harm(&self) -> f64 {
        self.moves.iter().map(|one| one.harm().max(0.0)).sum()
    }
}

impl MoveDifference {
    /// How bad it is: by how much the mean round trip of all clients grows, in milliseconds.
    fn harm(&self) -> f64 {
        let lost = if self.from.is_some() && self.to.is_none() { LOST_MS } else { 0.0 };
        self.share * self.added_ms.unwrap_or(lost)
    }
}

impl CountryDifference {
    fn harm(&self) -> f64 {
        let late = (self.changed - self.lost) * self.added_ms.unwrap_or(0.0);
        self.share * (self.lost * LOST_MS + late)
    }
}

impl Difference {
    /// Whether nobody gets another answer.
    pub(super) fn is_empty(&self) -> bool {
        let lists = [&self.gone, &self.new, &self.records];
        self.services.is_empty() && lists.into_iter().all(Vec::is_empty)
    }
}
