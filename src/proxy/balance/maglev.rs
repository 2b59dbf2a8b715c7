//! Maglev: a table in which every endpoint has its share of places, and a key is a place.
//!
//! Endpoints take turns to choose their next free place, each in an order of its own, so that
//! shares are even and few places change hands when an endpoint joins or leaves.

use super::hash::rendezvous;
use super::{Field, Key, Member};
use crate::steering::mix;

/// Places, a prime: about a hundred times the endpoints that a pool may sensibly have.
const PLACES: usize = 65_537;
/// Places that a key tries before it draws among the candidates: with half of the endpoints gone
/// one key in 65,000 gets as far.
const TRIES: u64 = 16;
/// A place that nobody has.
const FREE: u16 = u16::MAX;

/// The table.
#[derive(Debug)]
pub(super) struct Maglev {
    /// Index of the member at each place; empty when no member has weight.
    places: Vec<u16>,
}

/// A member that is still choosing.
struct Chooser {
    index: u16,
    offset: u64,
    skip: u64,
    /// Places it has looked at.
    seen: u64,
    /// Its weight, as a share of the heaviest.
    share: f64,
    /// Turns it is owed.
    credit: f64,
}

impl Maglev {
    pub(super) fn new(members: &[Member]) -> Self {
        let heaviest = members.iter().map(|member| member.weight).fold(0.0, f64::max);
        let weighty = (0..FREE).zip(members).filter(|(_, member)| member.weight > 0.0);
        let mut choosers: Vec<(u64, Chooser)> = weighty
            .map(|(index, member)| {
                let offset = mix(member.id, 1) % PLACES as u64;
                let skip = mix(member.id, 2) % (PLACES as u64 - 1) + 1;
                let share = member.weight / heaviest;
                (member.id, Chooser { index, offset, skip, seen: 0, share, credit: 0.0 })
            })
            .collect();
        // Who comes first in a turn must not depend on the order of the members.
        choosers.sort_unstable_by_key(|(id, _)| mix(*id, 3));
        let mut places = vec![FREE; if choosers.is_empty() { 0 } else { PLACES }];
        let mut free = places.len();
        while free > 0 {
            for (_, chooser) in &mut choosers {
                chooser.credit += chooser.share;
                if chooser.credit >= 1.0 && free > 0 {
                    chooser.credit -= 1.0;
                    chooser.choose(&mut places);
                    free -= 1;
                }
            }
        }
        Self { places }
    }

    /// The owner of the key's place; where it is not eligible, that of the key's next place: a
    /// loss moves the lost keys alone, and spreads them over all others.
    pub(super) fn pick(&self, field: &Field<'_>, members: &[Member], key: Key) -> Option<usize> {
        for attempt in 0..TRIES {
            let place = key.with(attempt) % PLACES as u64;
            let Some(index) = self.places.get(place as usize) else { break };
            let Some(member) = members.get(usize::from(*index)) else { break };
            let found = field.find(member.id, usize::from(*index));
            if let Some(at) = found.filter(|at| key.is_taken(field, members, *at)) {
                return Some(at);
            }
        }
        rendezvous(field, key)
    }
}

impl Chooser {
    /// Takes the next place of its order that is free; there is one.
    fn choose(&mut self, places: &mut [u16]) {
        while self.seen < PLACES as u64 {
            let place = (self.offset + self.seen * self.skip) % PLACES as u64;
            self.seen += 1;
            if let Some(owner) = places.get_mut(place as usize).filter(|owner| **owner == FREE) {
                *owner = self.index;
                return;
            }
        }
    }
}
