//! What one method says of the regions for one client, whatever their health.

use super::Local;

/// One method's opinion of the regions, by their index in the contest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Opinion {
    /// Nothing is known that would tell the regions apart.
    None,
    /// A rank per region; lower is better and equal ones tie.
    Ranks(Box<[u16]>),
    /// As `Ranks`, but only regions of rank 0 may ever be answered.
    Strict(Box<[u16]>),
    /// Regions at a distance.
    Bands(Bands),
}

/// Regions by distance, with all that is needed to tell who ties with whom when some are down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bands {
    /// The regions, nearest first.
    pub order: Box<[Local]>,
    /// For each place in `order`, the last place that is still within the tolerance of it.
    pub reach: Box<[u16]>,
}

/// The opinions of a policy's methods that rank regions, in order.
pub type Opinions = Box<[Opinion]>;

/// Clients of whom the methods have equal opinions, as far as they matter: all that a decision
/// needs to know of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The opinions, without what can never matter.
    pub opinions: Opinions,
    /// The regions these clients may be sent to, ranked as if all were up.
    pub tiers: Vec<Vec<Local>>,
}

impl Class {
    /// Whether no strict fence keeps these clients away from the region.
    pub fn allows(&self, region: Local) -> bool {
        self.tiers.iter().any(|tier| tier.contains(&region))
    }
}

/// Whether no strict fence among `opinions` forbids the region.
pub(super) fn allowed(opinions: &[Opinion], region: Local) -> bool {
    opinions.iter().all(|opinion| match opinion {
        Opinion::Strict(ranks) => ranks.get(usize::from(region)) == Some(&0),
        _ => true,
    })
}

impl Bands {
    /// Orders regions by distance; `tolerance` is the share by which a region may be farther than
    /// another and still tie with it.
    pub fn new(distances: &[f64], tolerance: f64) -> Self {
        Self::with(distances, |near| near * (1.0 + tolerance))
    }

    /// Orders regions by distance; `limit` gives for a distance the farthest that still ties.
    pub fn with(distances: &[f64], limit: impl Fn(f64) -> f64) -> Self {
        let mut order: Vec<(f64, Local)> = distances.iter().copied().zip(0..).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let reach = order
            .iter()
            .map(|(near, _)| {
                let limit = limit(*near);
                order.partition_point(|(distance, _)| *distance <= limit).saturating_sub(1) as u16
            })
            .collect();
        Self { order: order.iter().map(|(_, region)| *region).collect(), reach }
    }

    /// The same with all behind the first `count` tied: to tell them apart, too, would make more
    /// kinds of clients than anybody needs.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        let last = self.reach.len().saturating_sub(1) as u16;
        self.reach.iter_mut().skip(count).for_each(|reach| *reach = last);
        self
    }

    /// Place of a region in the order, from 0.
    pub fn position(&self, region: Local) -> u16 {
        let at = self.order.iter().position(|other| *other == region);
        at.map_or(u16::MAX, |at| at as u16)
    }

    /// The last place that ties with `position`.
    pub fn reach(&self, position: u16) -> u16 {
        self.reach.get(usize::from(position)).copied().unwrap_or(position)
    }

    /// Splits tied regions into bands: the nearest with all in its reach, then the nearest of the
    /// rest with all in its reach, and so on.
    pub fn split(&self, tied: &[Local]) -> Vec<Vec<Local>> {
        let mut placed: Vec<(u16, Local)> =
            tied.iter().map(|region| (self.position(*region), *region)).collect();
        placed.sort_unstable();
        let mut bands: Vec<Vec<Local>> = Vec::new();
        let mut limit = None;
        for (position, region) in placed {
            match bands.last_mut() {
                Some(band) if limit.is_some_and(|limit| position <= limit) => band.push(region),
                _ => {
                    limit = Some(self.reach(position));
                    bands.push(vec![region]);
                }
            }
        }
        bands
    }
}

/// Splits tied regions by rank, best first.
pub(super) fn split_by_rank(ranks: &[u16], tied: &[Local]) -> Vec<Vec<Local>> {
    let rank = |region: &Local| ranks.get(usize::from(*region)).copied().unwrap_or(u16::MAX);
    let mut sorted = tied.to_vec();
    sorted.sort_by_key(|region| (rank(region), *region));
    sorted.chunk_by(|a, b| rank(a) == rank(b)).map(<[Local]>::to_vec).collect()
}
