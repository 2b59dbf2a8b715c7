//! Three nodes in three regions over a real bus: what one says alone changes nothing, what all see
//! is done by all, and a bus that dies changes no answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.
#![allow(clippy::float_cmp)] // Metrics hold whole numbers.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use meridian::zone::rtype::A;
use support::meridian::{Meridian, command};
use support::nats::NatsServer;
use support::peers::Nginx;
use support::poll;
use support::site::{Site, THREE_REGIONS, zone};
use support::wire::Ask;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the answers.
const STEP: Duration = Duration::from_millis(10);
const REGIONS: [&str; 3] = ["ap", "eu", "us"];
/// The addresses that are answered.
const BOTH: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

/// Three nodes, the bus between them, and two endpoints that all of them probe.
struct Fleet {
    nodes: Vec<Meridian>,
    /// Where their admin listeners are.
    admins: Vec<SocketAddr>,
    bus: NatsServer,
    endpoints: [Nginx; 2],
    site: Site,
}

impl Fleet {
    /// A fleet in which every node is ready and hears all others. The node of `liar` looks for the
    /// endpoints where nothing is.
    fn start(liar: Option<&str>) -> Self {
        let (site, bus) = (Site::new("eu"), NatsServer::prepared());
        let addresses = [11, 12].map(|number| SocketAddr::new(site.address(number).into(), 8080));
        let endpoints = addresses.map(|address| Nginx::start(&site.path(""), address));
        let started = (1..).zip(REGIONS).map(|(number, region)| {
            let port = if liar == Some(region) { 8081 } else { 8080 };
            node(&site, &bus, (number, region), addresses, port)
        });
        let (mut nodes, admins): (Vec<Meridian>, Vec<SocketAddr>) = started.unzip();
        nodes.iter_mut().for_each(Meridian::wait_ready);
        let fleet = Self { nodes, admins, bus, endpoints, site };
        for node in &fleet.nodes {
            wait(node, "all are heard", || {
                let heard = |region: &str| {
                    let labels = [&*format!("vantage=\"{region}\""), "state=\"live\""];
                    node.metric("meridian_vantage_state", &labels) == 1.0
                };
                REGIONS.iter().all(|region| heard(region))
            });
            wait(node, "both are up", || answer(node) == BOTH);
        }
        fleet
    }

    /// The node of a region.
    fn node(&self, region: &str) -> &Meridian {
        &self.nodes[REGIONS.iter().position(|other| *other == region).unwrap()]
    }

    /// Fails when any node answers anything else within `time`.
    fn expect_only(&self, expected: &[&str], time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for node in &self.nodes {
                assert_eq!(answer(node), expected, "{}", node.process.log());
            }
            std::thread::sleep(STEP);
        }
    }
}

