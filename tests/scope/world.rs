//! The world of the scope tests: a fleet, networks in networks, and a service for each policy.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use meridian::clock::Tick;
use meridian::health::{CauseKind, HealthTable, Level, Outcome};
use meridian::model::EndpointId;
use meridian::snapshot::{Event, Publisher, Snapshot, load};

use crate::oracle::{Fence, Method, Rules};
use crate::support::geography::Degrees;
use crate::support::site::zone;

/// A region: name, coordinates, country and continent.
pub(crate) const REGIONS: [(&str, Degrees, &str, &str); 6] = [
    ("ash", (38.95, -77.45), "US", "NA"),
    ("bom", (19.08, 72.88), "IN", "AS"),
    ("fra", (50.11, 8.68), "DE", "EU"),
    ("par", (48.86, 2.35), "FR", "EU"),
    ("sao", (-23.55, -46.63), "BR", "SA"),
    ("sjc", (37.35, -121.95), "US", "NA"),
];

/// Indexes into [`REGIONS`].
pub(crate) const ASH: usize = 0;
pub(crate) const BOM: usize = 1;
pub(crate) const FRA: usize = 2;
pub(crate) const PAR: usize = 3;
pub(crate) const SAO: usize = 4;
pub(crate) const SJC: usize = 5;
/// The regions of each pool.
const WEB: &[usize] = &[ASH, BOM, FRA, PAR, SAO, SJC];
const FEW: &[usize] = &[ASH, BOM, FRA];
const DR: &[usize] = &[PAR, SAO];
const FIVE: &[usize] = &[ASH, BOM, FRA, PAR, SAO];

/// A network: name, prefixes, countries and preferred regions.
pub(crate) type ListedNetwork =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static [usize]);

/// All networks. `all` ranks every region, so that nothing else matters inside it; `six` has no
/// IPv4; `twin` borders on `corp` and prefers the same, and on `gap` with a region between.
pub(crate) const NETWORKS: [ListedNetwork; 10] = [
    ("all", &["46.0.0.0/10", "2a00::/14"], &[], &[SJC, SAO, PAR, FRA, BOM, ASH]),
    (
        "corp",
        &["11.0.0.0/9", "2600:1f00::/25", "203.0.113.0/24", "255.255.255.0/24", "0.0.0.0/8"],
        &[],
        &[ASH, FRA],
    ),
    ("desk", &["11.16.32.77/32", "2600:1f18:4000::/40", "2600:1f18:4000::1/128"], &[], &[SJC]),
    ("far", &[], &["AU", "NZ", "JP"], &[SJC, BOM]),
    ("gap", &["10.0.0.0/9"], &[], &[ASH, SAO, FRA]),
    ("lab", &["11.16.0.0/12", "2600:1f18::/33", "2002:b10::/28"], &[], &[BOM]),
    ("odd", &["::ffff:11.16.32.0/121", "64:ff9b::c633:6400/120"], &[], &[SAO]),
    ("room", &["11.16.32.0/24", "2600:1f18:4000:8000::/49"], &[], &[PAR, BOM]),
    ("six", &["2804::/16"], &[], &[SAO]),
    ("twin", &["10.128.0.0/9", "11.128.0.0/9", "2600:1f80::/25"], &[], &[ASH, FRA]),
];

/// A service: what is configured, and what the oracle makes of it.
pub(crate) struct Service {
    /// Owner below the origin, as in the file.
    owner: &'static str,
    /// The name that is asked for.
    pub(crate) asked: &'static str,
    /// Its pools.
    pools: &'static [&'static str],
    /// Its other keys in TOML; empty: it is there already, and asked for by another name.
    keys: &'static str,
    /// The same for the oracle.
    pub(crate) rules: Rules,
}

/// The zone of all services.
const ORIGIN: &str = "scope.test";

/// Names that lead to a service by a static alias.
const ALIASES: &str = "chain CNAME near\nbelow DNAME w\n";

