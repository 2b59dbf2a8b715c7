//! What a simulation shows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::drive::{Part, Spans, Tally};
use super::world::Loads;
use crate::model::{Fleet, PoolId, RegionId};
use crate::steering::HARD;

/// How clients notice, in words.
pub(super) const MODEL: &str = "a resolver asks anew when the TTL of its answer ends; these ends \
    are spread evenly, and no resolver keeps an answer longer";

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Number of clients that were asked for, of each service.
    pub(super) clients: u64,
    /// Number of the prefixes they are in.
    pub(super) prefixes: usize,
    /// Requests a second of all clients; `None`: no capacity is known, and nobody said.
    pub(super) requests: Option<f64>,
    /// Where that number comes from.
    pub(super) requests_from: &'static str,
    /// Where the round trips come from.
    pub(super) latency_from: &'static str,
    /// The regions that fail.
    pub(super) fail: Vec<String>,
    /// By service.
    pub(super) services: Vec<ServiceReport>,
    /// Load of pools, over all services.
    pub(super) pools: Vec<PoolReport>,
    /// What will not do.
    pub(super) warnings: Vec<String>,
}

/// One service.
#[derive(Debug, Serialize)]
pub(super) struct ServiceReport {
    /// Its owner name.
    pub(super) service: String,
    /// Shares of clients by region.
    pub(super) regions: Vec<Share>,
    /// Share of clients who go elsewhere.
    pub(super) moved: f64,
    /// From where to where, the most first.
    pub(super) moves: Vec<Move>,
    /// Share of clients without an answer, before and after.
    pub(super) unanswered: [f64; 2],
    /// All clients.
    pub(super) latency: Latency,
    /// The same by country, the largest first.
    pub(super) countries: Vec<CountryReport>,
    /// When they have moved; `None`: nobody does.
    pub(super) time: Option<Time>,
    /// Shares of clients by milliseconds, before and after; for pictures.
    #[serde(skip)]
    pub(super) curves: [Vec<(u32, f64)>; 2],
}

/// A region's clients.
#[derive(Debug, Serialize)]
pub(super) struct Share {
    pub(super) region: String,
    /// Share of the clients, from 0 to 1.
    pub(super) before: f64,
    pub(super) after: f64,
}

/// Clients who move alike.
#[derive(Debug, Serialize)]
pub(super) struct Move {
    /// `None`: they had no answer.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    /// Share of all clients.
    pub(super) share: f64,
}

/// Round trips in milliseconds, before and after; `None`: nobody has an answer.
#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names)] // Units stand last in names.
pub(super) struct Latency {
    pub(super) median_ms: [Option<u32>; 2],
    pub(super) p95_ms: [Option<u32>; 2],
    pub(super) p99_ms: [Option<u32>; 2],
}

/// A country.
#[derive(Debug, Serialize)]
pub(super) struct CountryReport {
    /// Two letters; `-`: unknown.
    pub(super) country: String,
    /// Share of all clients.
    pub(super) share: f64,
    /// Share of its clients who go elsewhere.
    pub(super) moved: f64,
    #[serde(flatten)]
    pub(super) latency: Latency,
    /// Its clients by region, before and after.
    pub(super) regions: BTreeMap<String, [u64; 2]>,
}

/// How long it takes, in seconds from the failure.
#[derive(Debug, Serialize)]
pub(super) struct Time {
    /// The monitor that finds it last; `None`: nothing is monitored, so it is known at once.
    pub(super) monitor: Option<String>,
    /// When it is found.
    pub(super) found: f64,
    /// When half of those who move have moved.
    pub(super) half: f64,
    /// When nineteen of twenty have.
    pub(super) p95: f64,
    /// When all have.
    pub(super) all: f64,
    /// What is supposed of resolvers.
    pub(super) model: &'static str,
}

/// A pool in one region.
#[derive(Debug, Serialize)]
pub(super) struct PoolReport {
    pub(super) pool: String,
    pub(super) region: String,
    /// Requests a second.
    pub(super) before: f64,
    pub(super) after: f64,
    /// Requests a second that it takes; `None`: nobody has said.
    pub(super) capacity: Option<f64>,
}

