//! Checks against real servers: nginx with real certificates, and sockets that misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails"
)]

mod certificates;
mod dns;
mod exec;
mod forbidden;
mod grpc;
mod grpc_server;
mod http;
mod http2;
mod icmp;
mod nginx;
mod resolvers;
mod round;
#[allow(clippy::disallowed_methods, reason = "its loads and deadlines are of real time")]
#[path = "../support/mod.rs"]
mod support;
mod tcp;
mod tls;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use meridian::health::{CauseKind, HostAddresses, Outcome, Resolved};
use meridian::model::{
    Address, Check, Endpoint, Fleet, HttpCheck, HttpVersion, Monitor, MonitorId, Pool, PoolId,
    Probe, ProbeAddress, Reach, Region, RegionId, Scheme, Vantage,
};
use meridian::name::Name;
use meridian::place::Point;
use meridian::probe::{Checker, Targets, Tls};
use tokio::sync::watch;

/// What a check is run with.
struct Lab {
    tls: Tls,
    hosts: HostAddresses,
    rules: Probe,
    reach: Reach,
    timeout: Duration,
}

impl Lab {
    /// Everything allowed, nothing resolved, three seconds of patience.
    fn new(tls: Tls) -> Self {
        Self {
            tls,
            hosts: BTreeMap::new(),
            rules: Probe { max_in_flight: 10, rate: None, allow_private: true, deny: Vec::new() },
            reach: Reach::default(),
            timeout: Duration::from_secs(3),
        }
    }

    /// Speaks no TLS that anyone could verify.
    fn plain() -> Self {
        Self::new(Tls::trusting_in(rustls::RootCertStore::empty()).unwrap())
    }

    fn resolves(&mut self, name: &str, addresses: &[IpAddr]) {
        let mut resolved = Resolved::default();
        for address in addresses {
            match address {
                IpAddr::V4(v4) => resolved.v4.push(*v4),
                IpAddr::V6(v6) => resolved.v6.push(*v6),
            }
        }
        self.hosts.insert(host(name), resolved);
    }

    /// Runs one probe of `address` at `port` and shows what it found.
    async fn probe(&self, check: Check, address: Address, port: u16) -> Outcome {
        let mut fleet = fleet(check, ProbeAddress { address, port: Some(port) }, self.timeout);
        fleet.monitors[0].reach = self.reach;
        let targets = Targets::of(&fleet, &self.rules, 1);
        let (_sender, hosts) = watch::channel(Arc::new(self.hosts.clone()));
        Checker::new(self.tls.clone(), hosts, Arc::default()).check(&targets.list[0]).await
    }

    /// As [`Self::probe`], in words: `ok`, or kind and cause.
    async fn found(&self, check: Check, at: SocketAddr) -> String {
        words(&self.probe(check, Address::Ip(at.ip()), at.port()).await)
    }
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Success => "ok".to_owned(),
        Outcome::Failure { kind, cause } => format!("{}: {cause}", CauseKind::as_str(*kind)),
        Outcome::Missed(cause) => format!("missed: {cause}"),
        Outcome::Unknown(cause) => format!("unknown: {cause}"),
    }
}

fn host(name: &str) -> Name {
    Name::parse(name, &Name::root()).unwrap()
}

fn http(path: &str) -> HttpCheck {
    HttpCheck {
        scheme: Scheme::Http,
        version: HttpVersion::One,
        port: 80,
        path: path.to_owned(),
        host: None,
        method: "GET".to_owned(),
        headers: Vec::new(),
        expect_status: vec![200..=299],
        expect_body: None,
        verify_certificate: true,
        expires_within: None,
    }
}

fn fleet(check: Check, probe: ProbeAddress, timeout: Duration) -> Fleet {
    Fleet {
        regions: vec![Region {
            name: "north".to_owned(),
            point: Point { latitude: 60.0, longitude: 10.0 },
            country: None,
            continent: None,
        }],
        monitors: vec![Monitor {
            name: "ready".to_owned(),
            check,
            reach: Reach::default(),
            interval: timeout * 2,
            timeout,
            fall: 2,
            rise: 2,
            vantage: Vantage::Majority,
            hold_down: Duration::ZERO,
        }],
        pools: vec![Pool {
            name: "web".to_owned(),
            monitors: vec![MonitorId(0)],
            min_up: 0.5,
            capacity: Vec::new(),
            endpoints: 0..1,
        }],
        endpoints: vec![Endpoint {
            pool: PoolId(0),
            region: RegionId(0),
            address: Address::Ip("192.0.2.1".parse().unwrap()),
            probe: Some(probe),
            weight: 100,
            group: None,
            depends_on: Vec::new(),
        }],
        ..Fleet::default()
    }
}