/// Runs `meridian force` against a node; gives its exit code and what it printed.
fn force(admin: SocketAddr, arguments: &[&str]) -> (Option<i32>, String) {
    let node = format!("http://{admin}");
    let mut command = command();
    command.arg("force").args(arguments).args(["--node", &node]).env("USER", "alice");
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Starts the node of a region, which probes `endpoints` at `port`.
fn node(
    site: &Site,
    bus: &NatsServer,
    (number, region): (u8, &str),
    endpoints: [SocketAddr; 2],
    port: u16,
) -> (Meridian, SocketAddr) {
    let (text, dns, admin) = site.node_beside(number, (region, region));
    let [one, two] = endpoints.map(|endpoint| endpoint.ip());
    let fleet = format!(
        "{THREE_REGIONS}\
         [monitor.ready]\nkind = \"http\"\npath = \"/health/ready\"\nport = {port}\n\
         interval = \"1s\"\ntimeout = \"500ms\"\n\
         [pool.web]\nmonitors = [\"ready\"]\nendpoints = [\n\
         {{ region = \"eu\", address = \"{}\", probe = \"{one}\" }},\n\
         {{ region = \"us\", address = \"{}\", probe = \"{two}\" }},\n]\n",
        BOTH[0], BOTH[1]
    );
    let services = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"rotate\"]\n\
                    ttl = { min = \"1s\", max = \"5s\" }\nall_down = \"servfail\"\n";
    let files = [
        ("config/node.toml", &*(text + &bus.cluster())),
        ("config/fleet.toml", &fleet),
        ("zones/fleet.test.zone", &zone("fleet.test.", 1, "")),
        ("zones/fleet.test.toml", services),
    ];
    (site.start_beside(region, &files, (dns, admin)), admin)
}

/// The addresses that a node answers, in order.
fn answer(node: &Meridian) -> Vec<String> {
    let reply = node.client().ask(&Ask::new("www.fleet.test", A));
    let mut addresses: Vec<String> = reply.addresses().iter().map(ToString::to_string).collect();
    addresses.sort();
    addresses
}

fn wait(node: &Meridian, what: &str, holds: impl Fn() -> bool) {
    let met = poll(PATIENCE, STEP, || holds().then_some(()));
    assert!(met.is_some(), "{what}: {:?}\n{}", answer(node), node.process.log());
}

/// Whether a node knows that it hears too few others.
fn isolated(node: &Meridian) -> bool {
    node.metric("meridian_cluster_mode", &["mode=\"isolated\""]) == 1.0
}

#[test]
fn a_lying_prober_changes_no_answer() {
    let fleet = Fleet::start(Some("ap"));
    let (eu, ap) = (fleet.node("eu"), fleet.node("ap"));
    // The lie has arrived, or nothing would be shown by this.
    for endpoint in BOTH {
        let labels = ["vantage=\"ap\"", &*format!("endpoint=\"{endpoint}\"")];
        wait(eu, "the lie is heard", || {
            eu.metric("meridian_endpoint_votes", &[labels[1], "verdict=\"down\""]) == 1.0
        });
        assert_eq!(eu.metric("meridian_endpoint_vote", &labels), 0.0);
    }
    fleet.expect_only(&BOTH, Duration::from_secs(5));
    assert_eq!(ap.metric("meridian_endpoint_up", &[]), 2.0, "nor does the liar go by it");
}

#[test]
fn an_endpoint_that_dies_is_gone_on_every_node_and_returns() {
    let mut fleet = Fleet::start(None);
    fleet.endpoints[0].stop();
    let died = Instant::now();
    for node in &fleet.nodes {
        wait(node, "it is gone", || answer(node) == [BOTH[1]]);
    }
    // Three intervals and half a second, and as much again for a machine that is busy.
    assert!(died.elapsed() < Duration::from_secs(7), "{:?}", died.elapsed());
    fleet.expect_only(&[BOTH[1]], Duration::from_secs(2));
    fleet.endpoints[0].start_again();
    for node in &fleet.nodes {
        wait(node, "it is back", || answer(node) == BOTH);
    }
}

#[test]
fn a_bus_that_dies_changes_no_answer() {
    let mut fleet = Fleet::start(None);
    fleet.bus.process.kill();
    for node in &fleet.nodes {
        wait(node, "it knows that it is alone", || {
            assert_eq!(answer(node), BOTH);
            isolated(node)
        });
    }
    fleet.expect_only(&BOTH, Duration::from_secs(5));
    fleet.bus.start_again();
    let back = Instant::now();
    for node in &fleet.nodes {
        wait(node, "it hears the others again", || {
            assert_eq!(answer(node), BOTH);
            node.metric("meridian_cluster_mode", &["mode=\"live\""]) == 1.0
        });
    }
    assert!(back.elapsed() < Duration::from_secs(30), "{:?}", back.elapsed());
}

#[test]
fn a_node_left_with_its_state_alone_answers_at_once_what_was_settled() {
    let mut fleet = Fleet::start(None);
    fleet.endpoints[0].stop();
    for node in &fleet.nodes {
        wait(node, "it is gone", || answer(node) == [BOTH[1]]);
    }
    // It is written a little later.
    let file = fleet.site.path("eu/state/health.json");
    let saved = || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"down\""));
    assert!(poll(PATIENCE, STEP, || saved().then_some(())).is_some(), "it is saved");
    fleet.bus.process.kill();
    fleet.endpoints[1].stop();
    fleet.nodes.iter_mut().for_each(|node| node.process.kill());

    let folder = fleet.site.path("eu");
    let (old, admin) = (fleet.nodes.remove(1), fleet.admins[1]);
    // What the files take to be read is a matter of the build and of what else the machine does.
    let begun = Instant::now();
    let read = command().arg("check").arg("--config").arg(folder.join("config")).output();
    assert!(read.unwrap().status.success());
    let reading = begun.elapsed();
    let started = Instant::now();
    let node = Meridian::start(&folder.join("config"), &folder, old.dns, admin);
    let mut client = node.client();
    client.set_timeout(Duration::from_millis(20));
    let ask = Ask::new("www.fleet.test", A);
    let first = poll(PATIENCE, Duration::from_millis(5), || client.try_ask(&ask).ok());
    let took = started.elapsed();
    let first = first.map(|reply| reply.addresses()).unwrap_or_default();
    assert_eq!(first, [BOTH[1].parse::<IpAddr>().unwrap()], "{}", node.process.log());
    let most = reading * 2 + Duration::from_secs(1);
    assert!(took < most, "the first answer took {took:?}, reading the files {reading:?}");
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        // Nobody confirms what it sees: the other endpoint is in doubt, and still the only one.
        assert_eq!(answer(&node), [BOTH[1]], "{}", node.process.log());
        std::thread::sleep(STEP);
    }
}

