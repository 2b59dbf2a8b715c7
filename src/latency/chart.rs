//! Estimates laid out for one fleet: the round trip of any client to any region.

use super::client::Client;
use super::estimates::{Estimates, named};
use super::means::{Excess, Group};
use super::store::Known;
use super::terrain::{Basis, Expected, Terrain};
use crate::model::{Fleet, RegionId};
use crate::place::{Country, Place};
use crate::prefix::Prefix;

/// What is expected weighs as much as so many samples of a client's own: they say more than all
/// that was borrowed from the first one on.
const BORROWED: f64 = 0.5;

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// Connections of the client's own prefix.
    Prefix,
    /// Those of the prefix around it.
    Covering(Prefix),
    /// Those of its autonomous system.
    Asn(u32),
    /// Those of its country.
    Country(Country),
    /// Probes from the region nearest to it, and the way there.
    Probes(RegionId),
    /// The imported matrix, from the region nearest to it, and the way there.
    Matrix(RegionId),
    /// Distance.
    Distance,
}

/// An estimate of the round trip of a client to a region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// In milliseconds.
    pub ms: f64,
    /// What it rests on.
    pub source: Source,
    /// Samples of the client's own prefix, or clients of the group it borrows from; 0: none.
    pub samples: u32,
    /// Hours since the latest sample of the client's own prefix.
    pub hours: u8,
}

/// What is known of a place, whoever is there.
#[derive(Debug)]
pub struct Prior {
    by_region: Vec<(Expected, Excess)>,
}

/// Estimates laid out for one fleet.
#[derive(Debug)]
pub struct Chart<'e> {
    estimates: &'e Estimates,
    terrain: Terrain,
    /// The fleet's regions by the estimates' numbers.
    regions: Vec<Option<RegionId>>,
    count: usize,
}

impl<'e> Chart<'e> {
    /// The chart of a fleet.
    pub fn new(estimates: &'e Estimates, fleet: &Fleet) -> Self {
        let regions = estimates.regions.iter().map(|name| named(fleet, name)).collect();
        let terrain = Terrain::new(fleet, &estimates.ways);
        Self { estimates, terrain, regions, count: fleet.regions.len() }
    }

    /// Clients that something was measured of, in ascending order.
    pub fn clients(&self) -> impl Iterator<Item = Client> {
        self.estimates.clients()
    }

    /// What is known of a place, whoever is there.
    pub fn prior(&self, place: &Place) -> Prior {
        let expected = self.terrain.expected(place);
        let excess = |region| self.estimates.means.of_place(place, RegionId(region));
        let excesses = (0..self.count as u16).map(excess);
        Prior { by_region: expected.into_iter().zip(excesses).collect() }
    }

    /// Estimates for a client at a place nothing was measured of, by region.
    pub fn of_place(&self, prior: &Prior) -> Vec<Estimate> {
        prior.by_region.iter().map(|(expected, excess)| expectation(*expected, *excess)).collect()
    }

    /// Estimates for a client at a place, by region.
    pub fn of(&self, prior: &Prior, client: Client) -> Vec<Estimate> {
        let means = &self.estimates.means;
        let own = self.estimates.of(client);
        let estimate = |((expected, excess), region): (&(Expected, Excess), u16)| {
            let region = RegionId(region);
            let excess = means.of_client(*excess, client, region);
            let estimate = expectation(*expected, excess);
            let of_region = |known: &&Known| {
                self.regions.get(usize::from(known.region)).copied().flatten() == Some(region)
            };
            own.iter().find(of_region).map_or(estimate, |known| blended(estimate, known))
        };
        prior.by_region.iter().zip(0..).map(estimate).collect()
    }
}

/// Whether any of these rests on more than distance.
pub fn is_known(estimates: &[Estimate]) -> bool {
    estimates.iter().any(|estimate| estimate.source != Source::Distance)
}

/// What is to be expected, with what groups add to it.
fn expectation(expected: Expected, excess: Excess) -> Estimate {
    let (source, samples) = match (excess.from, expected.basis) {
        (Some((Group::Covering(prefix), clients)), _) => (Source::Covering(prefix), clients),
        (Some((Group::Asn(asn), clients)), _) => (Source::Asn(asn), clients),
        (Some((Group::Country(country), clients)), _) => (Source::Country(country), clients),
        (Some((Group::All, _)) | None, Basis::Probes(from)) => (Source::Probes(from), 0),
        (Some((Group::All, _)) | None, Basis::Matrix(from)) => (Source::Matrix(from), 0),
        (Some((Group::All, _)) | None, Basis::Distance) => (Source::Distance, 0),
    };
    let ms = (expected.ms + excess.ms).max(super::rtt::LEAST_MS);
    Estimate { ms, source, samples, hours: 0 }
}

/// An expectation with a client's own samples: the more and the newer they are, the more they
/// weigh, in powers of two, so that one sample more moves nobody.
fn blended(expected: Estimate, known: &Known) -> Estimate {
    let samples = f64::from(known.samples) * (-f64::from(known.hours) / 24.0).exp2();
    let weight = samples.max(0.25).log2().floor().exp2();
    let ms = (weight * known.settled.ms() + BORROWED * expected.ms) / (weight + BORROWED);
    Estimate { ms, source: Source::Prefix, samples: u32::from(known.samples), hours: known.hours }
}
