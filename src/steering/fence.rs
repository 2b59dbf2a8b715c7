//! The method `fence`: clients stay in their country, continent or network.

use std::collections::BTreeMap;

use super::Opinion;
use crate::model::{Fence, Fleet, Method, NetworkId, RegionId};
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

/// The circles of regions that a policy's fences by country and continent draw, the narrowest
/// first: by region, the number of its circle. The first fence of a policy is the widest, since it
/// ranks before the others.
///
/// Fences around a network draw none: they concern its clients alone.
pub(super) fn circles(methods: &[Method], regions: &[RegionId], fleet: &Fleet) -> Vec<Vec<u16>> {
    let mut circles: Vec<Vec<u16>> = Vec::new();
    for method in methods {
        let Method::Fence { by: by @ (Fence::Country | Fence::Continent), .. } = method else {
            continue;
        };
        let around = circles.first();
        let mut numbers = BTreeMap::new();
        let circle = regions.iter().enumerate().map(|(at, id)| {
            let region = fleet.region(*id);
            let (country, continent) = match by {
                Fence::Country => (region.country, None),
                _ => (None, region.continent),
            };
            // Whose place is not known is inside of no fence, and so alone.
            let alone = (country.is_none() && continent.is_none()).then_some(at);
            let around = around.and_then(|around| around.get(at)).copied();
            let next = numbers.len() as u16;
            *numbers.entry((around, country, continent, alone)).or_insert(next)
        });
        let circle = circle.collect();
        circles.insert(0, circle);
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Region;
    use crate::place::{Continent, Country, Point};

    #[test]
    fn circles_lie_within_each_other_and_regions_of_no_country_alone() {
        let places = [
            ("DE", Some(Continent::Europe)),
            ("US", Some(Continent::NorthAmerica)),
            ("DE", Some(Continent::Europe)),
            ("FR", Some(Continent::Europe)),
            ("", None),
            ("", None),
        ];
        let region = |(country, continent): (&str, Option<Continent>)| Region {
            name: country.to_owned(),
            point: Point::new(0.0, 0.0).unwrap(),
            country: Country::parse(country),
            continent,
        };
        let fleet = Fleet { regions: places.map(region).to_vec(), ..Fleet::default() };
        let all: Vec<RegionId> = (0..6).map(RegionId).collect();
        let fence = |by| Method::Fence { by, strict: false };
        let (country, continent) = (fence(Fence::Country), fence(Fence::Continent));
        let office = fence(Fence::Network(NetworkId(0)));
        let (wide, narrow) = (vec![0, 1, 0, 0, 2, 3], vec![0, 1, 0, 2, 3, 4]);
        for (case, methods, expected) in [
            ("none", vec![Method::Network, office], vec![]),
            ("one", vec![Method::Weighted, continent.clone()], vec![wide.clone()]),
            (
                "a narrower one behind",
                vec![continent.clone(), country.clone()],
                vec![narrow.clone(), wide],
            ),
            ("a wider one behind", vec![country, continent], vec![narrow.clone(), narrow]),
        ] {
            assert_eq!(circles(&methods, &all, &fleet), expected, "{case}");
        }
    }
}
