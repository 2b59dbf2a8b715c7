//! What one thread goes by: routes and endpoints of the latest snapshot, and its own turns.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use prometheus::{Histogram, IntCounter};

use super::balance::{Balancer, Candidate, Key, Member, ramp};
use super::budget::RetryBudget;
use super::load::{EndpointLoad, Loads};
use super::router::Router;
use crate::clock::Tick;
use crate::health::{EndpointHealth, EndpointIdentity, HostAddresses, Level, Subject};
use crate::metrics::ProxyMetrics;
use crate::model::{Address, Balance, Proxy, Route};
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
    /// What the node allows now.
    pub(super) proxy: Rc<Proxy>,
}

/// A route with the endpoints it may choose from.
#[derive(Debug)]
pub(super) struct RouteView {
    /// What the file says.
    pub(super) route: Arc<Route>,
    /// Its counters.
    pub(super) counters: Rc<RouteCounters>,
    /// The endpoints that requests may go to, in the order of the file.
    pub(super) places: Vec<Place>,
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

/// An endpoint at one of its addresses.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where it is reached.
    pub(super) address: SocketAddr,
    /// What it is doing.
    pub(super) load: Arc<EndpointLoad>,
    id: u64,
    weight: f64,
    /// 0 is used first; higher ones only while no lower one is left.
    rank: u8,
    up_since: Tick,
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
        let class = |class| metrics.requests.with_label_values(&[route, class]);
        let octets = |direction| metrics.octets.with_label_values(&[route, direction]);
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
    pub(super) metrics: &'a ProxyMetrics,
    pub(super) loads: &'a Loads,
    /// The role as it was at the start, which holds where it is gone from the files.
    pub(super) started: &'a Rc<Proxy>,
}

impl View {
    /// A view without a route.
    pub(super) fn empty(proxy: Rc<Proxy>) -> Self {
        let (routes, router) = (Vec::new(), Rc::default());
        Self { generation: 0, state: None, router, routes, proxy }
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
        Self {
            generation: snapshot.generation,
            routes: routes.collect(),
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
        let model = &state.loaded.model;
        let fleet = &model.fleet;
        let pool = fleet.pool(route.pool);
        let mut places = Vec::new();
        let mut members = Vec::new();
        for (id, endpoint) in fleet.endpoints_of(pool) {
            if endpoint.region != model.node.region {
                continue;
            }
            let identity = EndpointIdentity::of(fleet, endpoint);
            let addresses = addresses(&endpoint.address, &state.hosts);
            // What a hostname resolves to shares its weight.
            let weight = f64::from(endpoint.weight) / addresses.len().max(1) as f64;
            let health = state.health.get(id.0 as usize);
            let load = sources.loads.of(identity.clone(), sources.metrics);
            for address in addresses {
                let name = Subject::of(&identity, &format!("proxy {address}")).0;
                members.push(Member { id: name, weight });
                let Some((rank, up_since)) = standing(health) else { continue };
                places.push(Place {
                    address: SocketAddr::new(address, route.upstream.port),
                    load: load.clone(),
                    id: name,
                    weight,
                    rank,
                    up_since,
                });
            }
        }
        let kept = before.filter(|before| before.route.balance == route.balance);
        let balancer = match kept {
            Some(before) => before.turns.borrow().balancer.over(&members, seed),
            None => Balancer::new(route.balance, &members, seed),
        };
        let counters = match before {
            Some(before) => before.counters.clone(),
            None => Rc::new(RouteCounters::new(sources.metrics, &route.name)),
        };
        let share = route.retry.budget;
        let budget = match before {
            Some(before) => before.budget.borrow().under(share),
            None => RetryBudget::new(share, RETRIES_ALWAYS),
        };
        let (candidates, indices) = (Vec::new(), Vec::new());
        let turns = RefCell::new(Turns { balancer, candidates, indices });
        Self { route: route.clone(), counters, places, budget: RefCell::new(budget), turns }
    }

    /// Chooses a place for a request that none of `tried` could answer; `Err` says whether there
    /// was any at all.
    pub(super) fn pick(
        &self,
        tried: &[SocketAddr],
        key: Key,
        now: Tick,
        random: u64,
    ) -> Result<&Place, NoPlace> {
        let mut turns = self.turns.borrow_mut();
        let Turns { balancer, candidates, indices } = &mut *turns;
        let measured = self.route.balance == Balance::LeastResponseTime;
        let most = i64::from(self.route.upstream.max_connections);
        let mut no_place = NoPlace::Down;
        let ranks = self.places.iter().map(|place| place.rank).max().map_or(0, |rank| rank + 1);
        for rank in 0..ranks {
            candidates.clear();
            indices.clear();
            for (index, place) in self.places.iter().enumerate().filter(|(_, p)| p.rank == rank) {
                if tried.contains(&place.address) {
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
}

/// Why a request can go nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// No endpoint is there that has not failed.
    Down,
    /// Those that are left have as many requests as they may have.
    Full,
}

/// Where an endpoint of this health stands, and since when it is up; `None`: nothing goes there.
fn standing(health: Option<&EndpointHealth>) -> Option<(u8, Tick)> {
    let health = health?;
    match health.level {
        Level::Up => Some((0, health.since)),
        Level::Unknown => Some((1, health.since)),
        // New requests go elsewhere for as long as there is anything else.
        Level::Drained => Some((2, health.since)),
        Level::Down => None,
    }
}

/// The addresses of an endpoint now.
fn addresses(address: &Address, hosts: &HostAddresses) -> Vec<IpAddr> {
    match address {
        Address::Ip(ip) => vec![*ip],
        Address::Host(name) => {
            hosts.get(name).map(|found| found.addresses().collect()).unwrap_or_default()
        }
    }
}
