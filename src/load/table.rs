//! The reports of all who serve a pool in a region, summed while they are fresh.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Tick;
use crate::model::{Fleet, PoolId, RegionId};

/// A report counts for this long: six times the pace of proxies, so that a lost message or a
/// restart moves nobody.
pub const STALE: Duration = Duration::from_secs(30);
/// A report is forgotten after this long.
const FORGET: Duration = Duration::from_secs(600);
/// Pools times regions: ten times the largest fleet planned for.
const PLACES_MAX: usize = 10_000;
/// Reporters of one pool in one region.
const REPORTERS_MAX: usize = 256;

/// What one reporter says of a pool in its region.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Requests a second.
    pub requests: f64,
    /// Those of them that fail, a second.
    pub errors: f64,
    /// Requests that are not answered to the end.
    pub in_flight: u64,
    /// Requests that wait for a place.
    pub queue: u64,
    /// Requests a second that it can take; `None`: the configuration says, or nobody.
    pub capacity: Option<f64>,
}

impl Sample {
    /// Whether its numbers can be such.
    pub fn is_sound(&self) -> bool {
        // Above any machine there is; what is reported beyond is a mistake.
        let rate = |number: f64| number.is_finite() && (0.0..=1e9).contains(&number);
        rate(self.requests) && rate(self.errors) && self.capacity.is_none_or(|c| rate(c) && c > 0.0)
    }

    /// Both together.
    fn with(&self, other: &Self, capacity: Option<f64>) -> Self {
        Self {
            requests: self.requests + other.requests,
            errors: self.errors + other.errors,
            in_flight: self.in_flight.saturating_add(other.in_flight),
            queue: self.queue.saturating_add(other.queue),
            capacity,
        }
    }
}

/// All fresh reports of a pool in a region.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Their sums.
    pub sum: Sample,
    /// Number of reporters.
    pub reporters: usize,
    /// Age of the oldest of them.
    pub age: Duration,
}

/// There is no room for another reporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Pool and region by name, since reports outlast reloads.
type Key = (String, String);

/// By reporter: what it said last, and when.
type Reports = BTreeMap<String, (Sample, Tick)>;

/// The reports of the whole fleet as far as this node has heard.
#[derive(Debug, Default)]
pub struct Loads {
    /// Locked for a few instructions, by tasks that come once a second each.
    table: Mutex<BTreeMap<Key, Reports>>,
}

impl Loads {
    /// Takes in what `reporter` says of a pool in a region.
    ///
    /// # Errors
    /// When too many report already.
    pub fn report(
        &self,
        pool: &str,
        region: &str,
        reporter: &str,
        sample: Sample,
        now: Tick,
    ) -> Result<(), Full> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (pool.to_owned(), region.to_owned());
        if table.len() >= PLACES_MAX && !table.contains_key(&key) {
            return Err(Full);
        }
        let reports = table.entry(key).or_default();
        reports.retain(|_, (_, at)| now.since(*at) < FORGET);
        if reports.len() >= REPORTERS_MAX && !reports.contains_key(reporter) {
            return Err(Full);
        }
        reports.insert(reporter.to_owned(), (sample, now));
        Ok(())
    }

    /// The load of a pool in a region; `None`: nobody has said anything lately.
    pub fn of(&self, pool: &str, region: &str, now: Tick) -> Option<Load> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        sum(table.get(&(pool.to_owned(), region.to_owned()))?, now)
    }

    /// What a reporter has said lately of the pools in a region.
    pub fn told_by(&self, region: &str, reporter: &str, now: Tick) -> Vec<(String, Sample)> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let own = table.iter().filter(|((_, other), _)| other == region);
        let said = own.filter_map(|((pool, _), reports)| {
            let (sample, at) = reports.get(reporter)?;
            (now.since(*at) < STALE).then(|| (pool.clone(), *sample))
        });
        said.collect()
    }

    /// The load of a pool in a region with that of the pools which its endpoints there depend on:
    /// what passes a region's proxies is reported of the pools behind them.
    pub fn served(&self, fleet: &Fleet, pool: PoolId, region: RegionId, now: Tick) -> Option<Load> {
        let mut pools = vec![pool];
        for (_, endpoint) in fleet.endpoints_of(fleet.pool(pool)) {
            pools.extend(endpoint.depends_on.iter().filter(|_| endpoint.region == region));
        }
        pools.sort_unstable();
        pools.dedup();
        let region = &fleet.region(region).name;
        let known = pools.iter().filter_map(|pool| self.of(&fleet.pool(*pool).name, region, now));
        known.reduce(|sum, other| Load {
            sum: sum.sum.with(&other.sum, None),
            reporters: sum.reporters + other.reporters,
            age: sum.age.max(other.age),
        })
    }

    /// All that is known of pools that exist, by pool and region; the others are forgotten.
    pub fn all(
        &self,
        exists: impl Fn(&str, &str) -> bool,
        now: Tick,
    ) -> Vec<((String, String), Load)> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|(pool, region), reports| {
            reports.retain(|_, (_, at)| now.since(*at) < FORGET);
            !reports.is_empty() && exists(pool, region)
        });
        let known =
            table.iter().filter_map(|(key, reports)| Some((key.clone(), sum(reports, now)?)));
        known.collect()
    }
}

