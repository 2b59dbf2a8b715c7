//! What of the opinions on regions can ever matter, so that clients who differ in nothing else
//! share a class and a scope.
//!
//! A method is asked only to tell regions apart that all methods before it left together. What it
//! says of others is left out here; each step of a ranking stays as it was, whatever is down.

use super::opinion::{Bands, split_by_rank};
use super::{Local, Opinion, Opinions};
use crate::model::Method;

/// Regions that may tie; those of different groups never do.
type Group = Vec<Local>;

/// The part of `opinions` that can matter to a ranking of the `allowed` regions; `count` is the
/// number of all regions.
pub(super) fn relevant(
    methods: &[Method],
    opinions: &[Opinion],
    allowed: &[Local],
    count: usize,
) -> Opinions {
    let mut groups = vec![allowed.to_vec()];
    // Strict fences matter by what they forbid together, which the first of them says for all.
    let forbids = |region: Local| u16::from(!allowed.contains(&region));
    let mut forbidden =
        (allowed.len() < count).then(|| Opinion::Strict((0..).map(forbids).take(count).collect()));
    let part = |(method, opinion): (&Method, &Opinion)| match (method, opinion) {
        (Method::Nearest { .. }, opinion) => {
            // It ties what was apart, so a later method may be asked about any regions.
            groups = vec![allowed.to_vec()];
            match opinion {
                Opinion::Bands(bands) => Opinion::Bands(bands_within(bands, &mut groups.clone()).0),
                _ => Opinion::None,
            }
        }
        (_, Opinion::None) => Opinion::None,
        (_, Opinion::Strict(_)) => forbidden.take().unwrap_or(Opinion::None),
        (_, Opinion::Ranks(ranks)) => ranks_within(ranks, &mut groups, count),
        (_, Opinion::Bands(bands)) => match bands_within(bands, &mut groups) {
            (bands, true) => Opinion::Bands(bands),
            (_, false) => Opinion::None,
        },
    };
    methods.iter().zip(opinions).map(part).collect()
}

/// Ranks within each group, from 0 and without gaps, by which the groups are split.
fn ranks_within(ranks: &[u16], groups: &mut Vec<Group>, count: usize) -> Opinion {
    let mut relative = vec![0; count];
    let mut split = Vec::new();
    for group in groups.drain(..) {
        for (part, own) in split_by_rank(ranks, &group).into_iter().zip(0..) {
            for region in &part {
                if let Some(slot) = relative.get_mut(usize::from(*region)) {
                    *slot = own;
                }
            }
            split.push(part);
        }
    }
    *groups = split;
    let apart = relative.iter().any(|rank| *rank > 0);
    if apart { Opinion::Ranks(relative.into()) } else { Opinion::None }
}

/// Bands within each group, one group after the other, by which the groups are split; and whether
/// they tell any regions of one group apart.
fn bands_within(bands: &Bands, groups: &mut Vec<Group>) -> (Bands, bool) {
    let (mut order, mut reach) = (Vec::new(), Vec::new());
    let mut apart = false;
    let mut split = Vec::new();
    for group in groups.drain(..) {
        let places = places(bands, &group);
        let base = order.len();
        order.extend(places.iter().map(|place| place.region));
        reach.extend(places.iter().map(|place| (base + place.reach) as u16));
        apart |= places.iter().any(|place| place.behind > 0);
        split.extend(parts(&places));
    }
    *groups = split;
    (Bands { order: order.into(), reach: reach.into() }, apart)
}

/// A region among those of its group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// How many regions are nearer without a tie.
    behind: usize,
    /// The last place that ties with this one.
    reach: usize,
    region: Local,
}

/// The regions nearest first. Those that tie with the same others are in the order of their
/// numbers: which of them is nearer never matters.
fn places(bands: &Bands, regions: &[Local]) -> Vec<Place> {
    let mut near: Vec<(u16, Local)> =
        regions.iter().map(|region| (bands.position(*region), *region)).collect();
    near.sort_unstable();
    let last = |(position, _): &(u16, Local)| {
        let limit = bands.reach(*position);
        near.partition_point(|(other, _)| *other <= limit).saturating_sub(1)
    };
    let reaches: Vec<usize> = near.iter().map(last).collect();
    let place = |(at, ((_, region), reach)): (usize, (&(u16, Local), &usize))| Place {
        behind: reaches.partition_point(|reach| *reach < at),
        reach: *reach,
        region: *region,
    };
    let mut places: Vec<Place> = near.iter().zip(&reaches).enumerate().map(place).collect();
    places.sort_unstable();
    places
}

