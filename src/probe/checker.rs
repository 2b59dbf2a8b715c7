//! One probe from beginning to end: address, permission, check, time limit.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;

use super::grpc::GrpcProbe;
use super::http::HttpProbe;
use super::{Feeds, Limit, Route, Target, Tls, dns, exec, icmp, tcp, tls_check};
use crate::clock;
use crate::health::{CauseKind, HostAddresses, Outcome, Resolved};
use crate::model::{Address, Check, Family, FeedCheck};
use crate::name::Name;

/// Most addresses of one hostname that a probe tries.
const ADDRESSES_MAX: usize = 8;

/// Runs checks; cheap to clone.
#[derive(Clone, Debug)]
pub struct Checker {
    tls: Tls,
    hosts: watch::Receiver<Arc<HostAddresses>>,
    feeds: Arc<Feeds>,
}

impl Checker {
    /// A checker that speaks TLS this way and takes the addresses of hostnames from `hosts`.
    /// Reports of others are in `feeds`.
    pub fn new(tls: Tls, hosts: watch::Receiver<Arc<HostAddresses>>, feeds: Arc<Feeds>) -> Self {
        Self { tls, hosts, feeds }
    }

    /// Probes `target` once, within the monitor's timeout.
    pub async fn check(&self, target: &Target) -> Outcome {
        let limit = Limit::starting(target.definition.timeout);
        match &target.definition.check {
            Check::Feed(check) => self.reported(target, check).await,
            Check::Calculated(_) => Outcome::Missed("a calculated monitor is not probed".into()),
            _ => match self.route(target, limit).await {
                Ok(route) => self.run(target, &route).await,
                Err(failure) => failure,
            },
        }
    }

    async fn run(&self, target: &Target, route: &Route) -> Outcome {
        let name = &*match &target.address {
            Address::Ip(ip) => ip.to_string(),
            Address::Host(name) => name.to_string(),
        };
        let (tls, unix_now) = (&self.tls, clock::unix_seconds());
        match &target.definition.check {
            Check::Tcp(check) => tcp::check(check, route).await,
            Check::Http(check) => HttpProbe { check, name, route, tls, unix_now }.run().await,
            Check::Tls(check) => tls_check::check(check, name, route, (tls, unix_now)).await,
            Check::Grpc(check) => GrpcProbe { check, name, route, tls, unix_now }.run().await,
            Check::Dns(check) => dns::check(check, route, fastrand::u16(..)).await,
            Check::Icmp => {
                let token = fastrand::u128(..).to_be_bytes();
                icmp::check(route, token).await
            }
            Check::Exec(check) => {
                let first = route.addresses.first().map(|address| address.ip().to_string());
                exec::check(check, target, &first.unwrap_or_default(), route.limit).await
            }
            // Not reached: these have no route.
            Check::Feed(_) | Check::Calculated(_) => Outcome::Missed("nothing to probe".into()),
        }
    }

    /// What others report, once the file, if there is one, has been looked at.
    async fn reported(&self, target: &Target, check: &FeedCheck) -> Outcome {
        let (feeds, monitor) = (self.feeds.clone(), target.definition.name.clone());
        if let Some(file) = check.file.clone() {
            let name = monitor.clone();
            let refresh = tokio::task::spawn_blocking(move || feeds.refresh(&name, &file));
            if refresh.await.is_err() {
                return Outcome::Missed("the reports could not be read".into());
            }
        }
        self.feeds.judge(&monitor, check, &target.identity.address, clock::unix_seconds())
    }

    /// Where to connect: the addresses that may be probed, at least one.
    async fn route(&self, target: &Target, limit: Limit) -> Result<Route, Outcome> {
        let candidates: Vec<IpAddr> = match &target.address {
            Address::Ip(ip) => vec![*ip],
            Address::Host(name) => {
                let resolved = limit.cut(self.resolved(name)).await.unwrap_or_else(|_| {
                    let within = limit.within;
                    let cause = format!("`{name}` is not resolved after {within:?}");
                    Err(Outcome::failure(CauseKind::Resolve, cause))
                })?;
                resolved.addresses().collect()
            }
        };
        let reach = target.definition.reach;
        let mut refusal = None;
        let mut addresses = Vec::new();
        for address in candidates {
            if !reach.family.holds(address) {
                let family = if reach.family == Family::V4 { "IPv4" } else { "IPv6" };
                let words = format!("address `{address}` is not {family}, which is forced");
                refusal.get_or_insert(Outcome::failure(CauseKind::Connect, words));
            } else if let Some(words) = target.guard.refusal(address) {
                // That an address is denied tells more than that it is of the other family.
                refusal = Some(Outcome::failure(CauseKind::Denied, words));
            } else if addresses.len() < ADDRESSES_MAX {
                addresses.push(SocketAddr::new(address, target.port));
            }
        }
        match (addresses.is_empty(), refusal) {
            (true, Some(refusal)) => Err(refusal),
            _ => Ok(Route { addresses, source: reach.source, limit }),
        }
    }

    /// What a hostname resolves to, waiting for its first look-up to end.
    async fn resolved(&self, name: &Name) -> Result<Resolved, Outcome> {
        let unresolved = |why: &str| {
            Outcome::failure(CauseKind::Resolve, format!("`{name}` does not resolve: {why}"))
        };
        let mut hosts = self.hosts.clone();
        let resolved = match hosts.wait_for(|hosts| hosts.contains_key(name)).await {
            Ok(hosts) => hosts.get(name).cloned().unwrap_or_default(),
            Err(_) => return Err(unresolved("look-ups have ended")),
        };
        if resolved.addresses().next().is_none() {
            return Err(unresolved(resolved.failure.as_deref().unwrap_or("no addresses")));
        }
        Ok(resolved)
    }
}
