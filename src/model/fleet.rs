//! What all nodes share: regions, monitors, pools and operator networks.

use std::sync::Arc;

use super::{
    Check, Endpoint, EndpointId, Latency, Monitor, MonitorId, PlanMark, Pool, PoolId, Route,
};
use crate::place::{Continent, Country, Point};
use crate::prefix::Prefix;

/// Index into [`Fleet::regions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionId(pub u16);

/// Index into [`Fleet::networks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId(pub u16);

/// A place with coordinates where endpoints serve and probes run.
#[derive(Clone, Debug)]
pub struct Region {
    /// The name in the configuration.
    pub name: String,
    /// Where it is.
    pub point: Point,
    /// Its country, for fences; `None` when only coordinates were given.
    pub country: Option<Country>,
    /// Its continent, for fences; that of the nearest country point when only coordinates were
    /// given.
    pub continent: Option<Continent>,
}

/// An operator's list of clients, which beats the geo database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The name in the configuration.
    pub name: String,
    /// Client prefixes, those of `file` included; the longest that holds a client wins over all
    /// networks.
    pub prefixes: Vec<Prefix>,
    /// Autonomous systems; asked when no prefix of any network holds the client.
    pub asns: Vec<u32>,
    /// Countries; asked last.
    pub countries: Vec<Country>,
    /// The regions these clients prefer, best first.
    pub regions: Vec<RegionId>,
}

/// The fleet.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Regions by name.
    pub regions: Vec<Region>,
    /// Monitors by name.
    pub monitors: Vec<Monitor>,
    /// Pools by name.
    pub pools: Vec<Pool>,
    /// The endpoints of all pools, pool by pool.
    pub endpoints: Vec<Endpoint>,
    /// Networks by name.
    pub networks: Vec<Network>,
    /// The proxy's routes, in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// What keeps health and operators from taking too much out.
    pub safety: Safety,
    /// What is known of round trips, and what is learnt.
    pub latency: Latency,
    /// What the configuration says about itself; `None`: it has no number.
    pub plan: Option<PlanMark>,
}

/// `[safety]`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Safety {
    /// Share of a pool that health alone may remove in one interval, unless votes are unanimous.
    pub max_removed: f64,
    /// Regions that an operator's act must leave a service.
    pub min_regions: u16,
    /// Share of its capacity that an operator's act must leave a service, from 0 to 1.
    pub min_capacity: f64,
    /// Whether an operator's act may take the last record of a type from a service.
    pub last_record: LastRecord,
}

/// What becomes of an act that takes the last A, AAAA or CNAME record from a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRecord {
    /// It is refused: clients of that type would be sent to what was taken out.
    Refuse,
    /// It is done.
    Allow,
}

impl Default for Safety {
    fn default() -> Self {
        let last_record = LastRecord::Refuse;
        Self { max_removed: 0.5, min_regions: 1, min_capacity: 0.0, last_record }
    }
}

impl Fleet {
    /// The region of this id.
    ///
    /// # Panics
    /// When the id is of another model.
    #[allow(clippy::indexing_slicing)] // Ids are made by the resolver from these very vectors.
    pub fn region(&self, id: RegionId) -> &Region {
        &self.regions[usize::from(id.0)]
    }

    /// The monitor of this id.
    ///
    /// # Panics
    /// When the id is of another model.
    #[allow(clippy::indexing_slicing)] // As above.
    pub fn monitor(&self, id: MonitorId) -> &Monitor {
        &self.monitors[usize::from(id.0)]
    }

    /// The pool of this id.
    ///
    /// # Panics
    /// When the id is of another model.
    #[allow(clippy::indexing_slicing)] // As above.
    pub fn pool(&self, id: PoolId) -> &Pool {
        &self.pools[usize::from(id.0)]
    }

    /// The monitors that the health of a pool depends on, each once: those it lists, and before a
    /// calculated one those it is calculated from.
    pub fn watched(&self, pool: &Pool) -> Vec<MonitorId> {
        let mut found = Vec::with_capacity(pool.monitors.len());
        pool.monitors.iter().for_each(|id| self.watch(*id, &mut found));
        found
    }

    fn watch(&self, id: MonitorId, found: &mut Vec<MonitorId>) {
        if found.contains(&id) {
            return;
        }
        // The model has no loops.
        if let Check::Calculated(calculated) = &self.monitor(id).check {
            calculated.of.iter().for_each(|(below, _)| self.watch(*below, found));
        }
        found.push(id);
    }

    /// The endpoint of this id.
    ///
    /// # Panics
    /// When the id is of another model.
    #[allow(clippy::indexing_slicing)] // As above.
    pub fn endpoint(&self, id: EndpointId) -> &Endpoint {
        &self.endpoints[id.0 as usize]
    }

    /// The endpoints of a pool with their ids, in the order of the file.
    pub fn endpoints_of(&self, pool: &Pool) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        let first = pool.endpoints.start;
        let range = first as usize..pool.endpoints.end as usize;
        let endpoints = self.endpoints.get(range).unwrap_or_default();
        (first..).map(EndpointId).zip(endpoints)
    }
}
