//! Round trips of real connections through real proxies: the answers turn to the region that is
//! nearer in truth, and turn back, though nobody has told anyone of distances.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use meridian::zone::rtype::A;
use tempfile::TempDir;

use crate::emulator::{CLIENTS, Emulator};
use crate::fleet::ALONE;
use crate::link::Profile;
use crate::namespace::Namespace;
use crate::region::{Node, address};
use crate::support::nats::program;
use crate::support::poll;
use crate::support::process::Process;
use crate::support::site::{UNLIMITED, zone};
use crate::support::wire::{Ask, Reply};
use crate::tun::{self, DEVICE};

const MS: Duration = Duration::from_millis(1);
/// The regions, each with a site of the number of its place, from 1.
const REGIONS: [&str; 3] = ["ap", "eu", "us"];
/// The sites of two client prefixes.
const SITES: [u8; 2] = [4, 5];
/// Round trips in milliseconds: of the first client and of the second, to each region.
const ROUND_TRIPS: [[u32; 3]; 2] = [[10, 60, 150], [200, 120, 20]];
/// Of the first client to the first region, once its link has changed.
const FAR: u32 = 200;
/// Between the regions.
const BETWEEN: u32 = 60;
/// Host part of a region's only address, and of a client.
const HOST: u8 = 11;
/// Connections that each client has at a time.
const THREADS: usize = 6;
/// Answers that are looked at, and how many of them must say the same: some explore.
const SEEN: (usize, usize) = (60, 42);
/// What is measured travels once a minute, and may have been told just before.
const PATIENCE: Duration = Duration::from_secs(300);

/// Three regions with a node each, and clients.
struct World {
    emulator: Emulator,
    nodes: Vec<Node>,
    clients: Vec<Namespace>,
    _bus: Process,
    _folder: TempDir,
}

impl World {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut devices = Vec::new();
        let mut site = |number: u8, own: Ipv4Addr| {
            let host = Namespace::new();
            devices.push((number, tun::open(&host)));
            let [a, b] = CLIENTS;
            host.ip(&format!(
                "addr add {own}/32 dev lo\nroute add 10.213.0.0/16 dev {DEVICE} src {own}\n\
                 route add {a}.{b}.0.0/16 dev {DEVICE} src {own}"
            ));
            host
        };
        let mut nodes: Vec<Node> = (1..)
            .zip(REGIONS)
            .map(|(number, name)| {
                let own = address(number, HOST);
                Node::new(name, own, site(number, own), folder.path().join(name))
            })
            .collect();
        let clients: Vec<Namespace> =
            SITES.map(|number| site(number, client(number))).into_iter().collect();
        let emulator = Emulator::start(devices, &links(), 20_261_122);
        let bus = start_bus(&nodes[0], folder.path());
        for node in &mut nodes {
            lay_out(node);
            node.start(&[]);
        }
        for node in &nodes {
            let ready = || node.metric("meridian_cluster_link", &[]).filter(|link| *link > 0.0);
            assert!(poll(PATIENCE, 50 * MS, ready).is_some(), "{}: {}", node.name, node.log());
        }
        Self { emulator, nodes, clients, _bus: bus, _folder: folder }
    }

    /// Waits until every node answers a client with this region, most of the time.
    fn wait(&self, what: &str, client: usize, region: usize) {
        let wanted = address(region as u8 + 1, HOST);
        for node in &self.nodes {
            let mut last = 0;
            let turned = poll(PATIENCE, 500 * MS, || {
                last = self.answers(client, node).into_iter().filter(|at| *at == wanted).count();
                (last >= SEEN.1).then_some(())
            });
            if turned.is_none() {
                self.fail(&format!("{what}: {last} of {} at {}", SEEN.0, node.name));
            }
        }
    }

    /// What a node answers a client that asks it several times at once.
    fn answers(&self, client: usize, node: &Node) -> Vec<Ipv4Addr> {
        let server = SocketAddr::new(node.address.into(), 53);
        self.clients[client].run(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect(server).unwrap();
            socket.set_read_timeout(Some(2_000 * MS)).unwrap();
            for id in 0..SEEN.0 as u16 {
                socket.send(&Ask::new("www.fleet.test", A).encode(id)).unwrap();
            }
            let mut buffer = [0; 1_024];
            let replies = (0..SEEN.0).map_while(|_| {
                let length = socket.recv(&mut buffer).ok()?;
                v4(&Reply::decode(&buffer[..length]).unwrap())
            });
            replies.collect()
        })
    }

    fn fail(&self, what: &str) -> ! {
        for node in &self.nodes {
            println!("--- {}\n{}", node.name, node.log());
            println!("{}", node.page("meridian_latency_\nmeridian_cluster_"));
        }
        for (at, client) in SITES.iter().enumerate() {
            let node = &self.nodes[0];
            let mut command = crate::support::meridian::command();
            command.args(["explain", "www.fleet.test", "--node", "http://127.0.0.1:8053"]);
            command.args(["--client", &self::client(*client).to_string()]);
            let said = node.host.run(move || command.output().unwrap());
            println!("--- client {at}\n{}", String::from_utf8_lossy(&said.stdout));
            println!("{}", String::from_utf8_lossy(&said.stderr));
        }
        panic!("{what}");
    }
}

/// The links of all sites, both ways.
fn links() -> Vec<((u8, u8), Profile)> {
    let mut all = Vec::new();
    let mut link = |from: u8, to: u8, round_trip: u32| {
        let profile = profile(round_trip);
        all.extend([((from, to), profile), ((to, from), profile)]);
    };
    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
        link(a, b, BETWEEN);
    }
    for (client, round_trips) in SITES.into_iter().zip(ROUND_TRIPS) {
        for (region, round_trip) in (1..).zip(round_trips) {
            link(client, region, round_trip);
        }
    }
    all
}