/// Types that are asked for.
pub(crate) const TYPES: [u16; 5] = [1, 28, 16, 255, 5];

const CLOSE: Method = near(&[], 0.0);
const COUNTRY: Method = Method::Fence { by: Fence::Country, strict: false };
const COUNTRY_ONLY: Method = Method::Fence { by: Fence::Country, strict: true };
const CONTINENT: Method = Method::Fence { by: Fence::Continent, strict: false };
const CONTINENT_ONLY: Method = Method::Fence { by: Fence::Continent, strict: true };
const CORP_ONLY: Method = Method::Fence { by: Fence::Network("corp"), strict: true };
const SIX: Method = Method::Fence { by: Fence::Network("six"), strict: false };

const fn near(bias: &'static [(usize, f64)], tolerance: f64) -> Method {
    Method::Proximity { bias, tolerance }
}

/// A service of the pool `web` that is asked for by its own name.
const fn web(owner: &'static str, keys: &'static str, methods: &'static [Method]) -> Service {
    let rules = Rules { regions: WEB, methods, affinity: None };
    Service { owner, asked: owner, pools: &["web"], keys, rules }
}

impl Service {
    /// The same, picking by so many bits of the client's address.
    const fn hashed(mut self, v4: u8, v6: u8) -> Self {
        self.rules.affinity = Some((v4, v6));
        self
    }

    /// The same, of these pools with endpoints in these regions.
    const fn of(mut self, pools: &'static [&'static str], regions: &'static [usize]) -> Self {
        self.pools = pools;
        self.rules.regions = regions;
        self
    }

    /// The same, asked for by another name.
    const fn asked(mut self, name: &'static str) -> Self {
        self.asked = name;
        self
    }
}

