//! The method `proximity`: great-circle distance with a bias per region.

use super::Opinion;
use super::opinion::Bands;
use crate::model::{Fleet, RegionId};
use crate::place::Point;

/// Bands regions by biased distance to the client; no opinion where the client's place is unknown.
pub(super) fn opinion(
    client: Option<Point>,
    bias: &[(RegionId, i8)],
    tolerance: f64,
    regions: &[RegionId],
    fleet: &Fleet,
) -> Opinion {
    let Some(client) = client else { return Opinion::None };
    Opinion::Bands(Bands::new(&distances_km(client, bias, regions, fleet), tolerance))
}

/// Biased distances from the client to each region, in kilometres.
pub(super) fn distances_km(
    client: Point,
    bias: &[(RegionId, i8)],
    regions: &[RegionId],
    fleet: &Fleet,
) -> Vec<f64> {
    let distance = |region: &RegionId| {
        let bias = bias.iter().find(|(other, _)| other == region).map_or(0, |(_, bias)| *bias);
        biased(client.distance_km(fleet.region(*region).point), bias)
    };
    regions.iter().map(distance).collect()
}

/// A positive bias shortens the distance by that many percent; a negative one lengthens it so that
/// `-n` undoes `n`: by 1 / (1 - n %), as Route 53 geoproximity does.
fn biased(distance_km: f64, bias: i8) -> f64 {
    let share = f64::from(bias.unsigned_abs().min(99)) / 100.0;
    if bias >= 0 { distance_km * (1.0 - share) } else { distance_km / (1.0 - share) }
}
