//! By how much measured round trips exceed what was to be expected, for groups of clients.
//!
//! Groups are told apart by what they have in common with a client: its covering prefix, its
//! autonomous system, its country. What they share is the excess over the expectation and not the
//! round trip itself, or a large country would be one place.

use foldhash::HashMap;

use super::client::Client;
use crate::model::RegionId;
use crate::place::{Country, Place};
use crate::prefix::Prefix;

/// Groups that are kept: 5 MiB; the first that are met stay.
const GROUPS_MAX: usize = 100_000;
/// A group of as many clients weighs as much as the wider one around it.
const BORROWED: f64 = 3.0;
/// All clients together need as many to say something of those of whom nothing is known.
const BORROWED_BY_ALL: f64 = 64.0;
/// An excess beyond these bounds, in milliseconds, says more of one client than of a group.
const EXCESS_MS: std::ops::RangeInclusive<f64> = -100.0..=300.0;
/// What was told of a group stands until it changes by this many milliseconds.
const SETTLED_WITHIN_MS: f64 = 2.0;

/// What clients of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    /// Nothing: all clients.
    All,
    /// Their country.
    Country(Country),
    /// Their autonomous system.
    Asn(u32),
    /// Their covering prefix.
    Covering(Prefix),
}

/// A group, and the region it is measured to; `None`: any.
type Key = (Group, Option<RegionId>);

/// The excess of a group.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    /// Of the clients measured, in milliseconds.
    sum: f32,
    clients: u32,
    /// As it is told.
    settled: f32,
}

/// The excess of all groups.
#[derive(Debug, Default)]
pub(super) struct Means {
    groups: HashMap<Key, Mean>,
}

/// What a group adds to an expectation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Excess {
    /// In milliseconds.
    pub(super) ms: f64,
    /// The narrowest group that was measured to the region itself, and its clients.
    pub(super) from: Option<(Group, u32)>,
}

impl Means {
    /// Takes in that a client's round trip to a region exceeds what was expected.
    pub(super) fn add(&mut self, client: Client, place: &Place, region: RegionId, excess_ms: f64) {
        let excess = excess_ms.clamp(*EXCESS_MS.start(), *EXCESS_MS.end()) as f32;
        let country = place.country.map(Group::Country);
        let keys = [
            Some((Group::All, None)),
            country.map(|country| (country, Some(region))),
            place.asn.map(|asn| (Group::Asn(asn), Some(region))),
            Some((Group::Covering(client.covering()), Some(region))),
        ];
        for key in keys.into_iter().flatten() {
            if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
                continue;
            }
            let mean = self.groups.entry(key).or_default();
            mean.sum += excess;
            mean.clients += 1;
        }
    }

    /// Settles what is told of each group: what was told before, where it is still about right.
    pub(super) fn settle(&mut self, before: &Self) {
        for (key, mean) in &mut self.groups {
            let now = mean.sum / mean.clients.max(1) as f32;
            let told = before.groups.get(key).map(|before| before.settled);
            let stands = |told: &f32| f64::from((told - now).abs()) <= SETTLED_WITHIN_MS;
            mean.settled = told.filter(stands).unwrap_or(now);
        }
        self.groups.shrink_to_fit();
    }

    /// What clients at a place have in common, by region: all but the covering prefix.
    pub(super) fn of_place(&self, place: &Place, region: RegionId) -> Excess {
        let country = place.country.map(Group::Country);
        let mut excess = Excess { ms: 0.0, from: None };
        self.blend(&mut excess, Some((Group::All, None)));
        self.blend(&mut excess, country.map(|country| (country, Some(region))));
        self.blend(&mut excess, place.asn.map(|asn| (Group::Asn(asn), Some(region))));
        excess
    }

    /// The same with the covering prefix of a client.
    pub(super) fn of_client(&self, mut excess: Excess, client: Client, region: RegionId) -> Excess {
        self.blend(&mut excess, Some((Group::Covering(client.covering()), Some(region))));
        excess
    }

    /// Moves an excess towards that of a narrower group, the more the more clients it has.
    fn blend(&self, excess: &mut Excess, key: Option<Key>) {
        let Some((group, region)) = key else { return };
        let Some(mean) = self.groups.get(&(group, region)) else { return };
        // In powers of two, so that one client more moves nobody.
        let clients = f64::from(1u32 << mean.clients.max(1).ilog2().min(10));
        let own = f64::from(mean.settled);
        let borrowed = if group == Group::All { BORROWED_BY_ALL } else { BORROWED };
        excess.ms = (clients * own + borrowed * excess.ms) / (clients + borrowed);
        if region.is_some() {
            excess.from = Some((group, mean.clients));
        }
    }

    /// Octets of memory in use.
    pub(super) fn bytes(&self) -> usize {
        // One octet of each place says whether it is taken.
        self.groups.capacity() * 8 / 7 * (size_of::<(Key, Mean)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::sample::place;

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn small_groups_borrow_from_wider_ones() {
        let mut means = Means::default();
        let (one, other) = (RegionId(0), RegionId(1));
        let german = Place { asn: Some(64_500), ..place("DE", 52.5, 13.4) };
        for number in 0..64 {
            means.add(client(&format!("192.{number}.2.0/24")), &german, one, 40.0);
        }
        means.add(client("198.51.100.0/24"), &place("FR", 48.8, 2.3), one, 0.0);
        means.settle(&Means::default());
        let of = |place: &Place, region| means.of_place(place, region).ms;
        assert!((39.0..40.0).contains(&of(&german, one)), "{}", of(&german, one));
        let to_other = means.of_place(&german, other);
        assert!((15.0..30.0).contains(&to_other.ms) && to_other.from.is_none(), "{to_other:?}");
        let french = of(&place("FR", 48.8, 2.3), one);
        assert!((5.0..30.0).contains(&french), "{french}");
        let near = means.of_client(
            means.of_place(&place("FR", 48.8, 2.3), one),
            client("192.7.200.0/24"),
            one,
        );
        assert!(near.ms > french, "its neighbour is German");
        assert!(matches!(near.from, Some((Group::Covering(_), 1))));
    }

    #[test]
    fn what_was_told_stands_while_it_is_about_right() {
        let excess = |ms: f64, before: &Means| {
            let mut means = Means::default();
            means.add(client("192.0.2.0/24"), &Place::default(), RegionId(0), ms);
            means.settle(before);
            means
        };
        let told = |means: &Means| means.groups[&(Group::All, None)].settled;
        let first = excess(10.0, &Means::default());
        let second = excess(11.9, &first);
        let third = excess(12.1, &second);
        let found = [&first, &second, &third].map(|means| format!("{:.1}", told(means)));
        assert_eq!(found, ["10.0", "10.0", "12.1"]);
        assert_eq!(format!("{:.0}", told(&excess(1e9, &first))), "300");
    }
}
