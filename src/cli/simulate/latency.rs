//! How far clients are from regions, in milliseconds: measured, or by distance.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::population::Group;
use crate::diagnostic::{Diagnostics, nearest};
use crate::model::{Fleet, RegionId};
use crate::place::{Country, Point};
use crate::rows::Rows;

/// What a client's own access takes, and the servers'.
const ACCESS_MS: f64 = 10.0;
/// Round trip of 100 km: 1 ms in fibre, and cables are half as long again as great circles.
const PER_100_KM_MS: f64 = 1.5;
/// Clients of unknown place are as far away as half around the world is on average.
const UNKNOWN_MS: f64 = ACCESS_MS + 100.0 * PER_100_KM_MS;
/// Longest round trip that is one.
const MS_MAX: f64 = 10_000.0;

/// Round trips between places.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Latencies {
    /// From a country or region to a region.
    known: HashMap<(String, String), f64>,
    /// Where any of them begins.
    vantages: HashSet<String>,
}

impl Latencies {
    /// Reads `from,to,ms`: from a region or a country of two letters, to a region; without a file
    /// those of the fleet's own matrix.
    pub(super) fn read(path: Option<&Path>, fleet: &Fleet) -> Result<Self, Diagnostics> {
        let Some(path) = path else { return Ok(Self::of_matrix(fleet)) };
        let mut rows = Rows::open(path)?;
        let (from, to, ms) =
            (rows.column("from", true), rows.column("to", true), rows.column("ms", true));
        let (Some(from), Some(to)) = (from, to) else { return rows.finish(Self::default()) };
        let regions = || fleet.regions.iter().map(|region| region.name.as_str());
        let mut known = HashMap::new();
        for row in rows.rows() {
            let (from, to) = (row.field(from), row.field(to));
            let country = Country::parse(&from.text).is_some();
            for (field, good) in [(&from, country), (&to, false)] {
                if !good && !regions().any(|name| name == field.text) {
                    let hint = nearest(&field.text, regions())
                        .map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                    rows.mistake(field, format!("unknown region `{}`", field.text), &hint);
                }
            }
            if let Some(ms) = rows.number(&row, ms, (0.0, MS_MAX)) {
                known.insert((from.text, to.text), ms);
            }
        }
        rows.finish(Self::new(known))
    }

    fn new(known: HashMap<(String, String), f64>) -> Self {
        let vantages = known.keys().map(|(from, _)| from.clone()).collect();
        Self { known, vantages }
    }

    fn of_matrix(fleet: &Fleet) -> Self {
        let name = |region: RegionId| fleet.region(region).name.clone();
        let legs = fleet.latency.matrix.iter();
        Self::new(legs.map(|leg| ((name(leg.from), name(leg.to)), leg.ms)).collect())
    }

    /// Whether anything was measured.
    pub(super) fn are_measured(&self) -> bool {
        !self.known.is_empty()
    }

    /// The round trips of a group's clients to all regions.
    pub(in crate::cli) fn of(&self, group: &Group, fleet: &Fleet) -> Vec<f32> {
        let near = group.point.and_then(|point| {
            let km = |region: &crate::model::Region| point.distance_km(region.point);
            let measured = fleet.regions.iter().filter(|r| self.vantages.contains(&r.name));
            let near = measured.min_by(|a, b| km(a).total_cmp(&km(b)));
            near.map(|region| (region, km(region)))
        });
        let to = |region: &crate::model::Region| {
            let country = group.country.map(|country| country.as_str().to_owned());
            let own = country.and_then(|c| self.known.get(&(c, region.name.clone())));
            if let Some(ms) = own {
                return *ms;
            }
            let over = near.and_then(|(near, km)| {
                let ms = self.known.get(&(near.name.clone(), region.name.clone()))?;
                Some(ms + km / 100.0 * PER_100_KM_MS + ACCESS_MS)
            });
            over.unwrap_or_else(|| by_distance(group.point, region.point))
        };
        fleet.regions.iter().map(|region| to(region) as f32).collect()
    }
}

fn by_distance(client: Option<Point>, region: Point) -> f64 {
    let Some(client) = client else { return UNKNOWN_MS };
    ACCESS_MS + client.distance_km(region) / 100.0 * PER_100_KM_MS
}

/// Where a round trip of this region stands among those of all.
pub(super) fn to(all: &[f32], region: RegionId) -> f32 {
    all.get(usize::from(region.0)).copied().unwrap_or(0.0)
}
