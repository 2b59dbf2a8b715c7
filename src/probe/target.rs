//! What is probed: one target for each endpoint and monitor.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::health::EndpointIdentity;
use crate::model::{Address, Check, EndpointId, Fleet, Guard, Monitor, MonitorId, Probe};
use crate::name::Name;

/// One endpoint and monitor, with all a probe needs to know.
#[derive(Clone, Debug)]
pub struct Target {
    /// The endpoint, in the fleet of [`Targets::generation`].
    pub endpoint: EndpointId,
    /// The monitor, in the same fleet.
    pub monitor: MonitorId,
    /// Which endpoint it is over reloads: it has at most one probe in flight.
    pub identity: Arc<EndpointIdentity>,
    /// What is probed: the endpoint's address, or its `probe`.
    pub address: Address,
    /// The destination port.
    pub port: u16,
    /// What is checked.
    pub definition: Arc<Monitor>,
    /// `definition` in words; equal words are equal definitions.
    pub words: Arc<str>,
    /// Where probes may go.
    pub guard: Arc<Guard>,
}

/// Everything that is probed.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Chosen by the caller; results carry it, and ids hold within one generation only.
    pub generation: u64,
    /// Endpoint by endpoint. Standby and weight-0 endpoints are probed as well: their state must
    /// be known before they are needed.
    pub list: Vec<Target>,
    /// Most probes under way at a time, over all endpoints; at least 1.
    pub max_in_flight: usize,
    /// Most probes started in a second; `None`: no bound.
    pub rate: Option<NonZeroU32>,
}

impl Targets {
    /// The targets of `fleet` for a node that probes by these rules.
    pub fn of(fleet: &Fleet, rules: &Probe, generation: u64) -> Self {
        let guard = Arc::new(Guard::new(rules));
        let monitors: Vec<(Arc<Monitor>, Arc<str>)> = fleet
            .monitors
            .iter()
            .map(|monitor| (Arc::new(monitor.clone()), format!("{monitor:?}").into()))
            .collect();
        let mut list = Vec::new();
        for pool in &fleet.pools {
            let watched = fleet.watched(pool);
            for (id, endpoint) in fleet.endpoints_of(pool) {
                let identity = Arc::new(EndpointIdentity::of(fleet, endpoint));
                for monitor in &watched {
                    let Some((definition, words)) = monitors.get(usize::from(monitor.0)) else {
                        continue; // Not reached: the model resolves every name.
                    };
                    if matches!(definition.check, Check::Calculated(_)) {
                        continue;
                    }
                    let probe = endpoint.probe.as_ref();
                    let own_port = probe.and_then(|probe| probe.port);
                    list.push(Target {
                        endpoint: id,
                        monitor: *monitor,
                        identity: identity.clone(),
                        address: probe.map_or(&endpoint.address, |p| &p.address).clone(),
                        port: own_port.unwrap_or_else(|| definition.check.port()),
                        definition: definition.clone(),
                        words: words.clone(),
                        guard: guard.clone(),
                    });
                }
            }
        }
        Self { generation, list, max_in_flight: rules.max_in_flight, rate: rules.rate }
    }
}

/// The hostnames of a fleet: those answered and those probed.
pub fn hostnames(fleet: &Fleet) -> BTreeSet<Name> {
    let answered = fleet.endpoints.iter().map(|endpoint| &endpoint.address);
    let probed = fleet.endpoints.iter().filter_map(|endpoint| endpoint.probe.as_ref());
    let hosts =
        answered.chain(probed.map(|probe| &probe.address)).filter_map(|address| match address {
            Address::Host(name) => Some(name.clone()),
            Address::Ip(_) => None,
        });
    hosts.collect()
}
