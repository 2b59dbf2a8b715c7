//! The method `order`: regions in the order given.

use super::Opinion;
use crate::model::RegionId;

/// Ranks regions by their place in `preferred`; those not named come last, tied.
pub(super) fn opinion(preferred: &[RegionId], regions: &[RegionId]) -> Opinion {
    let rank = |region: &RegionId| {
        let at = preferred.iter().position(|other| other == region);
        at.unwrap_or(preferred.len()) as u16
    };
    let ranks: Box<[u16]> = regions.iter().map(rank).collect();
    // A list that names none of the service's regions, or all its regions alike, tells nothing.
    if ranks.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
        return Opinion::None;
    }
    Opinion::Ranks(ranks)
}
