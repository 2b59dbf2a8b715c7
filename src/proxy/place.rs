//! The places that the requests of a route may go to: endpoints at their addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::balance::Member;
use super::ejections::{Ejectable, Key as EjectKey};
use super::load::EndpointLoad;
use super::pool::ConnectionKey;
use super::view::Sources;
use crate::clock::Tick;
use crate::health::{CauseKind, EndpointHealth, EndpointIdentity, HostAddresses, Level, Subject};
use crate::model::{Address, Endpoint, EndpointId, RegionId, Route, Way};
use crate::snapshot::State;

/// The rank of drained endpoints.
pub(super) const DRAINED: u8 = 2;
/// The rank of endpoints that fail requests though they pass their probes: the last resort.
pub(super) const DOUBTED: u8 = 3;

/// An endpoint at one of its addresses.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where it is reached.
    pub(super) address: SocketAddr,
    /// What it is doing.
    pub(super) load: Arc<EndpointLoad>,
    /// What its connections are kept by.
    pub(super) key: ConnectionKey,
    /// What its certificate must be for; `None`: it speaks no TLS.
    pub(super) name: Option<ServerName<'static>>,
    pub(super) id: u64,
    pub(super) weight: f64,
    /// 0 is used first; higher ones only while no lower one is left.
    pub(super) rank: u8,
    pub(super) up_since: Tick,
    /// `None`: it is never left out.
    ejectable: Option<Ejectable>,
}

impl Place {
    /// Its share among others.
    pub(super) fn weight(&self) -> f64 {
        self.weight
    }

    /// Whether an operator takes it out, and it has what is left.
    pub(super) fn is_drained(&self) -> bool {
        self.rank == DRAINED
    }

    /// Whether it is left out for now.
    pub(super) fn is_out(&self, now: Tick) -> bool {
        self.ejectable.as_ref().is_some_and(|ejectable| ejectable.is_out(now))
    }

    /// It replied as it should.
    pub(super) fn succeeded(&self) {
        if let Some(ejectable) = &self.ejectable {
            ejectable.succeeded();
        }
    }

    /// It did not, though it may have `answered`.
    pub(super) fn failed(&self, kind: CauseKind, answered: bool, now: Tick) {
        self.load.failed(kind, answered);
        if let Some(ejectable) = &self.ejectable {
            ejectable.failed(now);
        }
    }
}

/// Makes the places of a route.
pub(super) struct Places<'a> {
    pub(super) route: &'a Arc<Route>,
    pub(super) state: &'a State,
    pub(super) sources: &'a Sources<'a>,
}

impl Places<'_> {
    /// Those of the node's region that requests may go to, and all that balances know there.
    pub(super) fn own(&self) -> (Vec<Place>, Vec<Member>) {
        let model = &self.state.loaded.model;
        let (mut places, mut members) = (Vec::new(), Vec::new());
        for (id, endpoint, ejectable) in self.endpoints(model.node.region) {
            let standing = standing(self.state.health.get(id.0 as usize));
            self.each(endpoint, ejectable.as_ref(), |place| {
                members.push(Member { id: place.id, weight: place.weight });
                if let Some((rank, up_since)) = standing {
                    places.push(Place { rank, up_since, ..place });
                }
            });
        }
        (places, members)
    }

    /// Those of another region that are up.
    pub(super) fn up_in(&self, region: RegionId) -> Vec<Place> {
        let mut places = Vec::new();
        for (id, endpoint, ejectable) in self.endpoints(region) {
            let health = self.state.health.get(id.0 as usize);
            if health.is_some_and(|health| health.level == Level::Up) {
                self.each(endpoint, ejectable.as_ref(), |place| places.push(place));
            }
        }
        places
    }

    /// The endpoints of a region with what they are ejected by.
    fn endpoints(&self, region: RegionId) -> Vec<(EndpointId, &Endpoint, Option<Ejectable>)> {
        let fleet = &self.state.loaded.model.fleet;
        let Some(pool) = self.route.pool().map(|pool| fleet.pool(pool)) else {
            return Vec::new();
        };
        let own = || fleet.endpoints_of(pool).filter(|(_, endpoint)| endpoint.region == region);
        let ejectables = self.route.protection.eject.as_ref().map(|eject| {
            let loads: Vec<_> = own().map(|(_, endpoint)| self.load(endpoint)).collect();
            let (pool, region) = (pool.name.clone(), fleet.region(region).name.clone());
            let key = EjectKey { pool, region, rules: eject.rules };
            self.sources.witness.ejections.of(&key, &loads, self.sources.metrics)
        });
        let mut ejectables = ejectables.unwrap_or_default().into_iter();
        own().map(|(id, endpoint)| (id, endpoint, ejectables.next())).collect()
    }

    fn load(&self, endpoint: &Endpoint) -> Arc<EndpointLoad> {
        let identity = EndpointIdentity::of(&self.state.loaded.model.fleet, endpoint);
        self.sources.witness.loads.of(identity, &self.sources.metrics.proxy)
    }

    /// A place for each address of an endpoint.
    fn each(
        &self,
        endpoint: &Endpoint,
        ejectable: Option<&Ejectable>,
        mut take: impl FnMut(Place),
    ) {
        let identity = EndpointIdentity::of(&self.state.loaded.model.fleet, endpoint);
        let addresses = addresses(&endpoint.address, &self.state.hosts);
        // What a hostname resolves to shares its weight.
        let weight = f64::from(endpoint.weight) / addresses.len().max(1) as f64;
        let load = self.load(endpoint);
        for address in addresses {
            let socket = SocketAddr::new(address, self.route.upstream.port);
            let way = &self.route.upstream.way;
            let server = server_name(way, &endpoint.address, address);
            take(Place {
                address: socket,
                key: ConnectionKey::new(socket, way, server.as_ref()),
                name: server,
                load: load.clone(),
                id: Subject::of(&identity, &format!("proxy {address}")).0,
                weight,
                rank: 0,
                up_since: Tick::START,
                ejectable: ejectable.cloned(),
            });
        }
    }
}

/// What the certificate of an endpoint must be for; `None`: it speaks no TLS.
fn server_name(way: &Way, endpoint: &Address, address: IpAddr) -> Option<ServerName<'static>> {
    let tls = way.tls.as_ref()?;
    let host = || match endpoint {
        Address::Host(name) => {
            ServerName::try_from(name.to_string().trim_end_matches('.').to_owned()).ok()
        }
        Address::Ip(_) => None,
    };
    tls.name.clone().or_else(host).or(Some(ServerName::IpAddress(address.into())))
}

/// Where an endpoint of this health stands, and since when it is up; `None`: nothing goes there.
fn standing(health: Option<&EndpointHealth>) -> Option<(u8, Tick)> {
    let health = health?;
    match health.level {
        Level::Down if health.is_down_by_traffic => Some((DOUBTED, health.since)),
        Level::Up => Some((0, health.since)),
        Level::Unknown => Some((1, health.since)),
        // New requests go elsewhere for as long as there is anything else.
        Level::Drained => Some((DRAINED, health.since)),
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
