//! What a service would lose by an operator's act.

use std::collections::BTreeSet;

use crate::health::needs::burdened;
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
/// the health of the moment, `level`, and on what depends on what.
///
/// A region counts for a service while it has an endpoint that is up or not judged yet. What is
/// below the minimum already and loses nothing is not counted: an operator must be able to act in
/// an outage. Direct names have one region by their nature and are left out.
pub fn losses(
    model: &Model,
    level: impl Fn(EndpointId) -> Level,
    forced: &[Option<Forced>],
) -> Vec<Loss> {
    let now: Vec<Level> =
        (0..).map(EndpointId).zip(&model.fleet.endpoints).map(|(id, _)| level(id)).collect();
    let mut then = now.clone();
    let forced = |at: usize| forced.get(at).and_then(Option::as_ref);
    for (at, level) in then.iter_mut().enumerate() {
        *level = match forced(at).map(|forced| forced.action) {
            Some(Action::Up) => Level::Up,
            Some(Action::Down) => Level::Down,
            Some(Action::Drain) => (*level).max(Level::Drained),
            None => *level,
        };
    }
    burdened(&model.fleet, &mut then, |at| forced(at).is_some());
    let serves = |levels: &[Level], id: EndpointId| {
        levels.get(id.0 as usize).is_some_and(|level| *level <= Level::Unknown)
    };
    let least = usize::from(model.fleet.safety.min_regions);
    let services = model.zones.iter().flat_map(|zone| &zone.services);
    let lost = |service: &Service| {
        let before = regions(model, service, |id| serves(&now, id));
        let after = regions(model, service, |id| serves(&then, id));
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
