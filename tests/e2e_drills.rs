//! Drills on a fleet of six nodes in three regions over a real bus: the report says what somebody
//! else sees, and nothing is left of a drill whose command and node have died.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.
#![allow(clippy::float_cmp)] // Metrics hold whole numbers.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use meridian::zone::rtype::A;
use serde_json::Value;
use support::dns::Client;
use support::meridian::{Meridian, command, http_get};
use support::nats::NatsServer;
use support::poll;
use support::site::{Site, THREE_REGIONS, zone};
use support::wire::Ask;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the answers of a node.
const STEP: Duration = Duration::from_millis(10);
/// By how much the report and the looks may differ.
const SLACK_MS: u64 = 100;
const REGIONS: [&str; 3] = ["ap", "eu", "us"];
/// What clients in Germany are answered while all is well.
const EU: &str = "192.0.2.2";

const POOL: &str = "[pool.web]\nendpoints = [\n\
    { region = \"ap\", address = \"192.0.2.1\" },\n\
    { region = \"eu\", address = \"192.0.2.2\" },\n\
    { region = \"us\", address = \"192.0.2.3\" },\n]\n";

/// Six nodes, and the bus between them.
struct Fleet {
    nodes: Vec<Meridian>,
    admins: Vec<SocketAddr>,
    _bus: NatsServer,
    site: Site,
}

impl Fleet {
    /// A fleet in which every node is ready and hears all regions.
    fn start() -> Self {
        let (site, bus) = (Site::new("eu"), NatsServer::prepared());
        let places = REGIONS.iter().flat_map(|region| [(*region, 1), (*region, 2)]);
        let started = (1..).zip(places).map(|(number, place)| node(&site, &bus, number, place));
        let (mut nodes, admins): (Vec<Meridian>, Vec<SocketAddr>) = started.unzip();
        nodes.iter_mut().for_each(Meridian::wait_ready);
        for node in &nodes {
            let live =
                || (node.metric("meridian_cluster_mode", &["mode=\"live\""]) == 1.0).then_some(());
            let heard = |region: &str| {
                let labels = [&*format!("vantage=\"{region}\""), "state=\"live\""];
                node.metric("meridian_vantage_state", &labels) == 1.0
            };
            let all = || live().filter(|()| REGIONS.iter().all(|region| heard(region)));
            assert!(poll(PATIENCE, STEP, all).is_some(), "{}", node.process.log());
        }
        Self { nodes, admins, _bus: bus, site }
    }

    /// A drill file that takes eu out for a while, and looks at all nodes.
    fn file(&self, lasts: &str) -> String {
        let nodes: Vec<String> =
            self.nodes.iter().map(|node| format!("\"{}\"", node.dns)).collect();
        let text = format!(
            "version = 1\n[drill]\nname = \"lose eu\"\nfail = [\"region:eu\"]\nfor = \"{lasts}\"\n\
             services = [\"www.fleet.test\"]\nnodes = [{}]\nevery = \"20ms\"\n\
             clients = [\"141.20.0.0/24\"]\n\
             [expect]\nmoved_within = \"10s\"\nback_within = \"10s\"\nno_errors = true\n",
            nodes.join(", ")
        );
        self.site.write("drill.toml", &text);
        self.site.path("drill.toml").display().to_string()
    }

