//! How a request gets a place at an endpoint, and what is learnt there.

use std::net::SocketAddr;

use http::{HeaderMap, StatusCode};
use tokio::time::timeout_at;

use super::admission::{Admission, Fullness, admit};
use super::failure::Failure;
use super::load::InFlight;
use super::place::Place;
use super::queue::Queue;
use super::rescue;
use super::tries::Tries;
use super::view::{NoPlace, RouteView};
use crate::clock;
use crate::health::CauseKind;
use crate::model::Priority;

/// Between two looks of who waits: a place may become free without a word, as when an endpoint
/// comes up.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// A place and the request that has it.
pub(super) type Taken<'a> = (&'a Place, InFlight);

impl<'a> Tries<'a> {
    /// A place for the next try: here, else in another region, else here after a while, else where
    /// requests fail at the moment. One that goes to another region is marked.
    pub(super) async fn place(
        &self,
        tried: &[SocketAddr],
        headers: &mut HeaderMap,
    ) -> Result<Taken<'a>, Failure> {
        let (route, queue) = (self.route, self.route.queue.as_deref());
        let admission = match (self.priority, queue) {
            (None, None) => Admission::Now,
            (None, Some(queue)) if queue.length() == 0 => Admission::Now,
            (priority, _) => self.admission(priority, queue.map_or(0, Queue::length)),
        };
        let mut why = NoPlace::Full;
        if admission == Admission::Now {
            match self.pick(tried) {
                Ok(place) => return Ok(taken(place)),
                Err(no_place) => why = no_place,
            }
        }
        // Who has to wait for others that matter more stays, too.
        if (admission == Admission::Now || self.is_full())
            && let Some(place) = self.elsewhere(why, tried, headers)
        {
            return Ok(taken(place));
        }
        let limit = route.route.protection.queue;
        if why == NoPlace::Full
            && admission != Admission::Turned
            && let Some(queue) = queue.filter(|queue| queue.length() < limit)
        {
            // Few requests wait; the others need no room for it.
            return Box::pin(self.wait(tried, queue)).await;
        }
        let at = (clock::now(), self.worker.random());
        // All that are left fail requests, which is better than nothing, and shows when they no
        // longer do.
        if why == NoPlace::Down
            && let Ok(place) = route.pick(tried, self.key, at, true)
        {
            return Ok(taken(place));
        }
        let shed = admission == Admission::Turned && self.priority < Some(Priority::High);
        match self.priority.filter(|_| shed) {
            Some(priority) => {
                let labels = [route.route.name.as_str(), priority.as_str()];
                let metrics = &self.worker.shared.metrics.proxy.protection;
                metrics.shed.with_label_values(&labels).inc();
                Err(Failure::Shed)
            }
            None => Err(why.into()),
        }
    }

    fn pick(&self, tried: &[SocketAddr]) -> Result<&'a Place, NoPlace> {
        if let Some(held) = self.held.and_then(|id| self.route.held(id, tried, clock::now())) {
            return Ok(held);
        }
        let at = (clock::now(), self.worker.random());
        self.route.pick(tried, self.key, at, false)
    }

    /// What becomes of a request while so many others wait.
    fn admission(&self, priority: Option<Priority>, queued: u32) -> Admission {
        let (in_flight, places) = self.route.fullness(clock::now());
        if places == 0 {
            // Nothing is up; whether anything else is left is not a matter of places.
            return Admission::Now;
        }
        let queue = self.route.route.protection.queue;
        let fullness = Fullness { in_flight, places, queued, queue };
        // Where requests are all alike the last place is for any of them.
        admit(fullness, priority.unwrap_or(Priority::High))
    }

    /// Whether the endpoints that are up have as many requests as they may have.
    fn is_full(&self) -> bool {
        let (in_flight, places) = self.route.fullness(clock::now());
        in_flight >= places
    }

    /// A place in another region.
    fn elsewhere(
        &self,
        why: NoPlace,
        tried: &[SocketAddr],
        headers: &mut HeaderMap,
    ) -> Option<&'a Place> {
        let route = self.route;
        let rescue = route.route.protection.rescue?;
        let now = clock::now();
        let most = i64::from(route.route.upstream.max_connections);
        let free = |place: &Place| {
            !tried.contains(&place.address)
                && !place.is_out(now)
                && place.load.in_flight.get() < most
        };
        let found = route.elsewhere.find(rescue, why, now, self.worker.random(), free);
        let refuge = found.filter(|_| !rescue::is_marked(headers))?;
        rescue::mark(headers);
        let labels = [route.route.name.as_str(), refuge.region, refuge.reason];
        let metrics = &self.worker.shared.metrics.proxy.protection;
        metrics.rescued.with_label_values(&labels).inc();
        Some(refuge.place)
    }

    /// Waits for a place.
    async fn wait(&self, tried: &[SocketAddr], queue: &Queue) -> Result<Taken<'a>, Failure> {
        let protection = &self.route.route.protection;
        let begun = clock::stopwatch();
        let end = (tokio::time::Instant::now() + protection.queue_time).min(self.end);
        let waiter = queue.join(self.priority.unwrap_or_default());
        let mut first = false;
        let found = loop {
            let mut woken = waiter.stand(first);
            // What became free just before told nobody.
            let alone = !first && queue.length() == 1;
            if !alone {
                loop {
                    let look = (tokio::time::Instant::now() + LOOK_EVERY).min(end);
                    match timeout_at(look, &mut woken).await {
                        Ok(_) => break,
                        Err(_) if tokio::time::Instant::now() >= end => {
                            self.waited(begun);
                            return Err(Failure::QueueTimeout);
                        }
                        Err(_) => queue.wake(),
                    }
                }
            }
            if self.admission(self.priority, 0) == Admission::Now
                && let Ok(place) = self.pick(tried)
            {
                break taken(place);
            }
            first = true;
        };
        self.waited(begun);
        Ok(found)
    }

    /// Counts how long it took to get a place, or none.
    fn waited(&self, begun: std::time::Instant) {
        let labels = [self.route.route.name.as_str()];
        let metrics = &self.worker.shared.metrics.proxy.protection;
        metrics.waited.with_label_values(&labels).observe(begun.elapsed().as_secs_f64());
    }
}

fn taken(place: &Place) -> Taken<'_> {
    if place.is_drained() {
        place.load.drained.inc();
    }
    (place, InFlight::new(place.load.clone()))
}

impl RouteView {
    /// Takes in what came of a try: an endpoint that fails is left out for a time, and health is
    /// told of it.
    pub(super) fn note(&self, place: &Place, came: Result<StatusCode, Failure>) {
        let Some(eject) = &self.route.protection.eject else { return };
        let (kind, answered) = match came {
            Ok(status) if status.as_u16() < 400 || !eject.statuses.contains(&status.as_u16()) => {
                place.succeeded();
                return;
            }
            Ok(_) => (CauseKind::Status, true),
            Err(Failure::Connect) => (CauseKind::Connect, false),
            Err(Failure::Timeout) => (CauseKind::Timeout, false),
            Err(Failure::Reset | Failure::BadReply) => (CauseKind::Protocol, false),
            // That was the client's fault, or ours.
            Err(_) => return,
        };
        place.failed(kind, answered, clock::now());
    }
}
