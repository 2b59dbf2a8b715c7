//! The method `nearest`: keeps the best regions and ties them.

use super::opinion::Bands;
use super::{Local, Opinion};
use crate::model::{Fleet, RegionId};
use crate::place::Point;

/// The distances that `tolerance` is measured on; without a tolerance none are needed.
pub(super) fn opinion(
    client: Option<Point>,
    tolerance: f64,
    regions: &[RegionId],
    fleet: &Fleet,
) -> Opinion {
    match client {
        Some(client) if tolerance > 0.0 => {
            super::proximity::opinion(Some(client), &[], tolerance, regions, fleet)
        }
        _ => Opinion::None,
    }
}

/// Ties the first `count` regions, those that tie with the last of them, and those within the
/// tolerance of it; the others follow as they were.
pub(super) fn keep(tiers: Vec<Vec<Local>>, count: u16, bands: Option<&Bands>) -> Vec<Vec<Local>> {
    let mut kept: Vec<Local> = Vec::new();
    let mut rest: Vec<Vec<Local>> = Vec::new();
    for tier in tiers {
        if kept.len() < usize::from(count) {
            kept.extend(tier);
        } else {
            rest.push(tier);
        }
    }
    if let Some(bands) = bands {
        let last = kept.iter().map(|region| bands.position(*region)).max().unwrap_or(0);
        let limit = bands.reach(last);
        for tier in &mut rest {
            kept.extend(tier.extract_if(.., |region| bands.position(*region) <= limit));
        }
        rest.retain(|tier| !tier.is_empty());
    }
    kept.sort_unstable();
    std::iter::once(kept).chain(rest).collect()
}
