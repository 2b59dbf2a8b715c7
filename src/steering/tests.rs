//! Cases and properties of whole decisions.

mod cases;
mod learning;
mod picks;
mod properties;
mod returns;
mod spills;

use std::net::IpAddr;
use std::time::Duration;

use super::{
    Candidate, Class, Contenders, Contest, Decision, Family, Outcome, Spread, Target, View,
};
use crate::clock::Tick;
use crate::health::{EndpointHealth, HostAddresses, Level};
use crate::model::{
    Address, AllDown, ClientSubnet, Endpoint, EndpointId, Failback, Fleet, Method, Network,
    NetworkId, Pool, PoolId, Region, RegionId, Service, TtlRange,
};
use crate::name::Name;
use crate::place::{Continent, Country, Place, Point};

/// Regions of the tests, by name: ap, br, eu, uk, us.
const REGIONS: [(&str, f64, f64, &str, Continent); 5] = [
    ("ap", 1.35, 103.82, "SG", Continent::Asia),
    ("br", -23.55, -46.63, "BR", Continent::SouthAmerica),
    ("eu", 50.11, 8.68, "DE", Continent::Europe),
    ("uk", 51.51, -0.13, "GB", Continent::Europe),
    ("us", 38.95, -77.45, "US", Continent::NorthAmerica),
];

/// A fleet under test, with the health of its endpoints.
struct World {
    fleet: Fleet,
    health: Vec<EndpointHealth>,
    hosts: HostAddresses,
    last_good: Vec<EndpointId>,
    shares: Vec<u8>,
    spread: Option<Spread>,
}

fn name(text: &str) -> Name {
    Name::parse(text, &Name::root()).unwrap()
}

fn region(wanted: &str) -> RegionId {
    RegionId(REGIONS.iter().position(|(name, ..)| *name == wanted).unwrap() as u16)
}

fn healthy(level: Level, change: Option<u64>) -> EndpointHealth {
    EndpointHealth {
        level,
        cause: "test".into(),
        kind: None,
        since: Tick(0),
        earliest_change: change.map(Duration::from_secs),
        is_forced_up: false,
        is_down_by_traffic: false,
        votes: [].into(),
    }
}

impl World {
    /// One pool per list; an endpoint is `REGION ADDRESS [WEIGHT [GROUP]]`.
    fn new(pools: &[&[&str]]) -> Self {
        let mut fleet = Fleet::default();
        for (name, latitude, longitude, country, continent) in REGIONS {
            fleet.regions.push(Region {
                name: name.to_owned(),
                point: Point::new(latitude, longitude).unwrap(),
                country: Country::parse(country),
                continent: Some(continent),
            });
        }
        for (number, endpoints) in pools.iter().enumerate() {
            let start = fleet.endpoints.len() as u32;
            for text in *endpoints {
                let mut words = text.split(' ');
                let region = region(words.next().unwrap());
                let address = words.next().unwrap();
                fleet.endpoints.push(Endpoint {
                    pool: PoolId(number as u16),
                    region,
                    address: address
                        .parse::<IpAddr>()
                        .map_or_else(|_| Address::Host(name(address)), Address::Ip),
                    probe: None,
                    weight: words.next().map_or(100, |weight| weight.parse().unwrap()),
                    group: words.next().map(str::to_owned),
                    depends_on: Vec::new(),
                });
            }
            fleet.pools.push(Pool {
                name: format!("pool{number}"),
                monitors: Vec::new(),
                min_up: 0.5,
                capacity: Vec::new(),
                endpoints: start..fleet.endpoints.len() as u32,
            });
        }
        fleet.networks.push(Network {
            name: "office".to_owned(),
            prefixes: Vec::new(),
            asns: Vec::new(),
            countries: Vec::new(),
            regions: vec![region("us"), region("eu")],
        });
        let health = vec![healthy(Level::Up, None); fleet.endpoints.len()];
        Self {
            fleet,
            health,
            hosts: HostAddresses::default(),
            last_good: Vec::new(),
            shares: Vec::new(),
            spread: None,
        }
    }

    fn set(&mut self, address: &str, level: Level) {
        let at = self.id(address).0 as usize;
        self.health[at].level = level;
    }

    fn id(&self, address: &str) -> EndpointId {
        let address =
            address.parse::<IpAddr>().map_or_else(|_| Address::Host(name(address)), Address::Ip);
        EndpointId(self.fleet.endpoints.iter().position(|e| e.address == address).unwrap() as u32)
    }

    fn view(&self) -> View<'_> {
        View {
            fleet: &self.fleet,
            health: &self.health,
            hosts: &self.hosts,
            last_good: &self.last_good,
            shares: &self.shares,
            spread: self.spread.as_ref(),
        }
    }

    fn decide(&self, service: &Service, family: Family, client: &Place) -> Decision {
        let (contest, class) = self.contest(service, client);
        contest.decide(&class, family, &self.view())
    }

    fn contest(&self, service: &Service, client: &Place) -> (Contest, Class) {
        let contest = Contest::new(service, &self.fleet, true);
        let network = (client.asn == Some(64500)).then_some(NetworkId(0));
        let class = contest.class(&contest.opinions(client, network, &[], &self.fleet));
        (contest, class)
    }
}

/// What ties for a class, ready to be picked from; nothing when the answer is another one.
fn contenders(
    contest: &Contest,
    class: &Class,
    family: Family,
    view: &View<'_>,
) -> (Contenders, Vec<Candidate>) {
    let tied = |family| match contest.decide(class, family, view).outcome {
        Outcome::Tied(tied) => tied,
        _ => Vec::new(),
    };
    let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
    let own = tied(family);
    (Contenders::new(&own, &tied(other), contest.pick(), contest, view), own)
}

/// A service over the first `pools` pools.
fn service(pools: u16, policy: Vec<Method>) -> Service {
    Service {
        name: "www".to_owned(),
        owner: name("www.example.com"),
        at: crate::diagnostic::Location::file("test"),
        pools: (0..pools).map(PoolId).collect(),
        policy,
        answers: Some(1),
        ttl: TtlRange { min: Duration::from_secs(5), max: Duration::from_secs(30) },
        all_down: AllDown::All,
        failback: Failback::Auto,
        client_subnet: ClientSubnet::On,
        https: None,
        only: None,
    }
}

fn proximity() -> Method {
    Method::Proximity { bias: Vec::new(), tolerance: 0.0 }
}

/// A client in a country of the tests.
fn client(latitude: f64, longitude: f64, country: &str, continent: Continent) -> Place {
    Place {
        country: Country::parse(country),
        continent: Some(continent),
        point: Point::new(latitude, longitude),
        asn: None,
    }
}

/// The answered addresses, sorted.
fn addresses(decision: &Decision) -> Vec<String> {
    let Outcome::Tied(tied) = &decision.outcome else { return Vec::new() };
    tied.iter().map(target).collect()
}

fn target(candidate: &Candidate) -> String {
    match &candidate.target {
        Target::Ip(address) => address.to_string(),
        Target::Alias(name) => name.to_string(),
    }
}
