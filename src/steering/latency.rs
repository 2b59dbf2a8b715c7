//! The method `latency`: measured round trips.

use super::Opinion;
use super::opinion::Bands;
use crate::latency::{Estimate, is_known};
use crate::model::RegionId;

/// Round trips that differ by less than this tie whatever the tolerance: nobody feels it.
const TIE_MS: f64 = 2.0;
/// Regions that are told apart; who is sent to a later one has lost all of these.
const RANKED: usize = 4;

/// Bands regions by estimated round trip; no opinion where nothing but distance is known. The
/// estimates are those of all regions of the fleet.
pub(super) fn opinion(estimates: &[Estimate], tolerance: f64, regions: &[RegionId]) -> Opinion {
    let of = |region: &RegionId| estimates.get(usize::from(region.0)).copied();
    let Some(own) = regions.iter().map(of).collect::<Option<Vec<Estimate>>>() else {
        return Opinion::None;
    };
    if !is_known(&own) {
        return Opinion::None;
    }
    let round_trips: Vec<f64> = own.iter().map(|estimate| estimate.ms).collect();
    let limit = |near: f64| (near * (1.0 + tolerance)).max(near + TIE_MS);
    Opinion::Bands(Bands::with(&round_trips, limit).first(RANKED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Source;

    #[test]
    fn round_trips_rank_regions_and_nothing_measured_says_nothing() {
        let estimate = |ms, source| Estimate { ms, source, samples: 9, hours: 0 };
        let (known, distance) = (Source::Prefix, Source::Distance);
        let all = [0, 1, 2].map(RegionId);
        let split = |estimates: &[Estimate], tolerance| match opinion(estimates, tolerance, &all) {
            Opinion::Bands(bands) => bands.split(&[0, 1, 2]),
            _ => Vec::new(),
        };
        let [a, b, c] = [30.0, 20.0, 90.0].map(|ms| estimate(ms, known));
        assert_eq!(split(&[a, b, c], 0.0), [vec![1], vec![0], vec![2]]);
        assert_eq!(split(&[a, b, c], 0.5), [vec![1, 0], vec![2]]);
        let near = estimate(21.9, known);
        assert_eq!(split(&[near, b, c], 0.0), [vec![1, 0], vec![2]], "within 2 ms");
        let guess = estimate(25.0, distance);
        assert_eq!(split(&[guess, b, c], 0.0), [vec![1], vec![0], vec![2]]);
        assert!(split(&[guess; 3], 0.0).is_empty(), "distance is another method's matter");
        assert!(split(&[a, b], 0.0).is_empty(), "of another fleet");
    }

    #[test]
    fn those_behind_the_first_four_tie() {
        let known = |ms: u16| Estimate {
            ms: f64::from(ms) * 20.0,
            source: Source::Prefix,
            samples: 9,
            hours: 0,
        };
        let estimates: Vec<Estimate> = (1..=7).map(known).collect();
        let regions: Vec<RegionId> = (0..7).map(RegionId).collect();
        let Opinion::Bands(bands) = opinion(&estimates, 0.0, &regions) else { panic!("no bands") };
        let tiers = bands.split(&[6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(tiers, [vec![0], vec![1], vec![2], vec![3], vec![4, 5, 6]]);
    }
}