/// All services.
pub(crate) static SERVICES: [Service; 26] = [
    web("plain", "policy = ['weighted']", &[]),
    web("near", "policy = ['proximity']", &[CLOSE]),
    web("near", "", &[CLOSE]).asked("chain"),
    web(
        "band",
        "policy = [{ method = 'proximity', tolerance = 0.3, bias = { fra = 20, ash = -30 } }]
         all_down = 'first'",
        &[near(&[(FRA, 20.0), (ASH, -30.0)], 0.3)],
    ),
    web("wide", "policy = [{ method = 'proximity', tolerance = 1.0 }]", &[near(&[], 1.0)]),
    web("net", "policy = ['network', 'proximity']", &[Method::Network, CLOSE]),
    web("only", "policy = ['network', 'rotate']", &[Method::Network]).of(&["few"], FEW),
    web("late", "policy = ['proximity', 'network']", &[CLOSE, Method::Network]),
    web(
        "later",
        "policy = [{ method = 'proximity', tolerance = 0.4 }, 'network']",
        &[near(&[], 0.4), Method::Network],
    ),
    web(
        "home",
        "policy = [{ method = 'fence', by = 'country' }, 'proximity']\nanswers = 3",
        &[COUNTRY, CLOSE],
    ),
    web(
        "strict",
        "policy = [{ method = 'fence', by = 'continent', strict = true }, 'proximity']
         all_down = 'nodata'",
        &[CONTINENT_ONLY, CLOSE],
    ),
    web(
        "club",
        "policy = [{ method = 'fence', by = { network = 'corp' }, strict = true },
                   { method = 'order', regions = ['par', 'fra', 'ash'] }]
         all_down = { address = ['192.0.2.99'] }",
        &[CORP_ONLY, Method::Order(&[PAR, FRA, ASH])],
    ),
    web("six", "policy = [{ method = 'fence', by = { network = 'six' } }]", &[SIX]),
    web(
        "tight",
        "policy = [{ method = 'fence', by = 'country', strict = true },
                   { method = 'fence', by = 'continent', strict = true }]",
        &[COUNTRY_ONLY, CONTINENT_ONLY],
    ),
    web(
        "fixed",
        "policy = [{ method = 'order', regions = ['sao', 'ash'] }]\nall_down = 'servfail'",
        &[Method::Order(&[SAO, ASH])],
    ),
    web(
        "two",
        "policy = ['proximity', { method = 'nearest', n = 2, tolerance = 0.2 }]
         all_down = { cname = 'status.example.net.' }",
        &[CLOSE, Method::Nearest(2, 0.2)],
    ),
    web("hash", "policy = [{ method = 'affinity', prefix = { v4 = 20, v6 = 44 } }]", &[])
        .hashed(20, 44),
    web("coarse", "policy = [{ method = 'affinity', prefix = { v4 = 3, v6 = 7 } }]", &[])
        .hashed(3, 7),
    web(
        "mixed",
        "policy = ['network', { method = 'proximity', tolerance = 0.5 },
                   { method = 'affinity', prefix = { v4 = 14, v6 = 30 } }]",
        &[Method::Network, near(&[], 0.5)],
    )
    .hashed(14, 30),
    web(
        "'*.w'",
        "policy = ['network', { method = 'fence', by = 'continent' }, 'proximity', 'weighted']
         answers = 2",
        &[Method::Network, CONTINENT, CLOSE],
    )
    .asked("a.w"),
    web("'*.w'", "", &[Method::Network, CONTINENT, CLOSE]).asked("a.below"),
    web("few", "policy = ['proximity']", &[CLOSE]).of(&["few"], FEW),
    web("host", "policy = ['proximity']", &[CLOSE]).of(&["host"], FEW),
    web("spare", "policy = ['proximity']", &[CLOSE]).of(&["few", "dr"], FIVE),
    web(
        "land",
        "policy = [{ method = 'fence', by = 'country', strict = true }, 'network', 'proximity']",
        &[COUNTRY_ONLY, Method::Network, CLOSE],
    )
    .of(&["few", "dr"], FIVE),
    web(
        "three",
        "policy = ['network', 'proximity', { method = 'nearest', n = 3 }, 'rotate']
         all_down = 'last-good'",
        &[Method::Network, CLOSE, Method::Nearest(3, 0.0)],
    )
    .of(&["few", "dr"], FIVE),
];

/// `["ash", "bom"]`
fn list(regions: &[usize]) -> String {
    let names: Vec<&str> = regions.iter().map(|region| REGIONS[*region].0).collect();
    format!("{names:?}")
}

/// A pool with, for each region, this many endpoints of IPv4, and one of IPv6 where `six` says so.
fn pool(name: &str, regions: &[usize], (net, count): (u8, u8), six: &[usize]) -> String {
    let four = |region: &usize| -> String {
        let entry = |host: u8| {
            let (name, weight) = (REGIONS[*region].0, 100 / u32::from(host));
            let address = format!("192.{net}.{region}.{host}");
            format!("{{ region = '{name}', address = '{address}', weight = {weight} }},\n")
        };
        (1..=count).map(entry).collect()
    };
    let six = six.iter().map(|region| {
        let name = REGIONS[*region].0;
        format!("{{ region = '{name}', address = '2001:db8:{net}::{region}' }},\n")
    });
    let endpoints: String = regions.iter().map(four).chain(six).collect();
    format!("[pool.{name}]\nmonitors = ['m']\nmin_up = 0.1\nendpoints = [\n{endpoints}]\n")
}

