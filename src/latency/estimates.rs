//! What the map says at one moment, made to be looked up and shared.

use std::collections::BTreeMap;

use foldhash::HashSet;

use super::client::Client;
use super::map::{LatencyMap, Reporter};
use super::means::Means;
use super::rtt::Rtt;
use super::store::{Known, ReporterId};
use super::terrain::{ProbedWay, Terrain, probed_ways};
use crate::clock::Tick;
use crate::geo::Ground;
use crate::model::{Fleet, RegionId};

/// A reporter is not believed when it contradicts physics for more than half of at least as many
/// clients.
const DISTRUST_FROM: u32 = 20;

/// What the map says at one moment. It names regions, so that it outlives a reload.
#[derive(Debug, Default)]
pub struct Estimates {
    /// Names of the regions that were measured to.
    pub(super) regions: Vec<String>,
    /// By client, then region.
    pub(super) known: Box<[Known]>,
    pub(super) ways: Vec<ProbedWay>,
    pub(super) means: Means,
    facts: Facts,
}

/// What was found while estimates were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Clients that something was measured of.
    pub clients: u64,
    /// Measurements that contradict physics, by the region that reports them.
    pub contradictions: BTreeMap<String, u64>,
    /// Reporters of whom so many do that none of theirs is believed.
    pub distrusted: Vec<Reporter>,
}

/// One measurement with its place in the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    client: Client,
    region: u16,
    settled: Rtt,
    samples: u16,
    age_s: u32,
    reporter: ReporterId,
}

impl Estimates {
    /// What a map says now of the clients of a fleet. `before` is what was told last.
    pub fn new(map: &LatencyMap, fleet: &Fleet, ground: &Ground, before: &Self, now: Tick) -> Self {
        let (regions, region_of) = regions(map);
        let ways = probed_ways(map, now);
        let terrain = Terrain::new(fleet, &ways);
        let ids: Vec<Option<RegionId>> = regions.iter().map(|name| named(fleet, name)).collect();
        let id = |region: u16| ids.get(usize::from(region)).copied().flatten();
        let mut rows: Vec<Row> = Vec::with_capacity(map.len());
        for (reporter, entry, age) in map.all(now) {
            let Some(region) = region_of.get(usize::from(reporter)) else { continue };
            rows.push(Row {
                client: entry.client,
                region: *region,
                settled: entry.cell.settled(),
                samples: entry.cell.samples(),
                age_s: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
                reporter,
            });
        }
        let possible = |row: &Row| {
            let place = ground.client(row.client.prefix().address()).place;
            id(row.region).is_none_or(|region| terrain.allows(place, region, row.settled.ms()))
        };
        let mut facts = believe(&mut rows, map, &regions, possible);
        rows.sort_unstable();
        let known: Box<[Known]> = rows
            .chunk_by(|a, b| (a.client, a.region) == (b.client, b.region))
            .filter_map(merged)
            .collect();
        facts.clients = known.chunk_by(|a, b| a.number() == b.number()).count() as u64;
        let mut means = Means::default();
        for of_client in known.chunk_by(|a, b| a.number() == b.number()) {
            let client = of_client.first().and_then(|k| Client::from_number(k.number()).ok());
            let Some(client) = client else { continue };
            let place = ground.client(client.prefix().address()).place;
            let expected = terrain.expected(place);
            for one in of_client {
                let Some(region) = id(one.region) else { continue };
                let Some(expected) = expected.get(usize::from(region.0)) else { continue };
                means.add(client, place, region, one.settled.ms() - expected.ms);
            }
        }
        means.settle(&before.means);
        Self { regions, known, ways, means, facts }
    }

    /// What was found on the way.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether nothing was measured at all.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.ways.is_empty()
    }

    /// Clients that something was measured of, in ascending order: all of IPv4 come first.
    pub fn clients(&self) -> impl Iterator<Item = Client> {
        let of_clients = self.known.chunk_by(|a, b| a.number() == b.number());
        of_clients.filter_map(|of| Client::from_number(of.first()?.number()).ok())
    }

    /// What was measured of a client.
    pub(super) fn of(&self, client: Client) -> &[Known] {
        let number = client.number();
        let start = self.known.partition_point(|known| known.number() < number);
        let rest = self.known.get(start..).unwrap_or_default();
        let end = rest.iter().take_while(|known| known.number() == number).count();
        rest.get(..end).unwrap_or_default()
    }

    /// Octets of memory in use.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.known) + self.means.bytes()
    }
}

/// The region of this name.
pub(super) fn named(fleet: &Fleet, name: &str) -> Option<RegionId> {
    let at = fleet.regions.iter().position(|region| region.name == name);
    at.map(|at| RegionId(at as u16))
}

/// Names of the regions of reporters, and the region of each reporter among them.
fn regions(map: &LatencyMap) -> (Vec<String>, Vec<u16>) {
    let mut names: Vec<String> = map.reporters().map(|r| r.region.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let place = |reporter: &Reporter| names.binary_search(&reporter.region).unwrap_or(0) as u16;
    let places = map.reporters().map(place).collect();
    (names, places)
}

/// Leaves out what contradicts physics, and all of those who do so often.
fn believe(
    rows: &mut Vec<Row>,
    map: &LatencyMap,
    regions: &[String],
    possible: impl Fn(&Row) -> bool,
) -> Facts {
    let mut facts = Facts::default();
    let mut counts: Vec<(u32, u32)> = vec![(0, 0); map.reporters().count()];
    rows.retain(|row| {
        let possible = possible(row);
        if let Some((all, contrary)) = counts.get_mut(usize::from(row.reporter)) {
            *all += 1;
            *contrary += u32::from(!possible);
        }
        if !possible {
            let region = regions.get(usize::from(row.region)).cloned().unwrap_or_default();
            *facts.contradictions.entry(region).or_default() += 1;
        }
        possible
    });
    let distrusted: HashSet<ReporterId> = (0..)
        .zip(&counts)
        .filter(|(_, (all, contrary))| *contrary >= DISTRUST_FROM && contrary * 2 > *all)
        .map(|(id, _)| id)
        .collect();
    rows.retain(|row| !distrusted.contains(&row.reporter));
    let who = (0..).zip(map.reporters()).filter(|(id, _)| distrusted.contains(id));
    facts.distrusted = who.map(|(_, reporter)| reporter.clone()).collect();
    facts
}

/// What the reporters of one region say together of a client: the upper median, so that fewer than
/// half of them, or one of two, cannot make a region look nearer than it is.
fn merged(rows: &[Row]) -> Option<Known> {
    // Rows are in the order of what is settled on.
    let row = rows.get(rows.len() / 2)?;
    let samples = rows.iter().map(|row| row.samples).fold(0, u16::saturating_add);
    let age_s = rows.iter().map(|row| row.age_s).min()?;
    Some(Known::new(row.client, row.region, row.settled, samples, age_s))
}
