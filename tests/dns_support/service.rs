//! Services for engine tests, prepared by the real steering from a small fleet.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use meridian::clock::Tick;
use meridian::diagnostic::Location;
use meridian::geo::{Databases, Ground};
use meridian::health::{EndpointHealth, HostAddresses, Level};
use meridian::latency::Estimates;
use meridian::model::{
    Address, AllDown, ClientSubnet, Endpoint, EndpointId, Failback, Fleet, Method, Pool, PoolId,
    Region, RegionId, Service, TtlRange,
};
use meridian::name::Name;
use meridian::place::Point;
use meridian::snapshot::{Prepared, ServiceAnswers, Steering};
use meridian::steering::{Contest, View};

/// Laid out once: services of tests look at prefixes alone, and the database is large.
static GROUND: LazyLock<Ground> =
    LazyLock::new(|| Ground::new(&Databases::load(&[]).unwrap(), &[]));

/// What a service of a test answers.
#[derive(Default)]
pub struct Fixed {
    /// TTL in seconds.
    pub ttl: u64,
    /// The endpoints.
    pub endpoints: Vec<IpAddr>,
    /// Answers depend on this many bits of the client's address.
    pub scope: Option<u8>,
    /// The one endpoint is this hostname.
    pub cname: Option<Name>,
    /// The endpoints lie in two regions, by turns, and are answered one at a time by weight.
    pub apart: bool,
    /// Everything is down; what is answered then.
    pub all_down: Option<AllDown>,
}

impl Fixed {
    /// The answers of a service with this owner.
    pub fn answers(&self, owner: &Name) -> ServiceAnswers {
        let fleet = self.fleet();
        let ttl = Duration::from_secs(self.ttl);
        let prefix = |bits| Method::Affinity { v4: bits, v6: bits };
        let random = if self.apart { Method::Weighted } else { Method::Rotate };
        let service = Service {
            name: owner.to_string(),
            owner: owner.clone(),
            at: Location::file("test"),
            pools: vec![PoolId(0)],
            policy: vec![self.scope.map_or(random, prefix)],
            answers: (self.apart || self.cname.is_some()).then_some(1),
            ttl: TtlRange { min: ttl, max: ttl },
            all_down: self.all_down.clone().unwrap_or(AllDown::All),
            failback: Failback::Auto,
            client_subnet: ClientSubnet::On,
            https: None,
            only: None,
        };
        let level = if self.all_down.is_some() { Level::Down } else { Level::Up };
        let health = EndpointHealth {
            level,
            cause: "test".into(),
            kind: None,
            since: Tick(0),
            earliest_change: None,
            is_forced_up: false,
            is_down_by_traffic: false,
            votes: [].into(),
        };
        let health = vec![health; fleet.endpoints.len()];
        let hosts = HostAddresses::default();
        let view = View {
            fleet: &fleet,
            health: &health,
            hosts: &hosts,
            last_good: &[] as &[EndpointId],
            shares: &[],
            spread: None,
        };
        let steering = Steering::new(
            Contest::new(&service, &fleet, true),
            &fleet,
            &GROUND,
            &Estimates::default(),
        );
        let prepared = Arc::new(Prepared::new(&steering, &view));
        ServiceAnswers::new(owner.to_string().into(), Arc::new(steering), prepared)
    }

    fn fleet(&self) -> Fleet {
        let address = self.endpoints.iter().copied().map(Address::Ip);
        let addresses: Vec<Address> =
            address.chain(self.cname.clone().map(Address::Host)).collect();
        let endpoint = |(number, address): (u16, Address)| Endpoint {
            pool: PoolId(0),
            region: RegionId(if self.apart { number % 2 } else { 0 }),
            address,
            probe: None,
            weight: 100,
            group: None,
            depends_on: Vec::new(),
        };
        let region = |name: &str| Region {
            name: name.to_owned(),
            point: Point::new(0.0, 0.0).unwrap(),
            country: None,
            continent: None,
        };
        let pool = Pool {
            name: "web".to_owned(),
            monitors: Vec::new(),
            min_up: 0.5,
            capacity: Vec::new(),
            endpoints: 0..addresses.len() as u32,
        };
        Fleet {
            regions: vec![region("here"), region("there")],
            pools: vec![pool],
            endpoints: (0..).zip(addresses).map(endpoint).collect(),
            ..Fleet::default()
        }
    }
}