/// Half of a round trip, with some noise.
fn profile(round_trip: u32) -> Profile {
    let delay = round_trip * MS / 2;
    Profile { delay, jitter: delay / 20, ..Profile::default() }
}

/// The address of the client of a site: the map would not believe in one of a private network.
fn client(site: u8) -> Ipv4Addr {
    let [a, b] = CLIENTS;
    Ipv4Addr::new(a, b, site, HOST)
}

fn start_bus(node: &Node, folder: &Path) -> Process {
    let mut command = Command::new(program());
    command.args(["-a", &node.address.to_string(), "-p", "4222"]);
    node.host.start("nats-server", &command, folder)
}

/// The files of a node. All regions are at the same place, so that distance says nothing.
fn lay_out(node: &Node) {
    let (name, own, bus) = (node.name, node.address, address(1, HOST));
    node.write(
        "config/node.toml",
        &format!(
            "version = 1\n[node]\nname = \"{name}-1\"\nregion = \"{name}\"\nstate = \"../state\"\n\
             [zones]\ndirectory = \"../zones\"\n[geo]\nmax_age = \"3650d\"\n\
             [dns]\nlisten = [\"{own}:53\"]\nworkers = 1\n{UNLIMITED}\n\
             [proxy]\nhttp = [\"{own}:80\"]\n\
             [admin]\nlisten = \"127.0.0.1:8053\"\n\
             [cluster]\nengine = \"nats\"\n\
             [cluster.nats]\nservers = [\"nats://{bus}:4222\"]\n"
        ),
    );
    let regions = REGIONS.map(|name| format!("[region.{name}]\nlocation = \"DE\"\n"));
    let endpoints = (1..).zip(REGIONS).map(|(number, name)| {
        format!("{{ region = \"{name}\", address = \"{}\" }},\n", address(number, HOST))
    });
    let endpoints: String = endpoints.collect();
    node.write(
        "config/fleet.toml",
        &format!(
            "version = 1\n{}[pool.web]\nendpoints = [\n{endpoints}]\n\
             [latency]\nexplore = 0.1\n\
             [[route]]\nrespond = {{ body = \"{name}\" }}\n",
            regions.concat()
        ),
    );
    node.write("zones/fleet.test.zone", &zone("fleet.test.", 1, ""));
    node.write(
        "zones/fleet.test.toml",
        "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"latency\"]\n\
         ttl = { min = \"1s\", max = \"1s\" }\n",
    );
}

/// Clients that ask where to go, and go there, again and again, until they are dropped.
struct Crowd {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// How often each client was where.
    visits: Arc<Mutex<[[u64; 3]; 2]>>,
}

impl Crowd {
    fn start(world: &World) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let visits: Arc<Mutex<[[u64; 3]; 2]>> = Arc::default();
        let mut threads = Vec::new();
        for (at, client) in world.clients.iter().enumerate() {
            for thread in 0..THREADS {
                // Each region's own node answers some of them.
                let server = SocketAddr::new(world.nodes[thread % 3].address.into(), 53);
                let (stop, visits) = (stop.clone(), visits.clone());
                threads.push(client.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        if let Some(region) = visit(server) {
                            visits.lock().unwrap()[at][region] += 1;
                        }
                        std::thread::sleep(20 * MS);
                    }
                }));
            }
        }
        Self { stop, threads, visits }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Asks where to go, and has one request there; gives the region, if all went well.
fn visit(server: SocketAddr) -> Option<usize> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(2_000 * MS)).unwrap();
    socket.send(&Ask::new("www.fleet.test", A).encode(7)).ok()?;
    let mut buffer = [0; 1_024];
    let length = socket.recv(&mut buffer).ok()?;
    let to = v4(&Reply::decode(&buffer[..length]).ok()?)?;
    let mut stream = TcpStream::connect_timeout(&(to, 80).into(), 2_000 * MS).ok()?;
    stream.set_read_timeout(Some(2_000 * MS)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: www.fleet.test\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    REGIONS.iter().position(|region| reply.ends_with(region))
}

fn v4(reply: &Reply) -> Option<Ipv4Addr> {
    reply.addresses().into_iter().find_map(|address| match address {
        std::net::IpAddr::V4(v4) => Some(v4),
        std::net::IpAddr::V6(_) => None,
    })
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn answers_turn_to_the_region_that_is_nearer_and_back_again() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::start();
    let crowd = Crowd::start(&world);
    world.wait("at first: the first client is near ap", 0, 0);
    world.wait("at first: the second client is near us", 1, 2);
    let first = |(from, to): (u8, u8)| [from, to] == [SITES[0], 1] || [from, to] == [1, SITES[0]];
    world.emulator.change(first, |link| *link = profile(FAR));
    world.wait("the way to ap is long now: eu", 0, 1);
    world.wait("the second client stays", 1, 2);
    world.emulator.change(first, |link| *link = profile(ROUND_TRIPS[0][0]));
    world.wait("the way is short again: ap", 0, 0);
    world.wait("the second client stays to the end", 1, 2);
    let visits = *crowd.visits.lock().unwrap();
    println!("visits {visits:?}, lag of the machine {:?}", world.emulator.take_lag());
    let [far, _, near] = visits[1];
    assert!(near > far, "it was near us all the time: {visits:?}");
}