#[test]
fn an_override_reaches_every_node_and_outlasts_the_bus() {
    let mut fleet = Fleet::start(None);
    let target = "endpoint:192.0.2.1";
    let for_long = ["--for", "10m", "--reason", "network work"];
    let down = [&["down", target][..], &for_long].concat();
    let (code, text) = force(fleet.admins[1], &down);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(answer(&fleet.nodes[1]), [BOTH[1]], "changed when the command is done");
    for (node, admin) in fleet.nodes.iter().zip(&fleet.admins) {
        wait(node, "it is told", || answer(node) == [BOTH[1]]);
        let (_, text) = force(*admin, &["list"]);
        assert!(text.contains(target) && text.contains("alice: network work"), "{text}");
    }

    fleet.bus.process.kill();
    for node in &fleet.nodes {
        wait(node, "it knows that it is alone", || isolated(node));
    }
    fleet.expect_only(&[BOTH[1]], Duration::from_secs(1));
    let up = [&["up", target][..], &for_long].concat();
    let (code, text) = force(fleet.admins[0], &up);
    assert!(code == Some(1) && text.contains("does not reach other nodes"), "{code:?} {text}");
    let (code, text) = force(fleet.admins[0], &[&up[..], &["--local"]].concat());
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(answer(&fleet.nodes[0]), BOTH);
    assert_eq!(answer(&fleet.nodes[1]), [BOTH[1]]);

    fleet.bus.start_again();
    for node in &fleet.nodes {
        wait(node, "it hears the others again", || !isolated(node));
    }
    let cleared = poll(PATIENCE, Duration::from_millis(200), || {
        let (code, _) = force(fleet.admins[2], &["clear", target]);
        (code == Some(0)).then_some(())
    });
    assert!(cleared.is_some(), "{}", fleet.nodes[2].process.log());
    for node in &fleet.nodes {
        wait(node, "it is told of the end", || answer(node) == BOTH);
    }
}

#[test]
fn a_peer_that_serves_other_files_is_noticed_until_it_follows() {
    let mut fleet = Fleet::start(None);
    let drifted = |region: &str| fleet.node(region).metric("meridian_cluster_drifted_peers", &[]);
    let all = |expected: [f64; 3]| REGIONS.map(drifted) == expected;
    assert!(all([0.0; 3]), "files reach nodes one after the other");
    fleet.site.write("eu/zones/fleet.test.zone", &zone("fleet.test.", 2, "new IN TXT \"x\""));
    wait(fleet.node("eu"), "it differs from both, and both from it", || all([1.0, 2.0, 1.0]));
    let told = fleet.node("ap").metric("meridian_events_total", &["kind=\"drift\""]);
    let log = fleet.node("ap").process.log();
    assert!(told == 1.0 && log.contains("a peer serves another configuration"), "{log}");
    for region in ["ap", "us"] {
        let path = format!("{region}/zones/fleet.test.zone");
        fleet.site.write(&path, &zone("fleet.test.", 2, "new IN TXT \"x\""));
    }
    wait(fleet.node("eu"), "all are alike again", || all([0.0; 3]));

    // A node that does not probe is one like all others.
    let path = "us/config/node.toml";
    let text = std::fs::read_to_string(fleet.site.path(path)).unwrap();
    fleet.site.write(path, &text.replace("[probe]\nallow_private = true\n", ""));
    fleet.nodes[2].process.stop();
    let (folder, dns) = (fleet.site.path("us"), fleet.nodes[2].dns);
    fleet.nodes[2] = Meridian::start(&folder.join("config"), &folder, dns, fleet.admins[2]);
    fleet.nodes[2].wait_ready();
    let drifted = |region: &str| fleet.node(region).metric("meridian_cluster_drifted_peers", &[]);
    fleet.site.write("us/zones/fleet.test.zone", &zone("fleet.test.", 3, ""));
    let all = |expected: [f64; 3]| REGIONS.map(drifted) == expected;
    wait(fleet.node("ap"), "it differs from both, and both from it", || all([1.0, 1.0, 2.0]));
    let lines = status(fleet.admins[0]);
    let line = |node: &str| lines.iter().find(|line| line.contains(node)).unwrap().as_str();
    assert!(line("eu in eu").contains("live, digest ") && line("eu in eu").ends_with("dns probe"));
    let us = line("us in us");
    assert!(us.contains("live, another configuration, digest ") && us.ends_with(", dns"), "{us}");
    assert!(line("peers heard").ends_with("2 of 2 peers heard"), "{lines:#?}");
    fleet.nodes[2].process.kill();
    wait(fleet.node("ap"), "it is missed", || {
        status(fleet.admins[0])
            .iter()
            .any(|line| line.contains("us in us") && line.contains("dead"))
    });
}

/// What `meridian status` shows of a node, line by line.
fn status(admin: SocketAddr) -> Vec<String> {
    let mut command = command();
    command.args(["status", "--node", &format!("http://{admin}")]);
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