/// The places cut wherever nobody before the cut ties with anybody behind it.
fn parts(places: &[Place]) -> Vec<Group> {
    let ends = places.iter().enumerate().filter(|(at, place)| place.reach == *at);
    let mut start = 0;
    let part = |(end, _)| {
        let part = places.get(start..=end).unwrap_or_default();
        start = end + 1;
        part.iter().map(|place| place.region).collect()
    };
    ends.map(part).collect()
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::steering::ranking::rank;

    /// The methods that go with the opinions below; what they hold does not matter to a ranking.
    const METHODS: [Method; 4] = [
        Method::Network,
        Method::Proximity { bias: Vec::new(), tolerance: 0.0 },
        Method::Order { regions: Vec::new() },
        Method::Nearest { count: 2, tolerance: 0.0 },
    ];

    /// What it is a case of, the opinions of two clients, the allowed regions, and whether the
    /// parts that can matter are equal.
    type Case<'a> = (&'a str, [Vec<Opinion>; 2], &'a [Local], bool);

    fn ranks(ranks: [u16; 5]) -> Opinion {
        Opinion::Ranks(ranks.into())
    }

    fn strict(ranks: [u16; 5]) -> Opinion {
        Opinion::Strict(ranks.into())
    }

    fn bands(distances: [f64; 5], tolerance: f64) -> Opinion {
        Opinion::Bands(Bands::new(&distances, tolerance))
    }

    #[test]
    fn clients_who_differ_in_nothing_that_matters_have_equal_parts() {
        let all = &[0, 1, 2, 3, 4];
        let total = ranks([4, 2, 0, 1, 3]);
        let (near, far) = ([1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 4.0, 3.0, 2.0, 1.0]);
        let swapped = [2.0, 1.9, 3.0, 4.0, 5.0];
        let tied = |distances| vec![bands(distances, 0.1)];
        let chain = bands([10.0, 14.0, 19.0, 26.0, 35.0], 0.5);
        let after = |earlier: &[Opinion], distances: [[f64; 5]; 2]| {
            distances.map(|distances| [earlier, &[bands(distances, 0.0)]].concat())
        };
        let cases: [Case<'_>; 9] = [
            ("one method ranks all", after(slice::from_ref(&total), [near, far]), all, true),
            (
                "another ranks all, of whom some tied with only some of the others",
                after(&[chain, total], [near, far]),
                all,
                true,
            ),
            (
                "two strict fences forbid together what another forbids alone",
                [
                    vec![strict([0, 0, 0, 1, 0]), strict([0, 0, 0, 0, 1])],
                    vec![strict([0, 0, 0, 1, 1]), Opinion::None],
                ],
                &[0, 1, 2],
                true,
            ),
            ("only one region is allowed", after(&[], [near, far]), &[3], true),
            (
                "ranks have gaps",
                [[0, 1, 1, 7, 9], [0, 2, 2, 3, 4]].map(|of| vec![ranks(of)]),
                all,
                true,
            ),
            (
                "two that tie with the same others change places",
                [tied([2.0, 2.1, 9.0, 9.0, 9.0]), tied([2.1, 2.0, 9.0, 9.0, 9.0])],
                all,
                true,
            ),
            ("the nearest two change places", after(&[], [near, swapped]), all, false),
            ("a forbidden region changes places", after(&[], [near, swapped]), &[0, 2, 3, 4], true),
            (
                "two that the method before ties change places",
                after(&[ranks([0, 0, 1, 1, 1])], [near, swapped]),
                all,
                false,
            ),
        ];
        for (case, opinions, allowed, equal) in cases {
            let [one, other] = opinions.map(|opinions| relevant(&METHODS, &opinions, allowed, 5));
            assert_eq!(one == other, equal, "{case}: {one:?} {other:?}");
        }
    }

    #[test]
    fn a_ranking_by_the_part_that_matters_has_the_same_steps_whatever_is_down() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..5_000 {
            let mut opinions: Vec<Opinion> = Vec::new();
            let mut methods: Vec<Method> = Vec::new();
            for _ in 0..random.usize(1..=4) {
                let method = METHODS[random.usize(0..4)].clone();
                let distances = [0; 5].map(|_| f64::from(random.u32(10..40)));
                let tolerance = [0.0, 0.2, 0.5][random.usize(0..3)];
                opinions.push(match (&method, random.u8(0..4)) {
                    (_, 0) => Opinion::None,
                    (Method::Nearest { .. }, _) | (_, 1) => bands(distances, tolerance),
                    _ => ranks([0; 5].map(|_| random.u16(0..4))),
                });
                methods.push(method);
            }
            let allowed: Vec<Local> = (0..5).filter(|_| random.u8(0..5) > 0).collect();
            let part = relevant(&methods, &opinions, &allowed, 5);
            for set in 0..1u8 << 5 {
                let up: Vec<Local> =
                    allowed.iter().copied().filter(|at| set >> at & 1 == 1).collect();
                let (mut full, mut short) = (Vec::new(), Vec::new());
                rank(&methods, &opinions, &up, Some(&mut full));
                rank(&methods, &part, &up, Some(&mut short));
                for step in full.iter_mut().chain(&mut short) {
                    step.tiers.iter_mut().for_each(|tier| tier.sort_unstable());
                    step.spoke = true;
                }
                assert_eq!(short, full, "{methods:?} {opinions:?} {part:?} {up:?}");
            }
        }
    }
}
