//! The line on which a random number finds its candidate.
//!
//! Each candidate holds a part of the 64-bit numbers in proportion to its weight. The parts of a
//! region lie in the same place for both families as far as its shares in both reach, and the rest
//! of its larger share behind all of those. One number thus gives A and AAAA from the same region
//! as often as exact shares of both permit, whatever the health of either family.

use super::Local;

/// Parts of the 64-bit numbers and who holds them.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// The first number behind each part.
    ends: Vec<u64>,
    /// The candidate that holds each part, by index.
    holders: Vec<u16>,
}

/// A region, its weight, and the weights of its candidates with their indexes.
struct Share {
    region: Local,
    weight: u64,
    members: Vec<(u16, u64)>,
}

impl Line {
    /// The line of candidates given by region and weight, each region's in a row. `twin` are those
    /// of the other family.
    pub(super) fn new(own: &[(Local, u64)], twin: &[(Local, u64)]) -> Self {
        let (own, twin) = (shares(own), shares(twin));
        let (own_total, twin_total) = (total(&own), total(&twin));
        let mut line = Self::default();
        let mut at = 0;
        for common in [true, false] {
            for share in &own {
                let width = part(share.weight, own_total);
                let other = twin.iter().find(|other| other.region == share.region);
                let other = other.map_or(0, |other| part(other.weight, twin_total));
                let width = if common { width.min(other) } else { width.saturating_sub(other) };
                line.add(share, at, width);
                at += width;
            }
        }
        line
    }

    /// The candidate whose part of the line holds `number`.
    pub(super) fn holding(&self, number: u64) -> usize {
        let at = self.ends.partition_point(|end| *end <= number);
        // Rounding leaves a few numbers behind the last part.
        self.holders.get(at).or(self.holders.last()).map_or(0, |holder| usize::from(*holder))
    }

    /// Divides a part of the line among the members of a region.
    fn add(&mut self, share: &Share, start: u128, width: u128) {
        let mut weight = 0;
        let mut last = start;
        for (holder, own) in &share.members {
            weight += u128::from(*own);
            let end = start + width * weight / u128::from(share.weight.max(1));
            if end > last {
                self.ends.push(u64::try_from(end).unwrap_or(u64::MAX));
                self.holders.push(*holder);
                last = end;
            }
        }
    }
}

fn shares(candidates: &[(Local, u64)]) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    for (at, (region, weight)) in (0u16..).zip(candidates) {
        match shares.last_mut() {
            Some(share) if share.region == *region => {
                share.weight = share.weight.saturating_add(*weight);
                share.members.push((at, *weight));
            }
            _ => {
                let members = vec![(at, *weight)];
                shares.push(Share { region: *region, weight: *weight, members });
            }
        }
    }
    shares
}

fn total(shares: &[Share]) -> u128 {
    shares.iter().map(|share| u128::from(share.weight)).sum()
}

/// The share of `weight` in `total`, in units of 2^-64.
fn part(weight: u64, total: u128) -> u128 {
    (u128::from(weight) << 64) / total.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The length of the line on which two families' regions meet, and the length that each
    /// candidate of the first holds.
    fn measure(own: &[(Local, u64)], twin: &[(Local, u64)]) -> (f64, Vec<f64>) {
        let (line, other) = (Line::new(own, twin), Line::new(twin, own));
        let mut ends: Vec<u64> = line.ends.iter().chain(&other.ends).copied().collect();
        ends.push(u64::MAX);
        ends.sort_unstable();
        let (mut meet, mut held, mut start) = (0.0, vec![0.0; own.len()], 0);
        for end in ends {
            let length = (end - start) as f64 / 2f64.powi(64);
            let (mine, its) = (line.holding(start), other.holding(start));
            held[mine] += length;
            if twin.get(its).is_some_and(|(region, _)| *region == own[mine].0) {
                meet += length;
            }
            start = end;
        }
        (meet, held)
    }

    fn list() -> impl Strategy<Value = Vec<(Local, u64)>> {
        prop::collection::vec((0..5u16, 0..1000u64), 1..9).prop_map(|mut list| {
            list.sort_unstable();
            list[0].1 += 1;
            list
        })
    }

    proptest! {
        #[test]
        fn shares_are_exact_and_families_meet_as_often_as_those_permit(
            own in list(), twin in list(),
        ) {
            let share = |list: &[(Local, u64)], region: Local| {
                let total: u64 = list.iter().map(|(_, weight)| weight).sum();
                let held = list.iter().filter(|(other, _)| *other == region);
                held.map(|(_, weight)| *weight).sum::<u64>() as f64 / total as f64
            };
            let (meet, held) = measure(&own, &twin);
            let total: u64 = own.iter().map(|(_, weight)| weight).sum();
            for (held, (_, weight)) in held.iter().zip(&own) {
                prop_assert!((held - *weight as f64 / total as f64).abs() < 1e-12);
            }
            let most: f64 = (0..5).map(|r| share(&own, r).min(share(&twin, r))).sum();
            prop_assert!((meet - most).abs() < 1e-12, "{meet}, {most} possible");
        }
    }

    #[test]
    fn a_region_of_both_families_answers_both_when_one_family_lost_another_region() {
        let own = [(0, 100), (1, 100), (2, 100)];
        for lost in 0..3 {
            let twin: Vec<_> = own.into_iter().filter(|(region, _)| *region != lost).collect();
            let (line, other) = (Line::new(&own, &twin), Line::new(&twin, &own));
            for number in (0..1000u64).map(|n| n * (u64::MAX / 1000)) {
                let region = own[line.holding(number)].0;
                let its = twin[other.holding(number)].0;
                assert!(region == its || region == lost, "{number}: {region} and {its}");
            }
        }
    }

    #[test]
    fn the_ends_of_the_line_are_held() {
        let line = Line::new(&[(0, 1), (1, 1), (2, 1), (2, 0)], &[]);
        assert_eq!((line.holding(0), line.holding(u64::MAX)), (0, 2));
        assert_eq!(Line::default().holding(7), 0);
    }
}
