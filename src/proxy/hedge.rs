//! Hedging: a second endpoint is asked when the first one is slow to reply. The first head that
//! comes is the reply; the other request is given up.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::Request;
use prometheus::IntCounter;
use tokio::time::sleep;

use super::budget::RetryBudget;
use super::exchange::Exchange;
use super::failure::Failure;
use super::load::InFlight;
use super::request_body::{Onward, RequestBody};
use super::traces::Spans;
use super::tries::{Forwarded, Outcome, Tries, copy};
use crate::clock::{self, Tick};
use crate::metrics::ProxyMetrics;
use crate::model::{Hedge, HedgeAfter};

/// Response times that are looked back at: enough for a percentile, few enough to follow a change.
const LATELY: usize = 128;
/// Fewer of them say nothing of how long a reply takes.
const LATELY_MIN: usize = 32;
/// Response times after which the percentile is worked out anew.
const EVERY: usize = 16;
/// Second requests that each thread may make in the window of the budget whatever the share, so
/// that a route with few requests has one.
const ALWAYS: u32 = 1;

/// The hedging of one route on one thread.
#[derive(Debug)]
pub(super) struct Hedging {
    rules: Hedge,
    state: RefCell<State>,
    won: IntCounter,
    lost: IntCounter,
    refused: IntCounter,
}

#[derive(Clone, Debug)]
struct State {
    budget: RetryBudget,
    lately: Lately,
}

/// How long the last replies took.
#[derive(Clone, Debug)]
struct Lately {
    times: [Duration; LATELY],
    seen: usize,
    /// The 95th percentile, as it was last worked out; `None`: too few replies came.
    p95: Option<Duration>,
}

impl Hedging {
    /// The hedging of the route of this name; what `before` has seen stays.
    pub(super) fn new(
        route: &str,
        rules: Hedge,
        before: Option<&Self>,
        metrics: &ProxyMetrics,
    ) -> Self {
        let state = match before {
            Some(before) => {
                let State { budget, lately } = before.state.borrow().clone();
                State { budget: budget.under(rules.budget), lately }
            }
            None => State {
                budget: RetryBudget::new(rules.budget, ALWAYS),
                lately: Lately { times: [Duration::ZERO; LATELY], seen: 0, p95: None },
            },
        };
        let count = |result| metrics.protection.hedges.with_label_values(&[route, result]);
        let [won, lost, refused] = ["won", "lost", "refused"].map(count);
        Self { rules, state: RefCell::new(state), won, lost, refused }
    }

    /// A request may be hedged; after this time, or not at all.
    pub(super) fn begin(&self, now: Tick) -> Option<Duration> {
        let mut state = self.state.borrow_mut();
        state.budget.request(now);
        match self.rules.after {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::P95 => state.lately.p95,
        }
    }

    /// Whether a second endpoint may be asked now.
    pub(super) fn may(&self, now: Tick) -> bool {
        let may = self.state.borrow_mut().budget.retry(now);
        if !may {
            self.refused.inc();
        }
        may
    }

    /// A second endpoint was asked, and replied first or not.
    pub(super) fn decided(&self, second: bool) {
        if second { self.won.inc() } else { self.lost.inc() }
    }

    /// The head of a reply came after this time.
    pub(super) fn heard(&self, took: Duration) {
        if self.rules.after == HedgeAfter::P95 {
            self.state.borrow_mut().lately.heard(took);
        }
    }
}

impl Lately {
    fn heard(&mut self, took: Duration) {
        if let Some(place) = self.times.get_mut(self.seen % LATELY) {
            *place = took;
        }
        self.seen += 1;
        if self.seen >= LATELY_MIN && self.seen.is_multiple_of(EVERY) {
            let mut sorted = self.times;
            let sorted = sorted.get_mut(..self.seen.min(LATELY)).unwrap_or_default();
            sorted.sort_unstable();
            self.p95 = sorted.get(sorted.len() * 95 / 100).copied();
        }
    }
}

/// What a second endpoint said.
struct Second {
    reply: Forwarded,
    address: SocketAddr,
    in_flight: InFlight,
    took: Duration,
}

