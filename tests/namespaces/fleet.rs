//! The fleet: three regions with two nodes, two endpoints and a bus server each, the hub of the
//! bus, and the record of what every node answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use meridian::cluster::{Create, Grade, examine};
use meridian::health::Prober;
use tempfile::TempDir;

use super::bus::{Server, user_name};
use super::emulator::Emulator;
use super::link::Profile;
use super::namespace::Namespace;
use super::record::{Answer, Poller, Record, Run};
use super::region::{BUS, Node, PORTS, Region, address, endpoints};
use super::tun;
use crate::support::nats::BusAuthority;
use crate::support::poll;
use crate::support::site::{UNLIMITED, zone};

/// Between two looks at anything.
pub(crate) const STEP: Duration = Duration::from_millis(10);
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);
/// Name, place, and nodes of each region, whose number is its place in this list, from 1.
const REGIONS: [(&str, &str, [&str; 2]); 3] = [
    ("ap", "lat = 1.35, lon = 103.8", ["ap-1", "ap-2"]),
    ("eu", "lat = 50.11, lon = 8.68", ["eu-1", "eu-2"]),
    ("us", "lat = 38.95, lon = -77.45", ["us-1", "us-2"]),
];
/// The site of the hub.
const HUB: u8 = 4;
/// Delay one way in milliseconds, and losses in a thousand, between sites.
const LINKS: [(u8, u8, u32, u32); 6] = [
    (1, 2, 80, 15),
    (1, 3, 100, 20),
    (2, 3, 40, 10),
    (1, 4, 85, 15),
    (2, 4, 5, 10),
    (3, 4, 40, 10),
];
/// The answered name.
const NAME: &str = "www.fleet.test";
/// Between two probes of an endpoint.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// A probe without a result by then has failed. A lost packet is sent again after a second while
/// connecting, and later after more than a round trip, and that must not fail a probe: while the
/// bus is away, two such in a row would let a node prefer what else it reaches.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(1_800);

/// The fleet; all of it ends when it is dropped or the test dies.
pub(crate) struct Fleet {
    pub(crate) regions: Vec<Region>,
    pub(crate) emulator: Emulator,
    pub(crate) authority: BusAuthority,
    /// Of each region, then the hub.
    servers: Vec<Server>,
    /// At the hub: it does not probe, and writes overrides.
    operator: Node,
    record: Arc<Mutex<Record>>,
    pollers: Vec<Poller>,
    folder: TempDir,
}

/// Held by a scenario that needs the machine for itself.
pub(crate) static ALONE: Mutex<()> = Mutex::new(());
/// What the tests of this process share.
static SHARED: Mutex<Weak<Mutex<Fleet>>> = Mutex::new(Weak::new());

/// Runs a scenario on a fleet that is whole. Scenarios have it one after another: to start one
/// takes as long as many of them. One that fails costs the next a fleet of its own.
pub(crate) fn on_fleet(scenario: impl FnOnce(&mut Fleet)) {
    let fleet = {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.upgrade().filter(|fleet| !fleet.is_poisoned());
        known.unwrap_or_else(|| {
            let fleet = Arc::new(Mutex::new(Fleet::start()));
            *shared = Arc::downgrade(&fleet);
            fleet
        })
    };
    if let Ok(mut fleet) = fleet.lock() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        fleet.wait_whole();
        return scenario(&mut fleet);
    }
    // It broke while this scenario waited for its turn.
    drop(fleet);
    on_fleet(scenario);
}

/// All endpoints of these regions.
pub(crate) fn all_of(regions: &[&Region]) -> Vec<Ipv4Addr> {
    regions.iter().flat_map(|region| endpoints(region.number)).collect()
}

fn answer(addresses: &[Ipv4Addr]) -> Answer {
    Answer::Addresses(addresses.iter().copied().map(IpAddr::V4).collect())
}

