//! What one thread goes by: routes and endpoints of the latest snapshot, and its own turns.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use prometheus::{Histogram, IntCounter};
use rustls::ClientConfig;

use super::balance::{Balancer, Candidate, Key, ramp};
use super::budget::RetryBudget;
use super::cache::Shelves;
use super::cached::RouteCache;
use super::hedge::Hedging;
use super::place::{DOUBTED, DRAINED, Place, Places};
use super::queue::Queue;
use super::relay::Relays;
use super::rescue::Elsewhere;
use super::router::Router;
use super::shape::Shaping;
use super::tunnel;
use super::witness::Witness;
use crate::clock::Tick;
use crate::metrics::{Metrics, ProxyMetrics};
use crate::model::{Balance, Priority, Proxy, Route};
use crate::snapshot::{Snapshot, State};

/// Tries beside the first ones that each thread may make in the window of the budget, however few
/// the requests of a route are: few enough for a node of many threads.
const RETRIES_ALWAYS: u32 = 10;

/// One snapshot as a thread sees it.
#[derive(Debug)]
pub(super) struct View {
    /// Which snapshot.
    pub(super) generation: u64,
    state: Option<Arc<State>>,
    router: Rc<Router>,
    routes: Vec<Rc<RouteView>>,
    /// What passes through without being read.
    pub(super) relays: Relays,
    /// What the node allows now.
    pub(super) proxy: Rc<Proxy>,
}

/// A route with the endpoints it may choose from.
#[derive(Debug)]
pub(super) struct RouteView {
    /// What the file says.
    pub(super) route: Arc<Route>,
    /// What it does with heads and bodies; `None`: nothing.
    pub(super) shaping: Option<Rc<Shaping>>,
    /// Its counters.
    pub(super) counters: Rc<RouteCounters>,
    /// The endpoints that requests may go to, in the order of the file.
    pub(super) places: Vec<Place>,
    /// Endpoints of other regions.
    pub(super) elsewhere: Elsewhere,
    /// Who waits for one of `places`; `None`: there are none, or nobody may wait.
    pub(super) queue: Option<Arc<Queue>>,
    /// Whether response times decide anything.
    pub(super) measures: bool,
    /// How its endpoints speak TLS; `None`: they do not. Kept over reloads, with its sessions.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The replies that it keeps.
    pub(super) cache: Option<RouteCache>,
    /// When a second endpoint is asked beside the first; `None`: never.
    pub(super) hedging: Option<Hedging>,
    /// How many requests may be tried again.
    pub(super) budget: RefCell<RetryBudget>,
    turns: RefCell<Turns>,
}

#[derive(Debug)]
struct Turns {
    balancer: Balancer,
    /// Memory for the candidates of a request.
    candidates: Vec<Candidate>,
    /// The places behind `candidates`.
    indices: Vec<usize>,
}

/// Counters of a route, found once.
#[derive(Debug)]
pub(super) struct RouteCounters {
    /// By the first digit of the status.
    by_class: [IntCounter; 5],
    /// From head to end.
    pub(super) duration: Histogram,
    /// Tries beside the first.
    pub(super) retries: IntCounter,
    /// Octets from clients.
    pub(super) received: IntCounter,
    /// Octets to clients.
    pub(super) sent: IntCounter,
}

impl RouteCounters {
    /// The counters under this name.
    pub(super) fn new(metrics: &ProxyMetrics, route: &str) -> Self {
        tunnel::prepare(metrics, route);
        let class = |class| metrics.requests.with_label_values(&[route, class]);
        let octets = |direction| metrics.octets.with_label_values(&[route, direction]);
        // They are there from the start, so that alerts find them.
        metrics.protection.waited.with_label_values(&[route]);
        for priority in Priority::ALL {
            metrics.protection.shed.with_label_values(&[route, priority.as_str()]);
        }
        Self {
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            duration: metrics.duration.with_label_values(&[route]),
            retries: metrics.retries.with_label_values(&[route]),
            received: octets("received"),
            sent: octets("sent"),
        }
    }

    /// Counts a reply by its status.
    pub(super) fn replied(&self, status: u16) {
        if let Some(counter) = self.by_class.get(usize::from(status / 100).saturating_sub(1)) {
            counter.inc();
        }
    }
}

