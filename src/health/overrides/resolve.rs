//! Which override decides about each endpoint.

use super::{Override, Scope};
use crate::health::Forced;
use crate::model::Fleet;

/// The override in force on each endpoint, by [`crate::model::EndpointId`].
///
/// Those of this node go before those of the fleet, then the most specific target decides
/// (endpoint, pool in a region, pool, region), then the newest. Nodes with the same overrides and
/// the same fleet find the same, in whatever order the overrides came.
pub fn resolve<'a>(
    overrides: impl IntoIterator<Item = &'a Override>,
    fleet: &Fleet,
) -> Vec<Option<Forced>> {
    let mut ranked: Vec<&Override> = overrides.into_iter().collect();
    ranked.sort_by(|a, b| order(b).cmp(&order(a)));
    let forced: Vec<(&Override, Forced)> = ranked
        .into_iter()
        .map(|one| (one, Forced { action: one.action, words: one.words() }))
        .collect();
    let decides = |endpoint| {
        let found = forced.iter().find(|(one, _)| one.target.meets(fleet, endpoint));
        found.map(|(_, forced)| forced.clone())
    };
    fleet.endpoints.iter().map(decides).collect()
}

/// The greatest decides; the id only breaks ties, so that all nodes agree.
fn order(one: &Override) -> (bool, u8, u64, &str) {
    (one.scope == Scope::Node, one.target.rank(), one.created, &one.id)
}