impl Fleet {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let regions: Vec<Region> = (1..)
            .zip(REGIONS)
            .map(|(number, (name, _, nodes))| Region::new(name, number, nodes, folder.path()))
            .collect();
        let (hub, hub_address) = (Namespace::new(), address(HUB, BUS));
        hub.ip(&format!("addr add {hub_address}/32 dev lo"));
        let mut devices: Vec<_> =
            regions.iter().map(|region| (region.number, tun::open(&region.router))).collect();
        devices.push((HUB, tun::open(&hub)));
        hub.ip(&format!("route add 10.213.0.0/16 dev {} src {hub_address}", tun::DEVICE));
        regions.iter().for_each(Region::route);
        let links = LINKS.map(|(a, b, delay, loss)| {
            let delay = delay * MS;
            let (jitter, loss) = (delay / 10, f64::from(loss) / 1_000.0);
            let profile = Profile { delay, jitter, loss, reorder: 0.01, cut: false };
            [((a, b), profile), ((b, a), profile)]
        });
        let seed = std::env::var("MERIDIAN_SEED").ok().and_then(|seed| seed.parse().ok());
        let emulator = Emulator::start(devices, &links.concat(), seed.unwrap_or(20_261_122));
        let authority = BusAuthority::new();
        let at = folder.path();
        let mut servers: Vec<Server> =
            regions.iter().map(|r| Server::leaf(r, hub_address, &authority, at)).collect();
        servers.push(Server::hub(&regions, hub_address, &authority, at));
        let record = Record::new();
        let operator = Node::new("operator", hub_address, hub, at.join("operator"));
        let mut fleet = Self {
            regions,
            emulator,
            authority,
            servers,
            operator,
            record,
            pollers: Vec::new(),
            folder,
        };
        fleet.start_bus();
        fleet.prepare_bus();
        fleet.start_sites();
        fleet
    }

    /// Starts endpoints and nodes, and begins to ask these.
    fn start_sites(&mut self) {
        for region in &mut self.regions {
            (0..2).for_each(|at| region.start_endpoint(at));
        }
        for region in &mut self.regions {
            for node in &mut region.nodes {
                lay_out(node, region.name, region.number, &self.authority);
                node.start(&[]);
            }
        }
        lay_out(&self.operator, "eu", HUB, &self.authority);
        self.operator.start(&[]);
        for region in &self.regions {
            let nodes = region
                .nodes
                .iter()
                .map(|node| (node.name, SocketAddr::new(node.address.into(), 53)));
            let record = self.record.clone();
            self.pollers.push(Poller::start(&region.router, nodes.collect(), NAME, record));
        }
    }

    /// Starts all servers of the bus.
    pub(crate) fn start_bus(&mut self) {
        for (server, region) in self.servers.iter_mut().zip(&self.regions) {
            server.start(&region.bus);
        }
        self.servers[3].start(&self.operator.host);
    }

    /// Starts the server of one region.
    pub(crate) fn start_bus_of(&mut self, at: usize) {
        self.servers[at].start(&self.regions[at].bus);
    }

    /// Kills the servers at these places; 3 is the hub.
    pub(crate) fn kill_bus(&mut self, places: impl IntoIterator<Item = usize>) {
        places.into_iter().for_each(|at| self.servers[at].kill());
    }

    /// Makes the streams, as operators do once: first at the hub, then in each region.
    fn prepare_bus(&self) {
        self.examine(&self.operator.host, ("eu", address(HUB, BUS)), Create::Streams);
        for region in &self.regions {
            let at = (region.name, address(region.number, BUS));
            self.examine(&region.bus, at, Create::Mirror("hub"));
        }
    }

    fn examine(&self, host: &Namespace, (region, at): (&str, Ipv4Addr), create: Create<'static>) {
        let nats =
            self.authority.nats(SocketAddr::new(at.into(), 4222), Some(&user_name("operator")));
        let me = Prober { region: region.into(), node: "operator".into() };
        host.run(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut last = None;
            let made = poll(PATIENCE, 100 * MS, || {
                let found = runtime.block_on(examine(&nats, &me, false, create));
                let fine = found.as_ref().is_ok_and(|found| {
                    found.iter().all(|found| found.what == "mirror" || found.grade != Grade::Wrong)
                });
                last = Some(found);
                fine.then_some(())
            });
            assert!(made.is_some(), "{create:?} at {at}: {last:#?}");
        });
    }

    /// The nodes that are to answer.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        let all = self.regions.iter().flat_map(|region| &region.nodes);
        all.filter(|node| node.process.is_some())
    }

    /// Waits until every node hears all others, and answers all endpoints.
    pub(crate) fn wait_whole(&self) {
        let everything = self.everything();
        self.wait("the fleet is whole", 2 * PATIENCE, || {
            self.nodes().all(|node| self.is_answering(node, &everything) && is_live(node))
        });
    }

    /// Whether a node's last answer was this one.
    pub(crate) fn is_answering(&self, node: &Node, addresses: &[Ipv4Addr]) -> bool {
        let record = self.record();
        record.latest(node.name).is_some_and(|run| run.answer == answer(addresses))
    }

    /// Waits until something holds, and gives the time that took.
    pub(crate) fn wait(
        &self,
        what: &str,
        patience: Duration,
        mut holds: impl FnMut() -> bool,
    ) -> Duration {
        let begun = Instant::now();
        if poll(patience, STEP, || holds().then_some(())).is_none() {
            self.fail(&format!("not within {patience:?}: {what}"));
        }
        begun.elapsed()
    }

    /// The addresses of all endpoints.
    pub(crate) fn everything(&self) -> Vec<Ipv4Addr> {
        all_of(&self.regions.iter().collect::<Vec<_>>())
    }

    /// Fails unless all nodes answer everything for this long, and did since `begun`.
    pub(crate) fn nothing_changes(&self, what: &str, begun: Instant, time: Duration) {
        watch(time);
        self.assert_only(what, self.nodes(), begun, &self.everything());
    }

    /// Has the operators' node force something; fails unless that is done.
    pub(crate) fn force(&self, arguments: &[&str]) {
        let mut command = crate::support::meridian::command();
        command.arg("force").args(arguments).args(["--node", "http://127.0.0.1:8053"]);
        command.env("USER", "alice");
        let done = self.operator.host.run(move || command.output().unwrap());
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            self.fail(&format!("force {arguments:?}: {said}\n{}", self.operator.log()));
        }
    }

    /// A folder for what a scenario needs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Fails unless these nodes answered nothing else than this since `since`.
    pub(crate) fn assert_only<'n>(
        &self,
        what: &str,
        nodes: impl IntoIterator<Item = &'n Node>,
        since: Instant,
        addresses: &[Ipv4Addr],
    ) {
        let expected = answer(addresses);
        self.assert_each(what, nodes, since, |run| run.answer == expected);
    }

    /// Fails unless these nodes answered something and `holds` of all answers since `since`.
    pub(crate) fn assert_each<'n>(
        &self,
        what: &str,
        nodes: impl IntoIterator<Item = &'n Node>,
        since: Instant,
        holds: impl Fn(&Run) -> bool,
    ) {
        for node in nodes {
            let runs = self.record().since(node.name, since);
            if runs.is_empty() || !runs.iter().all(&holds) {
                self.fail(&format!("{what}: {}", node.name));
            }
        }
    }

    /// A bound with what this machine has added since this was last asked.
    pub(crate) fn with_lag(&self, bound: Duration) -> Duration {
        let lag = self.record().take_lag() + self.emulator.take_lag();
        println!("bound {bound:?}, lag of the machine {lag:?}");
        bound + lag
    }

    /// Forgets the lag of the past.
    pub(crate) fn begin(&self) -> Instant {
        self.record().take_lag();
        self.emulator.take_lag();
        Instant::now()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    /// Fails the test, with all that is known.
    pub(crate) fn fail(&self, what: &str) -> ! {
        for server in &self.servers {
            println!("--- a bus server\n{}", last_lines(&server.log()));
        }
        for node in self.regions.iter().flat_map(|region| &region.nodes) {
            println!("--- {}\n{}", node.name, last_lines(&node.log()));
            println!(
                "{}",
                node.page("meridian_endpoint_vote\nmeridian_cluster_\nmeridian_vantage")
            );
        }
        println!("--- answers\n{}", self.record());
        panic!("{what}");
    }
}

