//! Ring hash: endpoints have points on a ring, and a key belongs to the next point.

use super::hash::rendezvous;
use super::{Field, Key, Member};
use crate::steering::mix;

/// Least points of an endpoint with the weight of most: shares then differ by about 8 %.
const POINTS: f64 = 160.0;
/// Steps of the scale from weights to points. It must not change when one endpoint joins or
/// leaves, since then all of them gain or lose points; so it is coarse.
const STEP: f64 = 8.0;
/// Points of all, whatever the weights: 3 MiB.
const POINTS_MAX: f64 = 262_144.0;

/// The points of all members, in order.
#[derive(Debug)]
pub(super) struct Ring {
    /// Position, and index of the member.
    points: Vec<(u64, u32)>,
}

impl Ring {
    pub(super) fn new(members: &[Member]) -> Self {
        let mut weights: Vec<f64> = members.iter().map(|member| member.weight).collect();
        weights.retain(|weight| *weight > 0.0);
        weights.sort_unstable_by(f64::total_cmp);
        let median = weights.get(weights.len() / 2).copied().unwrap_or(1.0);
        let unit = STEP.powf(median.log(STEP).floor());
        let all: f64 = weights.iter().sum();
        let scale = (POINTS / unit).min(POINTS_MAX / all.max(f64::MIN_POSITIVE));
        let mut points = Vec::new();
        for (index, member) in (0..).zip(members).filter(|(_, member)| member.weight > 0.0) {
            let count = (member.weight * scale).round().max(1.0) as u64;
            points.extend((1..=count).map(|point| (mix(member.id, point), index)));
        }
        points.sort_unstable_by_key(|(at, index)| {
            // Where two meet, the order of the members must not matter.
            (*at, members.get(*index as usize).map(|member| member.id))
        });
        Self { points }
    }

    /// The owner of the first point from the key on that is eligible: a loss moves the lost keys
    /// alone, each to its next point.
    pub(super) fn pick(&self, field: &Field<'_>, members: &[Member], key: Key) -> Option<usize> {
        let wanted = key.with(0);
        let from = self.points.partition_point(|(at, _)| *at < wanted);
        let (before, after) = self.points.split_at_checked(from)?;
        // Beyond so many points of others hardly any candidate is a member.
        for (_, index) in after.iter().chain(before).take(64 + 4 * members.len()) {
            let member = members.get(*index as usize)?;
            let found = field.find(member.id, *index as usize);
            if let Some(at) = found.filter(|at| key.is_taken(field, members, *at)) {
                return Some(at);
            }
        }
        rendezvous(field, key)
    }
}
