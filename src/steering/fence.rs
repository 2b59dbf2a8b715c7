//! The method `fence`: clients stay in their country, continent or network.

use super::Opinion;
use crate::model::{Fence, Fleet, NetworkId, RegionId};
use crate::place::Place;

/// Ranks regions inside the client's fence before all others. A client whose fence is not known is
/// not fenced, also when the fence is strict: it could only be refused for our lack of data.
pub(super) fn opinion(
    by: Fence,
    strict: bool,
    place: &Place,
    network: Option<NetworkId>,
    regions: &[RegionId],
    fleet: &Fleet,
) -> Opinion {
    let inside: Vec<bool> = match (by, place.country, place.continent) {
        (Fence::Country, Some(country), _) => {
            regions.iter().map(|region| fleet.region(*region).country == Some(country)).collect()
        }
        (Fence::Continent, _, Some(continent)) => regions
            .iter()
            .map(|region| fleet.region(*region).continent == Some(continent))
            .collect(),
        (Fence::Network(fenced), ..) if network == Some(fenced) => {
            let network = fleet.networks.get(usize::from(fenced.0));
            let named = |region| network.is_some_and(|network| network.regions.contains(region));
            regions.iter().map(named).collect()
        }
        _ => return Opinion::None,
    };
    let ranks = inside.iter().map(|inside| u16::from(!inside)).collect();
    if strict {
        return Opinion::Strict(ranks);
    }
    if inside.iter().all(|other| Some(other) == inside.first()) {
        return Opinion::None;
    }
    Opinion::Ranks(ranks)
}
