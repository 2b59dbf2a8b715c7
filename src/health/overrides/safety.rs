//! What a service would lose by an operator's act.

use std::collections::BTreeSet;

use crate::health::{Action, Forced, Level};
use crate::model::{EndpointId, Model, RegionId, Service};

/// A service that an override would leave with too few regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The service, as a name with its zone.
    pub service: String,
    /// Number of regions that would be left.
    pub left: usize,
    /// Names of the regions that it would lose.
    pub regions: Vec<String>,
}

/// The services that would fall below `[safety] min_regions` when `forced` is in force, judged on
/// the health of the moment, `level`.
///
/// A region counts for a service while it has an endpoint that is up or not judged yet. What is
/// below the minimum already and loses nothing is not counted: an operator must be able to act in
/// an outage. Direct names have one region by their nature and are left out.
pub fn losses(
    model: &Model,
    level: impl Fn(EndpointId) -> Level,
    forced: &[Option<Forced>],
) -> Vec<Loss> {
    let serves = |id: EndpointId| matches!(level(id), Level::Up | Level::Unknown);
    let will_serve = |id: EndpointId| match forced.get(id.0 as usize) {
        Some(Some(forced)) => forced.action == Action::Up,
        _ => serves(id),
    };
    let least = usize::from(model.fleet.safety.min_regions);
    let services = model.zones.iter().flat_map(|zone| &zone.services);
    let lost = |service: &Service| {
        let before = regions(model, service, serves);
        let after = regions(model, service, will_serve);
        if after.len() >= least || after.len() >= before.len() {
            return None;
        }
        let name = |id: &RegionId| model.fleet.region(*id).name.clone();
        let regions = before.difference(&after).map(name).collect();
        Some(Loss { service: service.owner.to_string(), left: after.len(), regions })
    };
    services.filter(|service| service.only.is_none()).filter_map(lost).collect()
}

/// The regions in which a service has an endpoint that serves.
fn regions(
    model: &Model,
    service: &Service,
    serves: impl Fn(EndpointId) -> bool,
) -> BTreeSet<RegionId> {
    let fleet = &model.fleet;
    let endpoints = service.pools.iter().flat_map(|pool| fleet.endpoints_of(fleet.pool(*pool)));
    endpoints.filter(|(id, _)| serves(*id)).map(|(_, endpoint)| endpoint.region).collect()
}