    /// Starts `drill run` by way of a node; it writes a report.
    fn drill(&self, lasts: &str, by: usize) -> Child {
        let file = self.file(lasts);
        let node = format!("http://{}", self.admins[by]);
        let mut run = command();
        run.args(["drill", "run", &file, "--node", &node, "--author", "carol", "--report"]);
        run.arg(self.site.path("report.json"));
        run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Number of overrides that a node knows; `None`: it does not answer.
    fn overrides(&self, at: usize) -> Option<usize> {
        let (_, text) = http_get(self.admins[at], "/api/v1/overrides")?;
        let listed: Value = serde_json::from_str(&text).ok()?;
        Some(listed["overrides"].as_array()?.len())
    }
}

/// Starts the node of this number: its region, and which of the two it is there.
fn node(
    site: &Site,
    bus: &NatsServer,
    number: u8,
    (region, which): (&str, u8),
) -> (Meridian, SocketAddr) {
    let name = format!("{region}-{which}");
    let (text, dns, admin) = site.node_beside(number, (region, &name));
    let services = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"proximity\"]\n\
                    ttl = { min = \"1s\", max = \"1s\" }\n";
    let files = [
        ("config/node.toml", &*(text + &bus.cluster())),
        ("config/fleet.toml", &format!("{THREE_REGIONS}{POOL}")),
        ("zones/fleet.test.zone", &zone("fleet.test.", 1, "")),
        ("zones/fleet.test.toml", services),
    ];
    (site.start_beside(&name, &files, (dns, admin)), admin)
}

/// What a client in Germany is answered; `None`: nothing.
fn answer(client: &mut Client) -> Option<String> {
    let ask = Ask::new("www.fleet.test", A).with_subnet("141.20.0.0".parse().unwrap(), 24);
    client.try_ask(&ask).ok()?.addresses().first().map(ToString::to_string)
}

/// Somebody who looks at one node all the time.
struct Witness {
    thread: JoinHandle<Vec<(Instant, bool)>>,
    stop: Arc<AtomicBool>,
}

impl Witness {
    fn of(dns: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ending = stop.clone();
        let thread = thread::spawn(move || {
            let mut client = Client::new(dns);
            client.set_timeout(Duration::from_secs(1));
            let (mut seen, mut due) = (Vec::new(), Instant::now());
            while !ending.load(Ordering::Relaxed) {
                // One who asks too much may lose an answer, which says nothing.
                if let Some(found) = answer(&mut client) {
                    seen.push((Instant::now(), found == EU));
                }
                due += STEP;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            seen
        });
        Self { thread, stop }
    }

    /// When the node last answered eu before the drill, and first again after it.
    fn turns(self) -> (Instant, Instant) {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap();
        let gone = seen.iter().position(|(_, eu)| !eu).expect("eu is taken out");
        let back = seen[gone..].iter().position(|(_, eu)| *eu).expect("eu is back");
        let rest = &seen[gone + back..];
        assert!(rest.iter().all(|(_, eu)| *eu), "it moves once, and back once");
        (seen[gone].0, seen[gone + back].0)
    }
}

#[test]
fn a_report_says_of_each_node_what_somebody_else_sees() {
    let fleet = Fleet::start();
    let witnesses: Vec<Witness> = fleet.nodes.iter().map(|node| Witness::of(node.dns)).collect();
    let output = fleet.drill("4s", 0).wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].map(|o| String::from_utf8(o).unwrap()).join("\n");
    assert!(output.status.success(), "{text}");
    let turns: Vec<(Instant, Instant)> = witnesses.into_iter().map(Witness::turns).collect();
    let report = fs::read(fleet.site.path("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let nodes = report["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 6);
    let lasted = report["lasted_ms"].as_u64().unwrap();
    let told: Vec<(u64, u64)> = nodes
        .iter()
        .map(|node| {
            let ms = |key: &str| node[key].as_u64().unwrap_or_else(|| panic!("{key}: {node:#}"));
            (ms("moved_ms"), ms("back_ms"))
        })
        .collect();
    for (at, ((left, back), (moved, returned))) in turns.iter().zip(&told).enumerate() {
        let seen = back.duration_since(*left).as_millis() as u64;
        let out = lasted + returned - moved;
        assert!(seen.abs_diff(out) <= SLACK_MS, "node {at}: {out} ms told, {seen} ms seen\n{text}");
    }
    // Who moved when, against the first of them.
    let first = (0..6).min_by_key(|at| turns[*at].0).unwrap();
    for at in 0..6 {
        let seen = turns[at].0.duration_since(turns[first].0).as_millis() as i64;
        let told = told[at].0.cast_signed() - told[first].0.cast_signed();
        assert!(seen.abs_diff(told) <= SLACK_MS, "node {at}: {told} ms told, {seen} ms seen");
    }
    let last = told.iter().map(|(moved, _)| *moved).max();
    assert_eq!(report["moved_ms"].as_u64(), last, "the last node decides: {report:#}");
}

#[test]
fn nothing_is_left_when_the_command_and_then_its_node_die() {
    let mut fleet = Fleet::start();
    let mut clients: Vec<Client> = fleet.nodes.iter().map(|node| Client::new(node.dns)).collect();
    let begun = Instant::now();
    let mut child = fleet.drill("20s", 0);
    for client in &mut clients {
        let moved = || answer(client).filter(|found| found != EU);
        assert!(poll(PATIENCE, STEP, moved).is_some(), "the drill is everywhere");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fleet.nodes[0].process.kill();
    for at in 1..6 {
        assert_eq!(fleet.overrides(at), Some(1), "nobody takes it back before its end");
    }
    let died = begun.elapsed();
    assert!(died < Duration::from_secs(18), "a slow machine, {died:?}");
    for (at, client) in clients.iter_mut().enumerate().skip(1) {
        let back = poll(PATIENCE, STEP, || answer(client).filter(|found| found == EU));
        assert!(back.is_some(), "node {at}: {}", fleet.nodes[at].process.log());
    }
    let lasted = begun.elapsed();
    // It began a little later than its command, and ends of it by the clocks of six nodes.
    assert!(lasted > Duration::from_secs(19) && lasted < Duration::from_secs(30), "{lasted:?}");
    for at in 1..6 {
        let none = || fleet.overrides(at).filter(|left| *left == 0);
        assert!(poll(PATIENCE, STEP, none).is_some(), "node {at}");
    }
    // The node that died finds nothing either when it is back.
    let folder = fleet.site.path("ap-1");
    let (dns, admin) = (fleet.nodes[0].dns, fleet.admins[0]);
    fleet.nodes[0] = Meridian::start(&folder.join("config"), &folder, dns, admin);
    fleet.nodes[0].wait_ready();
    let none = || fleet.overrides(0).filter(|left| *left == 0);
    assert!(poll(PATIENCE, STEP, none).is_some(), "{}", fleet.nodes[0].process.log());
    let back = poll(PATIENCE, STEP, || answer(&mut clients[0]).filter(|found| found == EU));
    assert!(back.is_some(), "{}", fleet.nodes[0].process.log());
}
