//! Round robin, plain and smoothly weighted.

use super::hash::unit;
use super::{Field, Member, member_of};
use crate::steering::mix;

/// Plain rotation: after each endpoint comes the next eligible one in the order of the members,
/// so that every subset of them is gone through evenly.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// The position chosen last.
    last: u64,
    /// Whether `last` is still the seed.
    fresh: bool,
}

impl Rotation {
    pub(super) fn new(seed: u64) -> Self {
        Self { last: seed, fresh: true }
    }

    pub(super) fn pick(&mut self, field: &Field<'_>, members: &[Member]) -> Option<usize> {
        let last = self.last as usize;
        let last = if self.fresh { last % members.len().max(1) } else { last };
        // What is no member comes after all of them, in the order given.
        let place = |at: usize, id: u64| member_of(members, id, at).unwrap_or(members.len() + at);
        let mut next: Option<(bool, usize, usize)> = None;
        for (at, _, candidate) in field.entrants() {
            let place = place(at, candidate.id);
            let rank = (place <= last, place, at);
            if next.is_none_or(|next| rank < next) {
                next = Some(rank);
            }
        }
        let (_, place, at) = next?;
        (self.last, self.fresh) = (place as u64, false);
        Some(at)
    }
}

/// Smooth weighted rotation: all credits grow by weight, the highest is chosen and pays the sum.
/// The turns of a heavy endpoint are spread out, and over one round shares are exact.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// By member.
    credits: Vec<f64>,
}

impl Turns {
    /// Each begins with part of its weight, so that threads are not in step.
    pub(super) fn new(members: &[Member], seed: u64) -> Self {
        let credit = |(at, member): (u64, &Member)| unit(mix(seed, at)) * member.weight.max(0.0);
        Self { credits: (0..).zip(members).map(credit).collect() }
    }

    pub(super) fn pick(&mut self, field: &Field<'_>, members: &[Member]) -> Option<usize> {
        let total = field.total();
        let mut best: Option<(f64, usize, Option<usize>)> = None;
        for (at, weight, candidate) in field.entrants() {
            let member = member_of(members, candidate.id, at);
            let credit = match member.and_then(|member| self.credits.get_mut(member)) {
                Some(credit) => {
                    // Who was away while others had their turns brings no fortune or debt.
                    *credit = (*credit + weight).clamp(-total, total);
                    *credit
                }
                None => weight,
            };
            if best.is_none_or(|(most, ..)| credit > most) {
                best = Some((credit, at, member));
            }
        }
        let (_, at, member) = best?;
        if let Some(credit) = member.and_then(|member| self.credits.get_mut(member)) {
            *credit -= total;
        }
        Some(at)
    }
}