/// What all threads make their views of.
pub(super) struct Sources<'a> {
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) witness: &'a Witness,
    pub(super) shelves: &'a Shelves,
    /// The role as it was at the start, which holds where it is gone from the files.
    pub(super) started: &'a Rc<Proxy>,
}

impl View {
    /// A view without a route.
    pub(super) fn empty(proxy: Rc<Proxy>) -> Self {
        let (routes, router, relays) = (Vec::new(), Rc::default(), Relays::default());
        Self { generation: 0, state: None, router, routes, relays, proxy }
    }

    /// The view of a later snapshot; what has not changed since `self` is kept.
    pub(super) fn follow(&self, snapshot: &Snapshot, sources: &Sources<'_>, seed: u64) -> Self {
        let Some(state) = &snapshot.state else {
            return Self { generation: snapshot.generation, ..Self::empty(self.proxy.clone()) };
        };
        let model = &state.loaded.model;
        let same_files = self.state.as_ref().is_some_and(|old| {
            // Routes are resolved anew with each load, and shared by all snapshots of it.
            Arc::ptr_eq(&old.loaded.model, model)
        });
        let router = if same_files {
            self.router.clone()
        } else {
            Rc::new(Router::new(&model.fleet.routes))
        };
        let proxy = match &model.node.proxy {
            _ if same_files => self.proxy.clone(),
            Some(proxy) => Rc::new(proxy.clone()),
            None => sources.started.clone(),
        };
        let before: HashMap<&str, &Rc<RouteView>> =
            self.routes.iter().map(|view| (view.route.name.as_str(), view)).collect();
        let routes = model.fleet.routes.iter().map(|route| {
            let before = before.get(route.name.as_str()).copied();
            Rc::new(RouteView::new(route, before, state, sources, seed))
        });
        let relays = self.relays.follow(model.node.proxy.as_ref(), |route, before| {
            Rc::new(RouteView::new(route, before, state, sources, seed))
        });
        Self {
            generation: snapshot.generation,
            routes: routes.collect(),
            relays,
            state: Some(state.clone()),
            router,
            proxy,
        }
    }

    /// How requests find their routes.
    pub(super) fn router(&self) -> &Router {
        &self.router
    }

    /// A route by its place in the fleet.
    pub(super) fn route(&self, index: usize) -> Option<&Rc<RouteView>> {
        self.routes.get(index)
    }
}

impl RouteView {
    fn new(
        route: &Arc<Route>,
        before: Option<&Rc<Self>>,
        state: &State,
        sources: &Sources<'_>,
        seed: u64,
    ) -> Self {
        let found = Places { route, state, sources };
        let (places, members) = found.own();
        let elsewhere = Elsewhere::new(route, state, &found);
        elsewhere.show(&route.name, &sources.metrics.proxy);
        let first = places.first().filter(|_| route.protection.queue > 0);
        let queue = first.map(|place: &Place| place.load.queue.clone());
        let slow = route.protection.eject.as_ref().and_then(|eject| eject.rules.slow);
        let measures = route.balance == Balance::LeastResponseTime || slow.is_some();
        let kept = before.filter(|before| before.route.balance == route.balance);
        let balancer = match kept {
            Some(before) => before.turns.borrow().balancer.over(&members, seed),
            None => Balancer::new(route.balance, &members, seed),
        };
        let way = &route.upstream.way;
        let kept = before.filter(|before| before.route.upstream.way.identity == way.identity);
        let tls = match kept {
            Some(before) => before.tls.clone(),
            None => way.tls.as_ref().map(|tls| tls.config.clone()),
        };
        let counters = match before {
            Some(before) => before.counters.clone(),
            None => Rc::new(RouteCounters::new(&sources.metrics.proxy, &route.name)),
        };
        let cache = route.cache.as_ref().map(|rules| {
            RouteCache::new(&route.name, rules, sources.shelves, &sources.metrics.proxy)
        });
        let hedging = route.hedge.map(|rules| {
            let before = before.and_then(|before| before.hedging.as_ref());
            Hedging::new(&route.name, rules, before, &sources.metrics.proxy)
        });
        let share = route.retry.budget;
        let budget = match before {
            Some(before) => before.budget.borrow().under(share),
            None => RetryBudget::new(share, RETRIES_ALWAYS),
        };
        let shaping = match before.filter(|before| Arc::ptr_eq(&before.route, route)) {
            Some(before) => before.shaping.clone(),
            None => Shaping::of(route, &state.loaded.model, &sources.metrics.proxy).map(Rc::new),
        };
        let (candidates, indices) = (Vec::new(), Vec::new());
        let turns = RefCell::new(Turns { balancer, candidates, indices });
        let (route, budget) = (route.clone(), RefCell::new(budget));
        Self {
            route,
            shaping,
            counters,
            places,
            elsewhere,
            queue,
            measures,
            tls,
            cache,
            hedging,
            budget,
            turns,
        }
    }

