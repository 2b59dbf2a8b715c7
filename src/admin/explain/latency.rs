//! What `explain` shows of round trips: each estimate, what it rests on, and what is explored.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::latency::{Chart, Client, Estimate, Source, is_known};
use crate::model::{Fleet, RegionId};
use crate::prefix::Prefix;
use crate::snapshot::{Loaded, Steering};
use crate::steering::{Class, Family, View};

/// What is known of the round trips of a client.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct RoundTrips {
    /// Whether anything but distance is known, so that the method has an opinion.
    known: bool,
    /// Of the service's regions, the nearest first.
    estimates: Vec<RoundTrip>,
    /// What some answers go to instead; `None`: none do.
    explored: Option<Explored>,
}

/// One estimate.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct RoundTrip {
    region: String,
    ms: f64,
    source: String,
    /// Samples, or clients of the group that it is borrowed from.
    samples: u32,
    /// Hours since the last sample of the client's own prefix; `None`: it has none.
    age_hours: Option<u8>,
}

/// The runner-up.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Explored {
    regions: Vec<String>,
    /// Of all answers.
    share: f64,
}

impl RoundTrips {
    /// What is known of a client at `address`; `None`: the service does not go by round trips.
    pub(super) fn new(
        (steering, class): (&Steering, Option<&Class>),
        address: IpAddr,
        loaded: &Loaded,
        view: &View<'_>,
    ) -> Option<Self> {
        if !steering.contest.measures() {
            return None;
        }
        let fleet = &loaded.model.fleet;
        let latest = loaded.latency.load();
        let chart = Chart::new(&latest, fleet);
        let prior = chart.prior(loaded.ground.client(address).place);
        let client = Client::of(Prefix::holding(address, u8::MAX)).ok();
        let all = client.map_or_else(|| chart.of_place(&prior), |c| chart.of(&prior, c));
        let own = |region: &RegionId| Some((*region, *all.get(usize::from(region.0))?));
        let mut own: Vec<(RegionId, Estimate)> =
            steering.contest.regions().iter().filter_map(own).collect();
        own.sort_by(|a, b| a.1.ms.total_cmp(&b.1.ms));
        let known = is_known(&own.iter().map(|(_, estimate)| *estimate).collect::<Vec<_>>());
        let name = |region: RegionId| fleet.region(region).name.clone();
        let one = |(region, estimate): (RegionId, Estimate)| RoundTrip {
            region: name(region),
            ms: (estimate.ms * 10.0).round() / 10.0,
            source: source(estimate.source, client, fleet),
            samples: estimate.samples,
            age_hours: (estimate.source == Source::Prefix).then_some(estimate.hours),
        };
        let explored = class.and_then(|class| explored(steering, class, view));
        Some(Self { known, estimates: own.into_iter().map(one).collect(), explored })
    }
}

fn explored(steering: &Steering, class: &Class, view: &View<'_>) -> Option<Explored> {
    let both = [Family::V4, Family::V6];
    let runner_up = both.map(|family| steering.contest.runner_up(class, family, view));
    let ids = runner_up.iter().flatten().filter_map(|candidate| {
        steering.contest.regions().get(usize::from(candidate.region)).copied()
    });
    let mut regions: Vec<String> = ids.map(|id| view.fleet.region(id).name.clone()).collect();
    regions.sort_unstable();
    regions.dedup();
    let share = steering.contest.explored(view.fleet);
    (!regions.is_empty()).then_some(Explored { regions, share })
}

fn source(source: Source, client: Option<Client>, fleet: &Fleet) -> String {
    match source {
        Source::Prefix => {
            let prefix = client.map(Client::prefix);
            let resolvers = fleet.latency.resolvers.iter().flat_map(|all| &all.list);
            // A list may be long, and only people ask.
            let probed = resolvers
                .flat_map(|resolver| &resolver.clients)
                .any(|other| prefix.is_some_and(|prefix| prefix.contains(other.address())));
            let prefix = prefix.map_or_else(String::new, |prefix| prefix.to_string());
            let probes = if probed { ", or probes of its resolver" } else { "" };
            format!("connections of {prefix}{probes}")
        }
        Source::Covering(prefix) => format!("connections of {prefix}"),
        Source::Asn(asn) => format!("connections of AS{asn}"),
        Source::Country(country) => format!("connections of {country}"),
        Source::Probes(from) => {
            format!("probes from {}, and the way there", fleet.region(from).name)
        }
        Source::Matrix(from) => {
            format!("the matrix from {}, and the way there", fleet.region(from).name)
        }
        Source::Distance => "distance".to_owned(),
    }
}

impl fmt::Display for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.known {
            writeln!(f, "estimates nothing but distance is known")?;
        }
        for (at, estimate) in self.estimates.iter().filter(|_| self.known).enumerate() {
            let RoundTrip { region, ms, source, samples, age_hours } = estimate;
            let title = if at == 0 { "estimates" } else { "" };
            write!(f, "{title:<9} {region} {ms:.1} ms: {source}")?;
            match (samples, age_hours) {
                (0, _) => writeln!(f)?,
                (samples, None) => writeln!(f, ", {samples} clients")?,
                (samples, Some(0)) => writeln!(f, ", {samples} samples, the last within the hour")?,
                (samples, Some(hours)) => {
                    writeln!(f, ", {samples} samples, the last {hours} h ago")?;
                }
            }
        }
        if let Some(Explored { regions, share }) = &self.explored {
            let regions = regions.join(" and ");
            writeln!(f, "explore   {:.1} % of answers go to {regions}", share * 100.0)?;
        }
        Ok(())
    }
}
