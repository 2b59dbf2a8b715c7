//! What the proxy sees of endpoints, for all its threads, and what it tells the judge of health.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::ejections::AllEjections;
use super::load::{Loads, Tally};
use super::round_trips::{RoundTrip, RoundTrips};
use crate::clock::Tick;
use crate::health::{CauseKind, Outcome, Subject};
use crate::load::{Knee, Meter, Reading, Sample, Weights};
use crate::metrics::ProxyMetrics;

/// What the proxy sees of endpoints.
#[derive(Debug, Default)]
pub struct Witness {
    /// What they are doing.
    pub(super) loads: Loads,
    /// Which ones are left out.
    pub(super) ejections: AllEjections,
    /// How far away clients are.
    pub(super) round_trips: RoundTrips,
    /// What was told of each. Locked by the judge alone.
    told: Mutex<HashMap<Subject, Told>>,
    /// The rates of pools, and what they can take. Locked by the judge alone.
    meters: Mutex<HashMap<String, (Meter, Knee)>>,
}

/// What was told of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    tally: Tally,
    was_out: bool,
}

impl Witness {
    /// How far away clients are, by what was measured since the last time.
    pub fn round_trips(&self) -> Vec<RoundTrip> {
        self.round_trips.take()
    }

    /// The load of each pool in this region, as this node's proxy sees it. To be called every
    /// second. `weights` says what those of a pool weigh, where its capacity is to be learnt.
    pub fn loads(
        &self,
        region: &str,
        weights: impl Fn(&str) -> Option<Weights>,
        now: Tick,
    ) -> Vec<(String, Sample)> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = self.loads.of_region(region);
        meters.retain(|pool, _| pools.contains_key(pool));
        let sample = |(pool, reading): (String, Reading)| {
            let (meter, knee) = meters.entry(pool.clone()).or_default();
            let (requests, errors) = meter.read(reading.totals, now);
            let weights = weights(&pool);
            if weights.is_none() {
                *knee = Knee::default();
            }
            let capacity = weights.and_then(|weights| knee.read(reading, weights, now));
            let Reading { in_flight, queue, .. } = reading;
            (pool, Sample { requests, errors, in_flight, queue, capacity })
        };
        pools.into_iter().map(sample).collect()
    }

    /// What the requests since the last report say of each endpoint that had any or is left out.
    /// To be called every second.
    pub fn report(&self, metrics: &ProxyMetrics, now: Tick) -> Vec<(Subject, Outcome)> {
        let out = self.ejections.sweep(metrics, now);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *told);
        let mut reports = Vec::new();
        for (pool, load) in self.loads.all() {
            let subject = load.subject();
            let is_out = out.iter().any(|other| Arc::ptr_eq(other, &load));
            let tally = load.tally();
            told.insert(subject, Told { tally, was_out: is_out });
            // What is seen for the first time has done nothing yet that was not seen.
            let before = before.get(&subject).copied().unwrap_or_default();
            if let Some(outcome) = observed(before, tally, is_out) {
                let labels = [pool.as_str(), outcome.word()];
                metrics.protection.observations.with_label_values(&labels).inc();
                reports.push((subject, outcome));
            }
        }
        reports
    }
}

/// What an endpoint's requests since the last report say of it; `None`: there were none.
///
/// A second counts as failed when most of its requests failed. While it is left out every second
/// does, so that the others learn of it, too; once that is over it is on trial, which a verdict
/// from before would not let begin.
fn observed(before: Told, tally: Tally, is_out: bool) -> Option<Outcome> {
    let kind = tally.last.unwrap_or(CauseKind::Protocol);
    if is_out {
        return Some(Outcome::failure(kind, format!("ejected: {}", words(kind))));
    }
    if before.was_out {
        return Some(Outcome::Unknown("on trial after an ejection".into()));
    }
    let requests = tally.requests.saturating_sub(before.tally.requests);
    let failed = tally.failed.saturating_sub(before.tally.failed);
    if failed * 2 > requests {
        let cause = format!("most requests fail: {}", words(kind));
        return Some(Outcome::failure(kind, cause));
    }
    (requests > 0).then_some(Outcome::Success)
}

/// A sort of failure in words.
fn words(kind: CauseKind) -> &'static str {
    match kind {
        CauseKind::Connect => "no connection",
        CauseKind::Timeout => "no reply in time",
        CauseKind::Status => "error status",
        _ => "connection broke",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_counts_by_what_most_of_its_requests_say() {
        let tally = |requests, failed| Tally { requests, failed, last: Some(CauseKind::Timeout) };
        let before = Told { tally: tally(100, 10), was_out: false };
        let was_out = Told { was_out: true, ..before };
        for (case, before, requests, failed, is_out, expected) in [
            ("no request", before, 100, 10, false, None),
            ("good ones", before, 101, 10, false, Some("ok")),
            ("half of them bad", before, 110, 15, false, Some("ok")),
            ("more", before, 110, 16, false, Some("failed")),
            ("left out, without a request", before, 100, 10, true, Some("failed")),
            ("still", was_out, 100, 10, true, Some("failed")),
            ("back", was_out, 100, 10, false, Some("unknown")),
        ] {
            let found = observed(before, tally(requests, failed), is_out);
            assert_eq!(found.as_ref().map(Outcome::word), expected, "{case}");
        }
        let found = observed(before, tally(101, 11), false).unwrap();
        let cause = "most requests fail: no reply in time";
        assert_eq!(found, Outcome::failure(CauseKind::Timeout, cause));
    }
}
