//! The fleet that is simulated: its size, its files, and who watches what.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use meridian::health::{EndpointIdentity, Prober, Subject};
use meridian::model::{Address, Fleet, Node};
use meridian::snapshot::Loaded;

use crate::dns_support::{folder, loaded};

/// Probers of a region.
pub(crate) const PROBERS: usize = 3;
/// Regions whose endpoints a pool has.
const SPAN: usize = 5;
/// Time between two probes of an endpoint by one prober.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// Failures that take an endpoint down, and successes that bring it up.
pub(crate) const FALL: u32 = 2;

/// How large a fleet is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Regions.
    pub(crate) regions: usize,
    /// Nodes of a region; the first three probe.
    pub(crate) nodes: usize,
    /// Endpoints of a region.
    pub(crate) endpoints: usize,
}

impl Scale {
    /// 1,000 nodes in 50 regions, 150 of them probers, and 5,000 endpoints.
    pub(crate) const FULL: Self = Self { regions: 50, nodes: 20, endpoints: 100 };
    /// All regions and probers of the full fleet, with a fifth of its nodes and endpoints.
    pub(crate) const LEAN: Self = Self { regions: 50, nodes: 4, endpoints: 20 };
    /// A fleet for the tests of the test.
    pub(crate) const TINY: Self = Self { regions: 10, nodes: 5, endpoints: 10 };

    /// The regions that watch the endpoints of a region beside itself, by their distance from it.
    fn offsets(&self) -> [usize; 4] {
        if self.regions > 31 { [1, 7, 19, 31] } else { [1, 3, 5, 7] }
    }
}

/// The fleet, equal for all nodes.
pub(crate) struct SimFleet {
    pub(crate) scale: Scale,
    pub(crate) loaded: Loaded,
    /// Per prober: the endpoints that it watches.
    pub(crate) watched: Vec<Arc<Vec<u32>>>,
    /// Per endpoint: the probers that watch it, with its place among what they watch.
    pub(crate) watchers: Vec<Vec<(usize, usize)>>,
    /// What votes are about.
    pub(crate) subjects: HashMap<Subject, u32>,
    /// The endpoints by address.
    pub(crate) addresses: HashMap<IpAddr, u32>,
}

impl SimFleet {
    /// A fleet of this size.
    pub(crate) fn new(scale: Scale) -> Self {
        let folder = folder(&[
            ("config/node.toml", NODE),
            ("config/fleet.toml", &fleet_text(scale)),
            ("zones/a.test.zone", ZONE),
            ("zones/a.test.toml", &services(scale)),
        ]);
        let loaded = loaded(&folder, None);
        let fleet = &loaded.model.fleet;
        let mut watched = vec![Vec::new(); scale.regions * PROBERS];
        let mut watchers = vec![Vec::new(); fleet.endpoints.len()];
        let (mut subjects, mut addresses) = (HashMap::new(), HashMap::new());
        for (endpoint, at) in fleet.endpoints.iter().zip(0_u32..) {
            let region = usize::from(endpoint.region.0);
            let own = (0..PROBERS).map(|n| region * PROBERS + n);
            let others = scale.offsets().into_iter().zip(0..).map(|(offset, n): (_, usize)| {
                (region + offset) % scale.regions * PROBERS + n % PROBERS
            });
            for prober in own.chain(others) {
                watchers[at as usize].push((prober, watched[prober].len()));
                watched[prober].push(at);
            }
            subjects.insert(Subject::of(&EndpointIdentity::of(fleet, endpoint), "ready"), at);
            let Address::Ip(address) = endpoint.address else { panic!("hostnames are not used") };
            addresses.insert(address, at);
        }
        let watched = watched.into_iter().map(Arc::new).collect();
        Self { scale, loaded, watched, watchers, subjects, addresses }
    }

    /// What the files say of the fleet.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.loaded.model.fleet
    }

    /// The settings of a node in a region.
    pub(crate) fn node(&self, region: usize, probes: bool) -> Node {
        let mut node = self.loaded.model.node.clone();
        node.region =
            self.fleet().regions.iter().zip(0..).nth(region).map_or_else(
                || panic!("no region {region}"),
                |(_, id)| meridian::model::RegionId(id),
            );
        if !probes {
            node.probe = None;
        }
        node
    }

    /// The region of an endpoint.
    pub(crate) fn region_of(&self, endpoint: u32) -> usize {
        usize::from(self.fleet().endpoints[endpoint as usize].region.0)
    }

    /// The endpoints of a region.
    pub(crate) fn endpoints_in(&self, region: usize) -> Vec<u32> {
        let all = 0..self.fleet().endpoints.len() as u32;
        all.filter(|endpoint| self.region_of(*endpoint) == region).collect()
    }

    /// The name of a node, by its number in its region.
    pub(crate) fn name(region: usize, number: usize) -> Prober {
        Prober { region: region_name(region), node: format!("n{number:02}") }
    }
}

fn region_name(region: usize) -> String {
    format!("r{region:02}")
}

const NODE: &str = r#"version = 1
[node]
name = "one"
region = "r00"
state = "../state"
[zones]
directory = "../zones"
[dns]
listen = ["127.0.0.1:5300"]
[probe]
"#;

const ZONE: &str = "$TTL 60\n@ SOA ns1 host 1 60 60 60 60\n@ NS ns1\nns1 A 192.0.2.53\n";

/// The regions of a pool.
fn span(scale: Scale, pool: usize) -> impl Iterator<Item = usize> {
    (0..SPAN).map(move |n| (pool + n) % scale.regions)
}

fn fleet_text(scale: Scale) -> String {
    let mut text = "version = 1\n".to_owned();
    for region in 0..scale.regions {
        let longitude = region as f64 * 360.0 / scale.regions as f64 - 180.0;
        let name = region_name(region);
        writeln!(text, "[region.{name}]\nlocation = {{ lat = 40.0, lon = {longitude:.1} }}")
            .unwrap();
    }
    let interval = INTERVAL.as_secs();
    writeln!(
        text,
        "[monitor.ready]\nkind = \"tcp\"\nport = 80\ninterval = \"{interval}s\"\nfall = {FALL}\n\
         rise = {FALL}\nhold_down = \"0s\""
    )
    .unwrap();
    let mut number = 0;
    for pool in 0..scale.regions {
        writeln!(text, "[pool.p{pool:02}]\nmonitors = [\"ready\"]\nendpoints = [").unwrap();
        for region in span(scale, pool) {
            for _ in 0..scale.endpoints / SPAN {
                number += 1;
                let address =
                    IpAddr::from([10, (number >> 16) as u8, (number >> 8) as u8, number as u8]);
                let region = region_name(region);
                writeln!(text, "  {{ region = \"{region}\", address = \"{address}\" }},").unwrap();
            }
        }
        text.push_str("]\n");
    }
    text
}

/// A service for each pool: half of them ask the regions in order, half share by weight.
fn services(scale: Scale) -> String {
    let mut text = "version = 1\n".to_owned();
    for pool in 0..scale.regions {
        let policy = if pool % 2 == 0 {
            let regions: Vec<String> =
                span(scale, pool).map(|region| format!("\"{}\"", region_name(region))).collect();
            format!("{{ method = \"order\", regions = [{}] }}, ", regions.join(", "))
        } else {
            String::new()
        };
        writeln!(
            text,
            "[service.s{pool:02}]\npool = \"p{pool:02}\"\nanswers = 8\n\
             policy = [{policy}{{ method = \"rotate\" }}]"
        )
        .unwrap();
    }
    text
}
