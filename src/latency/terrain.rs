//! What round trips are to be expected of a client by where it is: through the region nearest to
//! it, whose round trips to the others are known, or by distance alone.

use super::map::LatencyMap;
use super::rtt::Rtt;
use crate::clock::Tick;
use crate::model::{Fleet, RegionId};
use crate::place::{Place, Point, gazetteer};

/// Light in fibre takes this long there and back for a kilometre, in milliseconds: 200,000 km/s.
const FIBRE_MS_PER_KM: f64 = 0.01;
/// Ways are this much longer than great circles.
const DETOUR: f64 = 1.5;
/// What the last mile takes at least, in milliseconds.
const LAST_MILE_MS: f64 = 2.0;
/// Round trip within a region whose own endpoints nobody has probed, in milliseconds.
const LOCAL_MS: f64 = 1.0;
/// The round trip of clients of whom nobody knows where they are, in milliseconds.
const UNPLACED_MS: f64 = 60.0;
/// How far a client may be from where a database puts it, in kilometres.
const PLACE_SLACK_KM: f64 = 300.0;
/// How far it may be when the database knows the country alone.
const COUNTRY_SLACK_KM: f64 = 3_000.0;
/// A measurement may fall below what physics allows by this factor before it is refused.
const PHYSICS_SLACK: f64 = 0.9;

/// What an expectation rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Probes from this region to the endpoints.
    Probes(RegionId),
    /// The imported matrix, from this region.
    Matrix(RegionId),
    /// Distance alone.
    Distance,
}

/// An expected round trip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// In milliseconds.
    pub(super) ms: f64,
    pub(super) basis: Basis,
}

/// The regions of a fleet and the round trips between them.
#[derive(Debug)]
pub(super) struct Terrain {
    points: Vec<Point>,
    /// From each region to each, in rows.
    legs: Vec<Option<(f64, bool)>>,
}

/// A way between regions that was probed, by their names.
#[derive(Clone, Debug)]
pub(super) struct ProbedWay {
    from: String,
    to: String,
    pub(super) settled: Rtt,
}

/// What probes found, the shortest where several nodes of a region probed.
pub(super) fn probed_ways(map: &LatencyMap, now: Tick) -> Vec<ProbedWay> {
    let mut ways: Vec<ProbedWay> = Vec::new();
    for (from, to, cell, _) in map.all_ways(now) {
        match ways.iter_mut().find(|way| way.from == from && way.to == to) {
            Some(way) => way.settled = way.settled.min(cell.settled()),
            None => ways.push(ProbedWay {
                from: from.to_owned(),
                to: to.to_owned(),
                settled: cell.settled(),
            }),
        }
    }
    ways
}

impl Terrain {
    /// The terrain of a fleet: its imported matrix, and over it what was probed.
    pub(super) fn new(fleet: &Fleet, ways: &[ProbedWay]) -> Self {
        let points: Vec<Point> = fleet.regions.iter().map(|region| region.point).collect();
        let count = points.len();
        let mut terrain = Self { points, legs: vec![None; count * count] };
        for leg in &fleet.latency.matrix {
            terrain.set(leg.from, leg.to, (leg.ms, false));
        }
        let named = |name: &str| {
            let at = fleet.regions.iter().position(|region| region.name == name);
            at.map(|at| RegionId(at as u16))
        };
        for way in ways {
            let (Some(from), Some(to)) = (named(&way.from), named(&way.to)) else { continue };
            let ms = way.settled.ms();
            if terrain.is_possible(from, to, ms) {
                terrain.set(from, to, (ms, true));
            }
        }
        terrain
    }

    fn set(&mut self, from: RegionId, to: RegionId, leg: (f64, bool)) {
        let at = usize::from(from.0) * self.points.len() + usize::from(to.0);
        if let Some(slot) = self.legs.get_mut(at) {
            *slot = Some(leg);
        }
    }

    /// Endpoints need not be where their region is, but hardly on another continent.
    fn is_possible(&self, from: RegionId, to: RegionId, ms: f64) -> bool {
        let point = |region: RegionId| self.points.get(usize::from(region.0));
        let (Some(from), Some(to)) = (point(from), point(to)) else { return false };
        ms >= least_ms(from.distance_km(*to), COUNTRY_SLACK_KM)
    }

    fn leg(&self, from: usize, to: usize) -> Option<(f64, bool)> {
        self.legs.get(from * self.points.len() + to).copied().flatten()
    }

    /// What is to be expected of a client at `place`, by region.
    pub(super) fn expected(&self, place: &Place) -> Vec<Expected> {
        let Some(client) = place.point else {
            let unplaced = Expected { ms: UNPLACED_MS, basis: Basis::Distance };
            return vec![unplaced; self.points.len()];
        };
        let distances = self.points.iter().map(|point| client.distance_km(*point));
        let mut near: Vec<(f64, usize)> = distances.zip(0..).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let to = |to: usize| {
            let through = near.iter().find_map(|(distance, from)| {
                let known = self.leg(*from, to);
                let (ms, basis) = match known {
                    Some((ms, true)) => (ms, Basis::Probes(RegionId(*from as u16))),
                    Some((ms, false)) => (ms, Basis::Matrix(RegionId(*from as u16))),
                    None if *from == to => (LOCAL_MS, Basis::Distance),
                    None => return None,
                };
                let through = way_ms(*distance) + ms;
                let direct = self.direct_ms((client, *distance), (*from, to), ms);
                Some(Expected { ms: through.min(direct), basis })
            });
            through.unwrap_or(Expected { ms: UNPLACED_MS, basis: Basis::Distance })
        };
        (0..self.points.len()).map(to).collect()
    }

