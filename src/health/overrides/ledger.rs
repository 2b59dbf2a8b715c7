//! What each endpoint counts for, in two models that may be the same.

use std::collections::{BTreeMap, HashMap};

use crate::health::EndpointIdentity;
use crate::model::{Endpoint, EndpointId, Fleet};

/// A pool in a region.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Sum of the weights of its endpoints.
    weight: f64,
    /// Requests a second that it can take; `None`: nobody has said.
    capacity: Option<f64>,
}

/// What an endpoint counts for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Index of its pool in its region.
    place: usize,
    /// Its part of the weight there.
    weight: f64,
}

/// Pools in regions, as they are served; those that are new, as they will be. So a change of the
/// unit in which weights or capacities are written takes nothing from anybody.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    places: Vec<Place>,
}

impl Ledger {
    /// The ledger of two fleets, and the shares of the endpoints of each, in their order.
    pub(super) fn of(served: &Fleet, next: &Fleet) -> (Self, [Vec<Share>; 2]) {
        let mut ledger = Self::default();
        let mut numbers: HashMap<(String, String), usize> = HashMap::new();
        let mut weights: HashMap<EndpointIdentity, f64> = HashMap::new();
        let mut shares_of = |fleet: &Fleet| -> Vec<Share> {
            let old = ledger.places.len();
            let share = |endpoint: &Endpoint| {
                let identity = EndpointIdentity::of(fleet, endpoint);
                let key = (identity.pool.clone(), identity.region.clone());
                let place = *numbers.entry(key).or_insert_with(|| {
                    let capacity = fleet.pool(endpoint.pool).capacity(endpoint.region);
                    ledger.places.push(Place { weight: 0.0, capacity: capacity.map(f64::from) });
                    ledger.places.len() - 1
                });
                // One of weight 0 is a last resort, which counts while there is nothing else.
                let own = f64::from(endpoint.weight.max(1));
                let weight = *weights.entry(identity).or_insert(own);
                if place >= old {
                    ledger.places.get_mut(place).into_iter().for_each(|p| p.weight += weight);
                }
                Share { place, weight }
            };
            fleet.endpoints.iter().map(share).collect()
        };
        let shares = [shares_of(served), shares_of(next)];
        (ledger, shares)
    }

    /// What these endpoints can take: requests a second where that `is_rated`, else their weights.
    pub(super) fn amount(&self, shares: &[Share], of: &[EndpointId], is_rated: bool) -> f64 {
        let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
        for share in of.iter().filter_map(|id| shares.get(id.0 as usize)) {
            *sums.entry(share.place).or_default() += share.weight;
        }
        let amount = |(place, sum): (usize, f64)| {
            let Place { weight, capacity } = self.places.get(place).copied().unwrap_or_default();
            match capacity.filter(|_| is_rated && weight > 0.0) {
                Some(capacity) => capacity * (sum / weight).min(1.0),
                None => sum,
            }
        };
        sums.into_iter().map(amount).sum()
    }
}