impl Tries<'_> {
    /// How a request is hedged; `None`: it is not, or must not be sent twice.
    pub(super) fn hedging(&self, request: &Request<RequestBody>) -> Option<&Hedging> {
        let hedging = self.route.hedging.as_ref()?;
        let twice = self.idempotent && request.body().is_empty() && self.offered.is_none();
        twice.then_some(hedging)
    }

    /// [`Tries::try_all`], and a second endpoint beside it when that takes long.
    pub(super) async fn hedged(
        &self,
        hedging: &Hedging,
        request: Onward,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Failure> {
        let Some(after) = hedging.begin(clock::now()) else {
            return self.try_all(request, exchange).await;
        };
        let again = copy(&request, RequestBody::empty());
        let spans = exchange.spans().cloned();
        let won = {
            let mut first = pin!(self.try_all(request, exchange));
            tokio::select! {
                biased;
                done = &mut first => return done,
                () = sleep(after) => {}
            }
            // One that waits for a place is not helped by taking another one's.
            let tried = self.current.get().filter(|_| hedging.may(clock::now()));
            let Some(tried) = tried else { return first.await };
            let mut second = pin!(self.second(again, tried, spans.as_ref()));
            let (failed, won) = tokio::select! {
                biased;
                done = &mut first => match done {
                    Ok(reply) => {
                        hedging.decided(false);
                        return Ok(reply);
                    }
                    Err(failure) => (Some(failure), second.await),
                },
                won = &mut second => (None, won),
            };
            match (won, failed) {
                (Some(won), _) => won,
                (None, failed) => {
                    hedging.decided(false);
                    return match failed {
                        Some(failure) => Err(failure),
                        None => first.await,
                    };
                }
            }
        };
        hedging.decided(true);
        exchange.in_flight = Some(won.in_flight);
        exchange.tried(won.address);
        exchange.heard(won.took);
        Ok(won.reply)
    }

    /// Asks another endpoint than the one that was tried; `None`: there is none that has anything
    /// better to say than to wait.
    async fn second(
        &self,
        mut request: Onward,
        tried: SocketAddr,
        spans: Option<&Rc<Spans>>,
    ) -> Option<Second> {
        let at = (clock::now(), self.worker.random());
        let place = self.route.pick(&[tried], self.key, at, false).ok()?;
        let in_flight = InFlight::new(place.load.clone());
        let mut span = self.attempt(spans, place, &mut request, true);
        let connected = self.connection(place, false, at.0).await;
        let noted = |failure| self.noted(place, failure);
        let connected = connected.map_err(|failure| noted(span.failed(failure)));
        let (mut sender, _) = connected.ok()?;
        let sent = clock::stopwatch();
        let asked = self.ask(&mut sender, request, None, sent).await;
        span.came(&asked);
        let (outcome, _) = asked.map_err(noted).ok()?;
        let Outcome::Reply(reply) = outcome else { return None };
        let took = sent.elapsed();
        self.heard(place, &reply, took);
        if reply.status().is_server_error() {
            return None;
        }
        let finished = self.finish(reply, sender, self.key_of(place));
        let reply = finished.map_err(|failure| self.noted(place, failure)).ok()?;
        Some(Second { reply, address: place.address, in_flight, took })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hedging(after: HedgeAfter, budget: f64) -> Hedging {
        let metrics = crate::metrics::Metrics::new().unwrap();
        Hedging::new("r", Hedge { after, budget }, None, &metrics.proxy)
    }

    #[test]
    fn the_percentile_follows_what_came_lately() {
        let hedging = hedging(HedgeAfter::P95, 0.05);
        let ms = Duration::from_millis;
        (0..31).for_each(|_| hedging.heard(ms(10)));
        assert_eq!(hedging.begin(Tick(0)), None, "too few");
        hedging.heard(ms(10));
        assert_eq!(hedging.begin(Tick(0)), Some(ms(10)));
        (0..128).for_each(|at| hedging.heard(ms(if at % 10 == 0 { 90 } else { 20 })));
        assert_eq!(hedging.begin(Tick(0)), Some(ms(90)), "one in ten is slow");
        (0..128).for_each(|at| hedging.heard(ms(if at % 50 == 0 { 90 } else { 20 })));
        assert_eq!(hedging.begin(Tick(0)), Some(ms(20)), "one in fifty is");
    }

    #[test]
    fn second_requests_are_a_share_of_all() {
        let hedging = hedging(HedgeAfter::Time(Duration::ZERO), 0.05);
        assert!((0..100).all(|_| hedging.begin(Tick(1_000)).is_some()));
        assert_eq!((0..100).filter(|_| hedging.may(Tick(1_000))).count(), 6);
        assert_eq!(hedging.refused.get(), 94);
    }
}
