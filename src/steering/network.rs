//! The method `network`: the operator's own lists of clients.

use super::Opinion;
use crate::model::{Network, RegionId};

/// Ranks the regions in the order of the network the client is in; regions it does not name come
/// after, tied.
pub(super) fn opinion(network: Option<&Network>, regions: &[RegionId]) -> Opinion {
    network.map_or(Opinion::None, |network| super::order::opinion(&network.regions, regions))
}
