//! `/api/v1/history`: how many queries and answers there were, as it was counted lately.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use super::Admin;
use super::api::document;
use crate::clock;
use crate::dns::Totals;

/// How often the counters are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// Looks that are kept: those of a quarter of an hour, in which an outage is noticed.
const KEPT_MAX: usize = 180;

/// The counters as they were. A short lock, taken by a look and by readers.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<Arc<Look>>>);

/// The counters at one time.
#[derive(Debug)]
struct Look {
    time_ms: u64,
    queries: u64,
    answers: Vec<(String, u64)>,
}

/// What is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Remembered {
    /// Names of regions.
    regions: Vec<String>,
    /// Counters by time, the oldest first; empty on a node that answers no DNS.
    samples: Vec<Counted>,
}

/// Counters since the node started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
struct Counted {
    /// When, in milliseconds since 1970-01-01 UTC.
    time_ms: u64,
    /// Queries received.
    queries: u64,
    /// Steered answers by region of their first address, in the order of `regions`.
    answers: Vec<u64>,
}

/// Looks at the counters as long as the listener serves.
pub(super) async fn remember(admin: Admin) -> Infallible {
    let mut look = interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        look.tick().await;
        if let Some(counters) = &admin.counters {
            let time_ms = clock::unix_ms();
            admin.history.keep(time_ms, &counters.totals());
        }
    }
}

/// Tells of them.
pub(super) async fn history(State(admin): State<Admin>) -> Response {
    document(StatusCode::OK, &admin.history.told(), None)
}

impl History {
    fn keep(&self, time_ms: u64, totals: &Totals) {
        let queries = totals.queries.iter().map(|(_, queries)| queries).sum();
        let look = Arc::new(Look { time_ms, queries, answers: totals.regions.clone() });
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(look);
    }

    fn told(&self) -> Remembered {
        let kept: Vec<Arc<Look>> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        // Regions come with reloads, and stay in the counters.
        let last = kept.last().map_or(&[][..], |look| &look.answers);
        let regions: Vec<String> = last.iter().map(|(name, _)| name.clone()).collect();
        let samples = kept.iter().map(|look| {
            let of = |name: &String| look.answers.iter().find(|(known, _)| known == name);
            let answers = regions.iter().map(|name| of(name).map_or(0, |(_, count)| *count));
            Counted { time_ms: look.time_ms, queries: look.queries, answers: answers.collect() }
        });
        Remembered { samples: samples.collect(), regions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Transport;

    fn totals(queries: u64, regions: &[(&str, u64)]) -> Totals {
        let regions = regions.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Totals { queries: vec![(Transport::Udp, queries)], regions, ..Totals::default() }
    }

    #[test]
    fn looks_are_kept_for_a_while_and_regions_may_come() {
        let history = History::default();
        assert_eq!(history.told(), Remembered { regions: Vec::new(), samples: Vec::new() });
        history.keep(1_000, &totals(5, &[("eu", 3)]));
        history.keep(6_000, &totals(9, &[("ap", 1), ("eu", 4)]));
        let told = history.told();
        assert_eq!(told.regions, ["ap", "eu"]);
        let counts: Vec<_> = told.samples.iter().map(|one| one.answers.clone()).collect();
        assert_eq!(counts, [vec![0, 3], vec![1, 4]]);
        assert_eq!((told.samples[1].time_ms, told.samples[1].queries), (6_000, 9));
        for more in 0..KEPT_MAX as u64 {
            history.keep(7_000 + more, &totals(10, &[]));
        }
        let told = history.told();
        assert_eq!((told.samples.len(), told.samples[0].time_ms), (KEPT_MAX, 7_000));
    }
}