/// The sum of the fresh ones of these reports.
fn sum(reports: &Reports, now: Tick) -> Option<Load> {
    let fresh = reports.values().filter(|(_, at)| now.since(*at) < STALE);
    let add = |load: Load, (sample, at): &(Sample, Tick)| {
        let Load { sum, reporters, age } = load;
        let capacity = match (sum.capacity, sample.capacity) {
            // One that says nothing leaves the whole unknown.
            (Some(sum), Some(own)) => Some(sum + own),
            (_, own) if reporters == 0 => own,
            _ => None,
        };
        Load {
            sum: sum.with(sample, capacity),
            reporters: reporters + 1,
            age: age.max(now.since(*at)),
        }
    };
    let load = fresh.fold(Load::default(), add);
    (load.reporters > 0).then_some(load)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Address, Endpoint, Pool, Region};
    use crate::place::Point;

    fn sample(requests: f64) -> Sample {
        Sample { requests, in_flight: 3, ..Sample::default() }
    }

    #[test]
    fn fresh_reports_of_a_region_add_up_and_old_ones_go() {
        let loads = Loads::default();
        let at = |second: u64| Tick(1_000_000 + second * 1_000);
        let say = |who, requests, second| {
            loads.report("web", "eu", who, sample(requests), at(second)).unwrap();
        };
        let heard = |second| {
            loads.of("web", "eu", at(second)).map(|load| (load.sum.requests, load.reporters))
        };
        assert_eq!(heard(0), None);
        say("a", 100.0, 0);
        say("b", 50.0, 20);
        assert_eq!(heard(20), Some((150.0, 2)));
        say("b", 60.0, 25);
        assert_eq!(heard(29), Some((160.0, 2)), "the last word counts");
        assert_eq!(heard(30), Some((60.0, 1)), "the other one is stale");
        assert_eq!(heard(55), None);
        assert_eq!(loads.of("web", "us", at(25)), None);
        assert_eq!(loads.all(|_, _| true, at(25)).len(), 1);
        assert!(loads.all(|pool, _| pool != "web", at(25)).is_empty());
        assert_eq!(heard(25), None, "a pool that is gone is forgotten");
    }

    #[test]
    fn what_endpoints_depend_on_is_load_of_theirs() {
        let pool = |name: &str, endpoints| Pool {
            name: name.to_owned(),
            monitors: Vec::new(),
            min_up: 0.5,
            capacity: Vec::new(),
            endpoints,
        };
        let endpoint = |pool, region, depends_on: &[u16]| Endpoint {
            pool: PoolId(pool),
            region: RegionId(region),
            address: Address::Ip([192, 0, 2, pool as u8].into()),
            probe: None,
            weight: 100,
            group: None,
            depends_on: depends_on.iter().map(|pool| PoolId(*pool)).collect(),
        };
        let region = |name: &str| Region {
            name: name.to_owned(),
            point: Point { latitude: 0.0, longitude: 0.0 },
            country: None,
            continent: None,
        };
        let fleet = Fleet {
            regions: vec![region("eu"), region("us")],
            pools: vec![pool("apps", 0..2), pool("web", 2..4)],
            endpoints: vec![
                endpoint(0, 0, &[]),
                endpoint(0, 1, &[]),
                endpoint(1, 0, &[0]),
                endpoint(1, 1, &[]),
            ],
            ..Fleet::default()
        };
        let loads = Loads::default();
        for (pool, region, requests) in
            [("apps", "eu", 5.0), ("apps", "us", 7.0), ("web", "eu", 1.0)]
        {
            loads.report(pool, region, "a", sample(requests), Tick(1)).unwrap();
        }
        let served = |pool, region| {
            let load = loads.served(&fleet, PoolId(pool), RegionId(region), Tick(2));
            load.map(|load| load.sum.requests)
        };
        assert_eq!([served(1, 0), served(1, 1), served(0, 0)], [Some(6.0), None, Some(5.0)]);
    }

    #[test]
    fn reporters_are_bounded() {
        let loads = Loads::default();
        let say = |who: usize, at| loads.report("web", "eu", &who.to_string(), sample(1.0), at);
        assert!((0..REPORTERS_MAX).all(|who| say(who, Tick(5)).is_ok()));
        assert_eq!(say(REPORTERS_MAX, Tick(5)), Err(Full));
        assert_eq!(say(0, Tick(6)), Ok(()));
        assert_eq!(say(REPORTERS_MAX, Tick(700_000)), Ok(()), "old ones make room");
    }

    #[test]
    fn numbers_that_cannot_be_are_not_sound() {
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e12] {
            assert!(!sample(bad).is_sound(), "{bad}");
            assert!(!Sample { capacity: Some(bad), ..sample(1.0) }.is_sound(), "{bad}");
        }
        assert!(!Sample { capacity: Some(0.0), ..sample(1.0) }.is_sound());
        assert!(Sample { capacity: Some(0.5), ..sample(0.0) }.is_sound());
    }
}