fn fleet() -> String {
    let regions = REGIONS.map(|(name, (lat, lon), country, _)| {
        format!(
            "[region.{name}]\nlocation = {{ lat = {lat:?}, lon = {lon:?} }}\n\
             country = '{country}'\n"
        )
    });
    let networks = NETWORKS.map(|(name, prefixes, countries, regions)| {
        let regions = list(regions);
        format!(
            "[network.{name}]\nregions = {regions}\nprefixes = {prefixes:?}\n\
             countries = {countries:?}\n"
        )
    });
    let host = |region: &usize| {
        let name = REGIONS[*region].0;
        format!("{{ region = '{name}', address = '{name}.example.net' }},")
    };
    let hosts: String = FEW.iter().map(host).collect();
    [
        "version = 1\n[monitor.m]\nkind = 'tcp'\nport = 80\nfall = 1\nrise = 1\n\
         hold_down = '0s'\n",
        &regions.concat(),
        &networks.concat(),
        &pool("web", WEB, (1, 2), &[ASH, BOM, FRA]),
        &pool("few", FEW, (2, 1), &[]),
        &pool("dr", DR, (3, 1), &[SAO]),
        &format!("[pool.host]\nmonitors = ['m']\nendpoints = [{hosts}]\n"),
    ]
    .concat()
}

fn steered() -> String {
    let services = SERVICES.iter().filter(|service| !service.keys.is_empty());
    let table = |service: &Service| {
        let Service { owner, pools, keys, .. } = service;
        format!("[service.{owner}]\npools = {pools:?}\n{keys}\n")
    };
    "version = 1\n".to_owned() + &services.map(table).collect::<String>()
}

/// The world as it is served, in several states of health.
pub(crate) struct World {
    /// One for each state of health.
    pub(crate) snapshots: Vec<Arc<Snapshot>>,
}

impl World {
    /// Writes the files, loads them and lets endpoints fail at random.
    pub(crate) fn load(random: &mut fastrand::Rng) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a written file");
        };
        let country = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/country.mmdb");
        let node = format!(
            "version = 1\n[node]\nname = 'n'\nregion = 'fra'\n[dns]\n[probe]\n\
             [geo]\ndatabases = [{:?}]\nmax_age = '3650d'\n",
            country.display().to_string()
        );
        write("config/node.toml", &node);
        write("config/fleet.toml", &fleet());
        write(&format!("zones/{ORIGIN}.zone"), &zone(&format!("{ORIGIN}."), 1, ALIASES));
        write(&format!("zones/{ORIGIN}.toml"), &steered());
        let loaded = load(&folder.path().join("config"), None);
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics);
        let health = HealthTable::new(&loaded.model.fleet, Tick(0));
        let mut publisher = Publisher::new(loaded, health);
        let mut snapshots = vec![publisher.shared().load_full()];
        // All up; then more and more down; then nothing up.
        for (at, chance) in [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0].iter().enumerate() {
            fail(&mut publisher, *chance, at as u64 + 1, random);
            snapshots.push(publisher.shared().load_full());
        }
        Self { snapshots }
    }
}

/// The full name that a service is asked for by.
pub(crate) fn name(service: &Service) -> String {
    format!("{}.{ORIGIN}.", service.asked)
}

/// Probes every endpoint; this share of them fails, endpoint by endpoint or region by region.
fn fail(publisher: &mut Publisher, chance: f64, second: u64, random: &mut fastrand::Rng) {
    let regions: Vec<bool> = REGIONS.iter().map(|_| random.f64() < chance).collect();
    let whole_regions = second.is_multiple_of(2);
    let generation = publisher.model_generation();
    let fleet = publisher.loaded().model.clone();
    for (endpoint, id) in fleet.fleet.endpoints.iter().zip((0..).map(EndpointId)) {
        let region = regions[usize::from(endpoint.region.0)];
        let down = if whole_regions { region } else { random.f64() < chance };
        let outcome =
            if down { Outcome::failure(CauseKind::Refused, "refused") } else { Outcome::Success };
        let monitor = fleet.fleet.pool(endpoint.pool).monitors[0];
        let event = Event::Probe { generation, endpoint: id, monitor, outcome };
        publisher.apply(event, Tick(second * 10_000));
        let expected = if down { Level::Down } else { Level::Up };
        assert_eq!(publisher.health().endpoints()[id.0 as usize].level, expected);
    }
    publisher.publish();
}
