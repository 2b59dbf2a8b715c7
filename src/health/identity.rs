//! What makes an endpoint the same one in two models, which number their endpoints differently.

use crate::model::{Address, Endpoint, Fleet, ProbeAddress};

/// An endpoint as named in the configuration; unlike its id it survives a reload and a restart.
///
/// Weight and group are left out: they change what is answered, not what a probe sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointIdentity {
    /// Name of its pool.
    pub pool: String,
    /// Name of its region.
    pub region: String,
    /// What is answered.
    pub address: Address,
    /// Where it is probed, when elsewhere.
    pub probe: Option<ProbeAddress>,
}

impl EndpointIdentity {
    /// The identity of an endpoint of `fleet`.
    pub fn of(fleet: &Fleet, endpoint: &Endpoint) -> Self {
        Self {
            pool: fleet.pool(endpoint.pool).name.clone(),
            region: fleet.region(endpoint.region).name.clone(),
            address: endpoint.address.clone(),
            probe: endpoint.probe.clone(),
        }
    }

    /// `probe` as text, with its port if it has one; `None`: probed at `address`.
    pub fn probe_text(&self) -> Option<String> {
        let probe = self.probe.as_ref()?;
        Some(match (&probe.address, probe.port) {
            (Address::Ip(ip), Some(port)) => std::net::SocketAddr::new(*ip, port).to_string(),
            (Address::Host(name), Some(port)) => format!("{name}:{port}"),
            (address, None) => address.to_string(),
        })
    }
}
