//! One region: a router with a bridge, and on it a host each for two nodes, the bus, and the
//! endpoints.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::emulator::NETWORK;
use super::fleet::STEP;
use super::namespace::Namespace;
use super::tun::DEVICE;
use crate::support::meridian::{http_get, sum};
use crate::support::process::Process;
use crate::support::{PATIENCE, poll};

/// Port of health checks, and one on which an endpoint says that it is ill.
pub(crate) const PORTS: [u16; 2] = [80, 81];
/// Hosts by the last part of their address.
pub(crate) const BUS: u8 = 5;
const NODES: [u8; 2] = [11, 12];
const ENDPOINTS: [u8; 2] = [21, 22];
const ROUTER: u8 = 254;

/// A region of the fleet.
pub(crate) struct Region {
    pub(crate) name: &'static str,
    /// Its part of all addresses.
    pub(crate) number: u8,
    /// Where its router stands; nobody's processes run there.
    pub(crate) router: Namespace,
    pub(crate) bus: Namespace,
    pub(crate) nodes: [Node; 2],
    /// Both endpoints' host.
    ends: Namespace,
    endpoints: [Option<Process>; 2],
    folder: PathBuf,
}

/// A node's place and its process.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) host: Namespace,
    pub(crate) folder: PathBuf,
    /// `None`: it is stopped.
    pub(crate) process: Option<Process>,
}

/// An address of a site.
pub(crate) fn address(site: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(NETWORK[0], NETWORK[1], site, host)
}

/// Addresses of the endpoints of a region.
pub(crate) fn endpoints(number: u8) -> [Ipv4Addr; 2] {
    ENDPOINTS.map(|host| address(number, host))
}

impl Region {
    /// Its namespaces, with no processes yet.
    pub(crate) fn new(
        name: &'static str,
        number: u8,
        nodes: [&'static str; 2],
        folder: &Path,
    ) -> Self {
        let router = Namespace::new();
        let own = address(number, ROUTER);
        router.ip(&format!("link add br0 type bridge\naddr add {own}/24 dev br0\nlink set br0 up"));
        router.forward();
        let mut hosts = 0;
        let mut host = |addresses: &[u8]| {
            let host = Namespace::new();
            let outer = format!("port{hosts}");
            hosts += 1;
            host.connect("eth0", &router, &outer);
            router.ip(&format!("link set {outer} master br0 up"));
            for last in addresses {
                host.ip(&format!("addr add {}/24 dev eth0", address(number, *last)));
            }
            host.ip(&format!("link set eth0 up\nroute add default via {own}"));
            host
        };
        let folder = folder.join(name);
        let nodes = [0, 1].map(|at| {
            let (name, last) = (nodes[at], NODES[at]);
            Node::new(name, address(number, last), host(&[last]), folder.join(name))
        });
        let (bus, ends) = (host(&[BUS]), host(&ENDPOINTS));
        fs::create_dir_all(&folder).unwrap();
        Self { name, number, router, bus, nodes, ends, endpoints: [None, None], folder }
    }

    /// Sends what is for other regions to the device between them.
    pub(crate) fn route(&self) {
        let [a, b] = NETWORK;
        self.router.ip(&format!("route add {a}.{b}.0.0/16 dev {DEVICE}"));
    }

    /// Starts an endpoint.
    pub(crate) fn start_endpoint(&mut self, at: usize) {
        let address = endpoints(self.number)[at];
        let folder = self.folder.join(format!("endpoint-{at}"));
        fs::create_dir_all(&folder).unwrap();
        let own = folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {own}/{kind};\n"))
            .concat();
        let [well, ill] = PORTS;
        let text = format!(
            "daemon off; master_process off; pid {own}/pid; error_log stderr;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; {temporary}\
             server {{ listen {address}:{well}; location / {{ return 200 'ok'; }} }}\n\
             server {{ listen {address}:{ill}; location / {{ return {state}; }} }} }}\n",
            // On the second port those of one region look ill to whoever asks there.
            state = if self.name == "us" { 503 } else { 200 },
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        command.args(["-e", "stderr"]);
        self.endpoints[at] = Some(self.ends.start("nginx", &command, &folder));
        let address = SocketAddr::new(address.into(), well);
        let serves = || self.ends.run(move || http_get(address, "/").is_some()).then_some(());
        poll(PATIENCE, STEP, serves).expect("nginx");
    }

    /// Kills an endpoint; connections are refused from now on.
    pub(crate) fn kill_endpoint(&mut self, at: usize) {
        self.endpoints[at].take().expect("an endpoint that lives").kill();
    }
}

impl Node {
    /// One that is not started yet.
    pub(crate) fn new(
        name: &'static str,
        address: Ipv4Addr,
        host: Namespace,
        folder: PathBuf,
    ) -> Self {
        fs::create_dir_all(&folder).unwrap();
        Self { name, address, host, folder, process: None }
    }

    /// Starts it with more in its environment.
    pub(crate) fn start(&mut self, environment: &[(&str, String)]) {
        let mut command = crate::support::meridian::command();
        command.arg("serve").arg("--config").arg(self.folder.join("config"));
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        self.process = Some(self.host.start("meridian", &command, &self.folder));
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("a node that runs").kill();
    }

    /// Writes one of its files, at once, as a deployment does: it may be looking.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let (path, draft) = (self.folder.join(path), self.folder.join("draft"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&draft, text).unwrap();
        fs::rename(draft, path).unwrap();
    }

    /// Sum of the samples of a metric whose labels contain all of `labels`; `None` while nobody
    /// answers.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let admin = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8053);
        let (_, text) = self.host.run(move || http_get(admin, "/metrics"))?;
        Some(sum(&text, name, labels))
    }

    /// The lines of its metrics that begin with one of these lines.
    pub(crate) fn page(&self, names: &str) -> String {
        let admin = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8053);
        let page = self.host.run(move || http_get(admin, "/metrics")).unwrap_or_default().1;
        let wanted = |line: &&str| names.lines().any(|name| line.starts_with(name));
        page.lines().filter(wanted).collect::<Vec<_>>().join("\n")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("meridian.log")).unwrap_or_default()
    }
}
