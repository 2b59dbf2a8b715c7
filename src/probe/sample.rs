//! Small fleets for the tests of this module.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::Targets;
use crate::model::{
    Address, Check, Endpoint, Fleet, Monitor, MonitorId, Pool, PoolId, Probe, Reach, Region,
    RegionId, TcpCheck, Vantage,
};
use crate::place::Point;

/// A `tcp` monitor.
pub(super) fn monitor(name: &str, interval: Duration) -> Monitor {
    Monitor {
        name: name.to_owned(),
        check: Check::Tcp(TcpCheck::connecting(80)),
        reach: Reach::default(),
        interval,
        timeout: interval / 2,
        fall: 2,
        rise: 2,
        vantage: Vantage::Majority,
        hold_down: Duration::ZERO,
    }
}

/// One pool with an endpoint at `10.0.HIGH.LOW` for each number, watched by all monitors.
pub(super) fn fleet(endpoints: impl Iterator<Item = u16>, monitors: Vec<Monitor>) -> Fleet {
    let endpoints: Vec<Endpoint> = endpoints
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            Endpoint {
                pool: PoolId(0),
                region: RegionId(0),
                address: Address::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, high, low))),
                probe: None,
                // Standby endpoints are among them.
                weight: u32::from(number % 2),
                group: None,
                depends_on: Vec::new(),
            }
        })
        .collect();
    Fleet {
        regions: vec![Region {
            name: "north".to_owned(),
            point: Point { latitude: 60.0, longitude: 10.0 },
            country: None,
            continent: None,
        }],
        pools: vec![Pool {
            name: "web".to_owned(),
            monitors: (0..).map(MonitorId).take(monitors.len()).collect(),
            min_up: 0.5,
            capacity: Vec::new(),
            endpoints: 0..endpoints.len() as u32,
        }],
        monitors,
        endpoints,
        ..Fleet::default()
    }
}

/// Rules that allow everything.
pub(super) fn rules(max_in_flight: usize) -> Probe {
    Probe { max_in_flight, rate: None, allow_private: true, deny: Vec::new() }
}

/// The targets of `fleet` for these rules.
pub(super) fn targets(fleet: &Fleet, max_in_flight: usize, generation: u64) -> Targets {
    Targets::of(fleet, &rules(max_in_flight), generation)
}