    /// The place with this number, while it may take a request that none of `tried` could answer.
    /// One that is drained may not, nor one that fails requests for now: its clients move.
    pub(super) fn held(&self, id: u64, tried: &[SocketAddr], now: Tick) -> Option<&Place> {
        let most = i64::from(self.route.upstream.max_connections);
        self.places.iter().find(|place| {
            place.id == id
                && place.rank < DRAINED
                && !tried.contains(&place.address)
                && !place.is_out(now)
                && place.load.in_flight.get() < most
        })
    }

    /// The number of the place at an address.
    pub(super) fn number(&self, address: SocketAddr) -> Option<u64> {
        self.places.iter().find(|place| place.address == address).map(|place| place.id)
    }

    /// Chooses a place of the own region for a request that none of `tried` could answer, by the
    /// time and a random number; those that fail requests for now only where `out` says so. `Err`
    /// says whether there was any at all.
    pub(super) fn pick(
        &self,
        tried: &[SocketAddr],
        key: Key,
        (now, random): (Tick, u64),
        out: bool,
    ) -> Result<&Place, NoPlace> {
        let mut turns = self.turns.borrow_mut();
        let Turns { balancer, candidates, indices } = &mut *turns;
        let measured = self.route.balance == Balance::LeastResponseTime;
        let most = i64::from(self.route.upstream.max_connections);
        let mut no_place = NoPlace::Down;
        let ranks = self.places.iter().map(|place| place.rank).max().map_or(0, |rank| rank + 1);
        for rank in (0..ranks).filter(|rank| out || *rank != DOUBTED) {
            candidates.clear();
            indices.clear();
            for (index, place) in self.places.iter().enumerate().filter(|(_, p)| p.rank == rank) {
                if tried.contains(&place.address) || (!out && place.is_out(now)) {
                    continue;
                }
                let in_flight = place.load.in_flight.get();
                if in_flight >= most {
                    no_place = NoPlace::Full;
                    continue;
                }
                let grown = ramp(place.up_since, self.route.slow_start, now);
                let latency_ewma_ms = if measured { place.load.latency_ms(now) } else { 0.0 };
                candidates.push(Candidate {
                    id: place.id,
                    weight: place.weight * grown,
                    in_flight: in_flight as u32,
                    latency_ewma_ms,
                });
                indices.push(index);
            }
            let picked = balancer.pick(candidates, key, random);
            let index = picked.and_then(|at| indices.get(at));
            if let Some(place) = index.and_then(|index| self.places.get(*index)) {
                return Ok(place);
            }
        }
        Err(no_place)
    }

    /// How many requests the endpoints that are up work on, and how many they may.
    pub(super) fn fullness(&self, now: Tick) -> (u32, u32) {
        let up = self.places.iter().filter(|place| place.rank == 0 && !place.is_out(now));
        let most = self.route.upstream.max_connections;
        up.fold((0, 0), |(in_flight, places): (u32, u32), place| {
            let own = u32::try_from(place.load.in_flight.get()).unwrap_or_default();
            (in_flight.saturating_add(own), places.saturating_add(most))
        })
    }
}

/// Why a request can go nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// No endpoint is there that has not failed.
    Down,
    /// Those that are left have as many requests as they may have.
    Full,
}