    /// The round trip of a client to a region over a way that is as much longer than the great
    /// circle as that from another region, `from`, whose round trip is known. It is a client's who
    /// is far from any region: he does not go through the nearest one. Others do, for all we know.
    fn direct_ms(
        &self,
        (client, distance): (Point, f64),
        (from, to): (usize, usize),
        ms: f64,
    ) -> f64 {
        let (Some(from), Some(to)) = (self.points.get(from), self.points.get(to)) else {
            return f64::INFINITY;
        };
        let direct = client.distance_km(*to);
        if distance * 2.0 < direct {
            return f64::INFINITY;
        }
        let stretch = ms / (from.distance_km(*to) * FIBRE_MS_PER_KM).max(f64::MIN_POSITIVE);
        LAST_MILE_MS + direct * FIBRE_MS_PER_KM * stretch.max(DETOUR)
    }

    /// Whether light could have gone from a client at `place` to a region and back in this time.
    pub(super) fn allows(&self, place: &Place, region: RegionId, ms: f64) -> bool {
        let to = self.points.get(usize::from(region.0));
        let (Some(client), Some(to)) = (place.point, to) else { return true };
        let country = place.country.and_then(gazetteer::country);
        let is_rough = country.is_some_and(|country| country.point == client);
        let slack_km = if is_rough { COUNTRY_SLACK_KM } else { PLACE_SLACK_KM };
        ms >= PHYSICS_SLACK * least_ms(client.distance_km(*to), slack_km)
    }
}

/// The least round trip over a distance that may be shorter by `slack_km`.
fn least_ms(distance_km: f64, slack_km: f64) -> f64 {
    (distance_km - slack_km).max(0.0) * FIBRE_MS_PER_KM
}

/// The usual round trip over a distance.
fn way_ms(distance_km: f64) -> f64 {
    LAST_MILE_MS + distance_km * FIBRE_MS_PER_KM * DETOUR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::sample::{fleet, place};
    use crate::model::Leg;

    #[test]
    fn the_nearest_region_that_knows_the_way_vouches_for_it() {
        // Frankfurt, Virginia, Mumbai.
        let mut fleet = fleet();
        let [eu, us, ap] = [0, 1, 2].map(RegionId);
        let berlin = place("DE", 52.5, 13.4);
        let bases = |fleet: &Fleet, ways: &[ProbedWay]| -> Vec<(Basis, u64)> {
            let expected = Terrain::new(fleet, ways).expected(&berlin);
            expected.iter().map(|e| (e.basis, e.ms.round() as u64)).collect()
        };
        let distance = Basis::Distance;
        assert_eq!(bases(&fleet, &[]), [(distance, 9), (distance, 104), (distance, 97)]);
        fleet.latency.matrix = vec![
            Leg { from: eu, to: us, ms: 90.0 },
            Leg { from: eu, to: ap, ms: 150.0 },
            Leg { from: us, to: ap, ms: 250.0 },
        ];
        let matrix = Basis::Matrix(eu);
        assert_eq!(bases(&fleet, &[]), [(distance, 9), (matrix, 98), (matrix, 158)]);
        let way = |from: &str, to: &str, ms| ProbedWay {
            from: from.into(),
            to: to.into(),
            settled: Rtt::from_ms(ms),
        };
        let ways = [
            way("eu", "us", 200.0),
            way("eu", "eu", 0.5),
            way("ap", "us", 1.0),
            way("mars", "us", 5.0),
        ];
        let probes = Basis::Probes(eu);
        assert_eq!(bases(&fleet, &ways), [(probes, 9), (probes, 208), (matrix, 158)]);
        let nowhere = Terrain::new(&fleet, &ways).expected(&Place::default());
        assert!(nowhere.iter().all(|e| e.basis == distance && (e.ms - 60.0).abs() < 1e-9));
    }

    #[test]
    fn light_in_fibre_is_the_limit() {
        let terrain = Terrain::new(&fleet(), &[]);
        let us = RegionId(1);
        let berlin = place("DE", 52.5, 13.4);
        for (ms, possible) in [(50.0, false), (58.0, true), (90.0, true)] {
            assert_eq!(terrain.allows(&berlin, us, ms), possible, "{ms}");
        }
        let germany = gazetteer::country(berlin.country.unwrap()).unwrap().point;
        let germany = Place { point: Some(germany), ..berlin };
        assert!(terrain.allows(&germany, us, 40.0), "it may be anywhere in a country");
        assert!(!terrain.allows(&germany, us, 5.0));
        assert!(terrain.allows(&Place::default(), us, 5.0));
    }
}