impl ServiceReport {
    /// What became of a service's clients.
    pub(super) fn new(service: &str, tally: &Tally, fleet: &Fleet, time: Option<Time>) -> Self {
        let all = tally.all.clients.max(1) as f64;
        let name = |region: &RegionId| fleet.region(*region).name.clone();
        let share = |(region, [before, after]): (&RegionId, &[u64; 2])| Share {
            region: name(region),
            before: *before as f64 / all,
            after: *after as f64 / all,
        };
        let mut moves: Vec<Move> = tally
            .moves
            .iter()
            .map(|((from, to), count)| Move {
                from: from.as_ref().map(name),
                to: to.as_ref().map(name),
                share: *count as f64 / all,
            })
            .collect();
        moves.sort_by(|a, b| b.share.total_cmp(&a.share));
        let country = |(country, part): (&Option<crate::place::Country>, &Part)| CountryReport {
            country: country.map_or_else(|| "-".to_owned(), |country| country.to_string()),
            share: part.clients as f64 / all,
            moved: part.moved as f64 / part.clients.max(1) as f64,
            latency: Latency::of(&part.spans),
            regions: part.regions.iter().map(|(region, counts)| (name(region), *counts)).collect(),
        };
        let populated = tally.countries.iter().filter(|(_, part)| part.clients > 0);
        let mut countries: Vec<CountryReport> = populated.map(country).collect();
        countries.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.country.cmp(&b.country)));
        Self {
            service: service.to_owned(),
            regions: tally.all.regions.iter().map(share).collect(),
            moved: tally.all.moved as f64 / all,
            moves,
            unanswered: tally.all.unanswered.map(|count| count as f64 / all),
            latency: Latency::of(&tally.all.spans),
            countries,
            time: time.filter(|_| !tally.ttls.is_empty()),
            curves: tally.all.spans.each_ref().map(Spans::curve),
        }
    }
}

impl Latency {
    fn of(spans: &[Spans; 2]) -> Self {
        let at = |share: f64| spans.each_ref().map(|spans| spans.quantile(share));
        Self { median_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) }
    }
}

impl Time {
    /// The time to move for those whose answers had these TTLs, once the failure is found.
    pub(super) fn of(ttls: &BTreeMap<u32, u64>, found: f64, monitor: Option<String>) -> Self {
        let total: u64 = ttls.values().sum();
        let moved = |seconds: f64| -> f64 {
            let part = |(ttl, count): (&u32, &u64)| {
                let share = if *ttl == 0 { 1.0 } else { (seconds / f64::from(*ttl)).min(1.0) };
                share * *count as f64
            };
            ttls.iter().map(part).sum::<f64>() / total.max(1) as f64
        };
        let last = f64::from(ttls.keys().max().copied().unwrap_or(0));
        // It only grows, so that halving finds the second.
        let when = |share: f64| {
            let (mut early, mut late) = (0.0, last);
            for _ in 0..50 {
                let middle = f64::midpoint(early, late);
                if moved(middle) < share { early = middle } else { late = middle }
            }
            found + late
        };
        let (half, p95, all) = (when(0.5), when(0.95), found + last);
        Self { monitor, found, half, p95, all, model: MODEL }
    }
}

/// The load of each pool, before and after, and what will not do.
pub(super) fn pools(
    fleet: &Fleet,
    [before, after]: &[Loads; 2],
    failed: &[RegionId],
) -> (Vec<PoolReport>, Vec<String>) {
    let mut places: Vec<(PoolId, RegionId)> = before.keys().chain(after.keys()).copied().collect();
    for (pool, of) in (0..).map(PoolId).zip(&fleet.pools) {
        let used = places.iter().any(|(other, _)| *other == pool);
        places.extend(of.capacity.iter().filter(|_| used).map(|(region, _)| (pool, *region)));
    }
    places.sort_unstable();
    places.dedup();
    let (mut reports, mut warnings) = (Vec::new(), Vec::new());
    for (pool, region) in places {
        let at = |loads: &Loads| loads.get(&(pool, region)).copied().unwrap_or(0.0);
        let capacity = fleet.pool(pool).capacity(region).map(f64::from);
        let report = PoolReport {
            pool: fleet.pool(pool).name.clone(),
            region: fleet.region(region).name.clone(),
            before: at(before),
            after: at(after),
            capacity,
        };
        if !failed.contains(&region) {
            warnings.extend(report.warning());
        }
        reports.push(report);
    }
    (reports, warnings)
}

impl PoolReport {
    /// What is wrong with its load afterwards.
    fn warning(&self) -> Option<String> {
        let Self { pool, region, after, .. } = self;
        let capacity = self.capacity?;
        let percent = after / capacity * 100.0;
        // Chance moves a client or two more than it should.
        (percent > HARD * 100.5).then(|| {
            format!(
                "pool `{pool}` would be full in `{region}`: {after:.0} of {capacity:.0} \
                 requests/s ({percent:.0} %)"
            )
        })
    }
}
