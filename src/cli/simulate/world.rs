//! The fleet before and after: the very answers that a node would give, under supposed loads.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use crate::clock::Tick;
use crate::health::{HealthTable, HostAddresses, Resolved};
use crate::load::Sample;
use crate::model::{Address, Endpoint, PoolId, RegionId};
use crate::name::Name;
use crate::snapshot::{Event, Family, Loaded, Publisher, ServiceAnswers, SteeredKind, ZoneEntry};

/// Load of pools in regions, in requests a second.
pub(in crate::cli) type Loads = BTreeMap<(PoolId, RegionId), f64>;

/// One state of the fleet.
pub(in crate::cli) struct World {
    publisher: Publisher,
    /// Endpoints by what is answered for them.
    endpoints: HashMap<IpAddr, (PoolId, RegionId)>,
    aliases: HashMap<Name, (PoolId, RegionId)>,
}

/// What a client is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::cli) struct Given {
    /// Where it goes; `None`: nowhere.
    pub(in crate::cli) to: Option<(PoolId, RegionId)>,
    /// For how long its resolver keeps the answer, in seconds.
    pub(super) ttl: u32,
    /// Stands for the data of the first record; 0: there is none.
    pub(in crate::cli) first: u64,
}

impl World {
    /// The fleet in this health, before anything is known of its load.
    pub(in crate::cli) fn new(loaded: Loaded, health: HealthTable, now: Tick) -> Self {
        let fleet = loaded.model.fleet.clone();
        let hosts = supposed_hosts(&fleet.endpoints);
        let mut publisher = Publisher::new(loaded, health);
        publisher.apply(Event::Hosts(Arc::new(hosts.clone())), now);
        publisher.publish();
        let (mut endpoints, mut aliases) = (HashMap::new(), HashMap::new());
        for endpoint in &fleet.endpoints {
            let place = (endpoint.pool, endpoint.region);
            match &endpoint.address {
                Address::Ip(ip) => drop(endpoints.entry(*ip).or_insert(place)),
                Address::Host(name) => {
                    aliases.entry(name.clone()).or_insert(place);
                    let known = hosts.get(name).into_iter();
                    let v6 = known.clone().flat_map(|known| known.v6.iter().copied());
                    let v4 = known.flat_map(|known| known.v4.iter().copied());
                    for ip in v4.map(IpAddr::from).chain(v6.map(IpAddr::from)) {
                        endpoints.entry(ip).or_insert(place);
                    }
                }
            }
        }
        Self { publisher, endpoints, aliases }
    }

    /// Supposes that this was the load of all while everything was up.
    pub(in crate::cli) fn load(&mut self, loads: &Loads, now: Tick) {
        let fleet = &self.publisher.loaded().model.fleet;
        for ((pool, region), requests) in loads {
            let (pool, region) = (&fleet.pool(*pool).name, &fleet.region(*region).name);
            let sample = Sample { requests: *requests, ..Sample::default() };
            // The error is that there are more pools than anybody has.
            let _ = self.publisher.loads().report(pool, region, "simulate", sample, now);
        }
        self.publisher.apply(Event::Tick, now);
        self.publisher.publish();
    }

    /// The services, without direct names.
    pub(in crate::cli) fn services(&self) -> Vec<Arc<ServiceAnswers>> {
        let snapshot = self.publisher.shared().load_full();
        let serving = snapshot.zones.iter().filter_map(|(_, entry)| match entry {
            ZoneEntry::Serving(served) => Some(served.services.clone()),
            ZoneEntry::Failed | ZoneEntry::Expired => None,
        });
        serving.flatten().filter(|answers| !answers.steering().contest.is_direct()).collect()
    }

    /// What a client is answered; one with IPv6 alone gets along with the other family, too.
    pub(in crate::cli) fn ask(
        &self,
        answers: &ServiceAnswers,
        client: IpAddr,
        random: u64,
    ) -> Given {
        let at = answers.locate(client);
        let mut out = [0; 28 * 64];
        let families =
            if client.is_ipv4() { [Family::V4, Family::V6] } else { [Family::V6, Family::V4] };
        for family in families {
            match answers.answer(family, at, client, random, 0xc00c, &mut out).kind {
                SteeredKind::Records { count: 1.., .. } => {
                    let ttl = out.get(6..10).and_then(|octets| octets.first_chunk().copied());
                    let ip = address(family, &out);
                    let to = ip.and_then(|ip| self.endpoints.get(&ip)).copied();
                    let first = ip.map_or(0, mark);
                    return Given { to, ttl: ttl.map_or(0, u32::from_be_bytes), first };
                }
                SteeredKind::Cname { target, ttl } => {
                    let to = self.aliases.get(target).copied();
                    return Given { to, ttl, first: mark(target) };
                }
                _ => {}
            }
        }
        Given::default()
    }

    /// The longest time in which a monitor of these pools finds a failure, and that monitor.
    pub(super) fn detection(&self, pools: &[PoolId]) -> Option<(Duration, String)> {
        let fleet = &self.publisher.loaded().model.fleet;
        let monitors = pools.iter().flat_map(|pool| fleet.watched(fleet.pool(*pool)));
        let monitors = monitors.map(|id| fleet.monitor(id));
        monitors.map(|monitor| (monitor.interval * monitor.fall, monitor.name.clone())).max()
    }
}

/// A number that stands for a value, the same in each run.
fn mark(value: impl Hash) -> u64 {
    let mut hasher = SipHasher24::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The address in the first record, behind its twelve octets of head.
fn address(family: Family, out: &[u8]) -> Option<IpAddr> {
    let data = out.get(12..)?;
    Some(match family {
        Family::V4 => IpAddr::from(*data.first_chunk::<4>()?),
        Family::V6 => IpAddr::from(*data.first_chunk::<16>()?),
    })
}

/// An address of either family for each hostname, from blocks that nobody has (RFC 1112 section 4
/// and RFC 6666), since nothing is looked up here.
fn supposed_hosts(endpoints: &[Endpoint]) -> HostAddresses {
    let names = endpoints.iter().filter_map(|endpoint| match &endpoint.address {
        Address::Host(name) => Some(name.clone()),
        Address::Ip(_) => None,
    });
    let resolved = |(number, name): (u32, Name)| {
        let v4 = vec![Ipv4Addr::from(0xf000_0000 + number)];
        let v6 = vec![Ipv6Addr::from((0x0100 << 112) + u128::from(number))];
        (name, Resolved { v4, v6, ..Resolved::default() })
    };
    (0..).zip(names).map(resolved).collect()
}
