//! The least loaded candidate, among all or among two.

use super::{Candidate, Field};
use crate::steering::mix;

/// The one with the fewest requests in flight for its weight; of several, one by weight, so that
/// an idle pool is not served by its first endpoint alone.
pub(super) fn connections(field: &Field<'_>, random: u64) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    let mut tied = 0.0;
    let mut random = random;
    for (at, weight, candidate) in field.entrants() {
        let load = f64::from(candidate.in_flight) / weight;
        match best {
            Some((least, _)) if load > least => continue,
            Some((least, _)) if load < least => tied = 0.0,
            _ => {}
        }
        // The n-th of those tied takes the place with the probability of its share so far.
        tied += weight;
        random = mix(random, 1);
        if best.is_none_or(|(least, _)| load < least) || super::hash::unit(random) * tied < weight {
            best = Some((load, at));
        }
    }
    best.map(|(_, at)| at)
}

/// The better of two drawn by weight. The first drawn wins a tie, which makes the shares of an
/// idle pool exact.
fn better_of_two(
    field: &Field<'_>,
    random: u64,
    cost: impl Fn(&Candidate, f64) -> f64,
) -> Option<usize> {
    let first = field.draw(random, None)?;
    let Some(second) = field.draw(mix(random, 2), Some(first)) else { return Some(first) };
    let cost = |at: usize| {
        let candidate = field.candidates.get(at);
        candidate.map_or(f64::INFINITY, |found| cost(found, field.weight(found)))
    };
    Some(if cost(second) < cost(first) { second } else { first })
}

/// The better of two by requests in flight for their weight.
pub(super) fn of_two(field: &Field<'_>, random: u64) -> Option<usize> {
    better_of_two(field, random, |candidate, weight| f64::from(candidate.in_flight) / weight)
}

/// The better of two by response time, which requests in flight make worse.
///
/// One that has not answered lately counts as average, and waits for its first answer before it
/// gets a second request: nobody rushes to a new endpoint because nothing bad is known of it.
pub(super) fn response_time(field: &Field<'_>, random: u64) -> Option<usize> {
    let (mut sum, mut known, mut heaviest) = (0.0, 0.0, 0.0_f64);
    for (_, weight, candidate) in field.entrants() {
        heaviest = heaviest.max(weight);
        if candidate.latency_ewma_ms > 0.0 {
            (sum, known) = (sum + f64::from(candidate.latency_ewma_ms), known + 1.0);
        }
    }
    if known == 0.0 {
        return of_two(field, random);
    }
    better_of_two(field, random, |candidate, weight| {
        let latency = match f64::from(candidate.latency_ewma_ms) {
            measured if measured > 0.0 => measured,
            _ if candidate.in_flight > 0 => return f64::INFINITY,
            _ => sum / known,
        };
        // A request in flight weighs as many as its endpoint is lighter than the heaviest.
        latency * (1.0 + f64::from(candidate.in_flight) * heaviest / weight)
    })
}
