//! The proxy as its clients meet it: real nginx behind it, curl and raw sockets before it.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.
#![allow(clippy::float_cmp)] // Counters are exact.
#![allow(clippy::print_stdout)] // Shown when a test fails.

#[path = "proxy/acme.rs"]
mod acme;
#[path = "proxy/again.rs"]
mod again;
#[path = "proxy/balances.rs"]
mod balances;
#[path = "proxy/behaviour.rs"]
mod behaviour;
#[path = "proxy/cache.rs"]
mod cache;
#[path = "proxy/capacity.rs"]
mod capacity;
#[path = "probe/certificates.rs"]
mod certificates;
#[path = "proxy/certified.rs"]
mod certified;
#[path = "proxy/deploy.rs"]
mod deploy;
#[cfg(feature = "failpoints")]
#[path = "proxy/failpoint.rs"]
mod failpoint;
#[path = "proxy/frames.rs"]
mod frames;
#[path = "proxy/grpc.rs"]
mod grpc;
#[path = "proxy/handover.rs"]
mod handover;
#[path = "proxy/http3.rs"]
mod http3;
#[path = "proxy/knee.rs"]
mod knee;
#[path = "proxy/multiplexed.rs"]
mod multiplexed;
#[path = "proxy/named.rs"]
mod named;
#[path = "proxy/origin.rs"]
mod origin;
#[path = "proxy/protection.rs"]
mod protection;
#[path = "proxy/quic_client.rs"]
mod quic_client;
#[path = "proxy/relay.rs"]
mod relay;
#[path = "proxy/rest.rs"]
mod rest;
#[path = "proxy/secure.rs"]
mod secure;
#[path = "proxy/shape.rs"]
mod shape;
#[path = "proxy/slow.rs"]
mod slow;
mod support;
#[path = "proxy/threads.rs"]
mod threads;
#[cfg(feature = "otlp")]
#[path = "proxy/traces.rs"]
mod traces;
#[path = "proxy/tunnels.rs"]
mod tunnels;
#[path = "proxy/upstream.rs"]
mod upstream;
#[path = "proxy/wire.rs"]
mod wire;

use std::net::SocketAddr;

use support::free_beside;
use support::meridian::Meridian;
use support::site::Site;

/// Two regions, of which `eu` is the node's.
pub(crate) const REGIONS: &str = "version = 1\n\
    [region.eu]\nlocation = \"DE\"\n[region.us]\nlocation = \"Ashburn\"\n";

/// A site whose node runs a proxy.
pub(crate) struct Front {
    pub(crate) site: Site,
    /// Where the proxy listens.
    pub(crate) http: SocketAddr,
}

impl Front {
    /// A site with this in `[proxy]`, and a fleet of these pools and routes.
    pub(crate) fn new(proxy: &str, fleet: &str) -> Self {
        let site = Site::new("eu");
        let http = free_beside(site.dns.ip(), &[site.dns, site.admin]);
        let node = site.node("eu");
        let dns = node.find("[dns]").expect("a role");
        let probe = node.find("[probe]").expect("a role");
        let role = format!("[proxy]\nhttp = [\"{http}\"]\nworkers = 2\n{proxy}\n");
        site.write("config/node.toml", &format!("{}{role}{}", &node[..dns], &node[probe..]));
        let front = Self { site, http };
        front.fleet(fleet);
        front
    }

    /// Writes fleet.toml.
    pub(crate) fn fleet(&self, fleet: &str) {
        self.site.write("config/fleet.toml", &format!("{REGIONS}{fleet}"));
    }

    /// Starts the node.
    pub(crate) fn serve(&self) -> Meridian {
        self.site.serve()
    }
}
