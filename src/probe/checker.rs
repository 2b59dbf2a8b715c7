//! One probe from beginning to end: address, permission, check, time limit.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;

use super::http::HttpProbe;
use super::{Target, Tls, failure, tcp};
use crate::clock;
use crate::health::{CauseKind, HostAddresses, Outcome, Resolved};
use crate::model::{Address, Check};
use crate::name::Name;

/// Most addresses of one hostname that a probe tries.
const ADDRESSES_MAX: usize = 8;

/// Runs checks; cheap to clone.
#[derive(Clone, Debug)]
pub struct Checker {
    tls: Tls,
    hosts: watch::Receiver<Arc<HostAddresses>>,
}

impl Checker {
    /// A checker that speaks TLS this way and takes the addresses of hostnames from `hosts`.
    pub fn new(tls: Tls, hosts: watch::Receiver<Arc<HostAddresses>>) -> Self {
        Self { tls, hosts }
    }

    /// Probes `target` once, within the monitor's timeout.
    pub async fn check(&self, target: &Target) -> Outcome {
        let within = target.definition.timeout;
        match timeout(within, self.run(target)).await {
            Ok(outcome) => outcome,
            Err(_) => match &target.address {
                Address::Host(name) if !self.hosts.borrow().contains_key(name) => {
                    let cause = format!("`{name}` is not resolved after {within:?}");
                    Outcome::failure(CauseKind::Resolve, cause)
                }
                _ => failure::timed_out(within),
            },
        }
    }

    async fn run(&self, target: &Target) -> Outcome {
        let addresses = match self.addresses(target).await {
            Ok(addresses) => addresses,
            Err(failure) => return failure,
        };
        let monitor = &*target.definition;
        match &monitor.check {
            Check::Tcp(_) => tcp::check(&addresses, monitor.timeout).await,
            Check::Http(check) => {
                let name = match &target.address {
                    Address::Ip(ip) => ip.to_string(),
                    Address::Host(name) => name.to_string(),
                };
                let probe = HttpProbe {
                    check,
                    name: &name,
                    addresses: &addresses,
                    timeout: monitor.timeout,
                    tls: &self.tls,
                    unix_now: clock::unix_seconds(),
                };
                probe.run().await
            }
        }
    }

    /// Where to connect: the addresses that may be probed, at least one.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Outcome> {
        let candidates: Vec<IpAddr> = match &target.address {
            Address::Ip(ip) => vec![*ip],
            Address::Host(name) => {
                let resolved = self.resolved(name).await?;
                resolved.addresses().take(ADDRESSES_MAX).collect()
            }
        };
        let mut refusal = None;
        let mut allowed = Vec::new();
        for address in candidates {
            match target.guard.refusal(address) {
                None => allowed.push(SocketAddr::new(address, target.port)),
                Some(words) => refusal = Some(words),
            }
        }
        match (allowed.is_empty(), refusal) {
            (true, Some(words)) => Err(Outcome::failure(CauseKind::Denied, words)),
            _ => Ok(allowed),
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