/// Lets time pass in which the answers of all nodes are recorded: that nothing happens for so long
/// is what is to be seen.
pub(crate) fn watch(time: Duration) {
    std::thread::sleep(time);
}

/// Whether a node hears all regions.
pub(crate) fn is_live(node: &Node) -> bool {
    node.metric("meridian_cluster_mode", &["mode=\"live\""]) == Some(1.0)
        && node.metric("meridian_cluster_probers", &["standing=\"live\""]) == Some(5.0)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Writes the files of a node.
fn lay_out(node: &Node, region: &str, number: u8, authority: &BusAuthority) {
    let (name, own, bus) = (node.name, node.address, address(number, BUS));
    let country = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/country.mmdb");
    let country = country.display();
    let probe = if name == "operator" { "" } else { "[probe]\nallow_private = true\n" };
    let write = |path: &str, text: &str| node.write(path, text);
    write(
        "config/node.toml",
        &format!(
            "version = 1\n[node]\nname = \"{name}\"\nregion = \"{region}\"\nstate = \"../state\"\n\
             [zones]\ndirectory = \"../zones\"\n\
             [geo]\ndatabases = [\"{country}\"]\nmax_age = \"3650d\"\n\
             [dns]\nlisten = [\"{own}:53\"]\nworkers = 1\n{UNLIMITED}\n\
             {probe}\
             [admin]\nlisten = \"127.0.0.1:8053\"\n\
             [cluster]\nengine = \"nats\"\n\
             [cluster.nats]\nservers = [\"tls://{bus}:4222\"]\n\
             tls = {{ ca = \"tls/ca.pem\", chain = \"tls/node.pem\", key = \"tls/node.key\" }}\n"
        ),
    );
    let (chain, key) = authority.issue(&[&user_name(name)]);
    write("config/tls/ca.pem", authority.pem());
    write("config/tls/node.pem", &chain);
    write("config/tls/node.key", &key);
    write("config/fleet.toml", &fleet_toml(PORTS[0]));
    write("zones/fleet.test.zone", &zone("fleet.test.", 1, ""));
    write(
        "zones/fleet.test.toml",
        "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"rotate\"]\n\
         ttl = { min = \"1s\", max = \"5s\" }\nall_down = \"servfail\"\n",
    );
}

/// The fleet's files, with checks at this port.
pub(crate) fn fleet_toml(port: u16) -> String {
    let regions =
        REGIONS.map(|(name, place, _)| format!("[region.{name}]\nlocation = {{ {place} }}\n"));
    let entries = (1..).zip(REGIONS).flat_map(|(number, (name, ..))| {
        endpoints(number).map(|at| format!("{{ region = \"{name}\", address = \"{at}\" }},\n"))
    });
    let entries: String = entries.collect();
    format!(
        "version = 1\n{}[monitor.ready]\nkind = \"http\"\npath = \"/\"\nport = {port}\n\
         interval = \"{}s\"\ntimeout = \"{}ms\"\nhold_down = \"0s\"\n\
         [pool.web]\nmonitors = [\"ready\"]\nendpoints = [\n{entries}]\n",
        regions.concat(),
        INTERVAL.as_secs(),
        TIMEOUT.as_millis(),
    )
}
