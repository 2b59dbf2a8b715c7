//! Other people's servers: nginx as endpoint, Knot DNS and NSD as judges of answers.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::dns::Client;
use super::process::Process;
use super::wire::Ask;
use super::{PATIENCE, poll, wait_for};

/// Where Debian puts servers; not in the search path of every user.
const SBIN: &str = "/usr/sbin";

/// A command that may live outside the search path.
fn server(name: &str) -> Command {
    let full = Path::new(SBIN).join(name);
    Command::new(if full.exists() { full } else { PathBuf::from(name) })
}

/// An nginx that serves one address; `/health/ready` says ok.
pub(crate) struct Nginx {
    address: SocketAddr,
    servers: String,
    folder: PathBuf,
    process: Option<Process>,
}

impl Nginx {
    /// Starts one with its files below `folder`.
    pub(crate) fn start(folder: &Path, address: SocketAddr) -> Self {
        let servers = format!(
            "server {{ listen {address};\n\
             location = /health/ready {{ return 200 '{{\"status\":\"ok\"}}'; }}\n\
             location / {{ return 200 'served by {address}\\n'; }} }}"
        );
        Self::with_servers(folder, address, servers)
    }

    /// Starts one with these server blocks, of which one listens on `address`.
    pub(crate) fn with_servers(folder: &Path, address: SocketAddr, servers: String) -> Self {
        let folder = folder.join(format!("nginx-{}-{}", address.ip(), address.port()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut nginx = Self { address, servers, folder, process: None };
        nginx.start_again();
        nginx
    }

    /// Starts it after [`Nginx::stop`].
    pub(crate) fn start_again(&mut self) {
        let (folder, servers) = (self.folder.display(), &self.servers);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat();
        // One process without a master, so that ending it ends the service.
        let text = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; {temporary}{servers} }}\n"
        );
        let path = self.folder.join("nginx.conf");
        fs::write(&path, text).expect("a written file");
        // Started again while somebody else has its port.
        wait_for("nginx", || {
            let mut command = server("nginx");
            command.arg("-p").arg(&self.folder).arg("-c").arg(&path).args(["-e", "stderr"]);
            let mut process = Process::start("nginx", &mut command, &self.folder);
            let accepts = poll(PATIENCE, Duration::from_millis(5), || match process.ended() {
                Some(_) => Some(false),
                None => TcpStream::connect(self.address).ok().map(|_| true),
            });
            if accepts == Some(true) && process.ended().is_none() {
                self.process = Some(process);
            }
            self.process.is_some().then_some(())
        });
    }

    /// Ends it as a crash would; connections are refused from now on.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}

/// Starts Knot DNS on a zone and waits until it answers.
pub(crate) fn knot(folder: &Path, address: SocketAddr, origin: &str, zone: &Path) -> Process {
    let (ip, port, zone) = (address.ip(), address.port(), zone.display());
    let own = folder.join("knot");
    fs::create_dir_all(&own).expect("a folder");
    let dir = own.display();
    let text = format!(
        "server:\n    rundir: \"{dir}\"\n    listen: {ip}@{port}\n    udp-workers: 1\n    \
         tcp-workers: 1\n    background-workers: 1\n\
         log:\n  - target: stderr\n    any: info\n\
         database:\n    storage: \"{dir}/db\"\n\
         template:\n  - id: default\n    storage: \"{dir}\"\n    zonefile-sync: -1\n    \
         journal-content: none\n    semantic-checks: off\n\
         zone:\n  - domain: {origin}\n    file: \"{zone}\"\n"
    );
    let path = own.join("knot.conf");
    fs::write(&path, text).expect("a written file");
    let mut process = Process::start("knotd", server("knotd").arg("-c").arg(&path), folder);
    wait_answering(&mut process, address, origin);
    process
}

/// Starts NSD on a zone and waits until it answers.
pub(crate) fn nsd(folder: &Path, address: SocketAddr, origin: &str, zone: &Path) -> Process {
    let (ip, port, zone) = (address.ip(), address.port(), zone.display());
    let own = folder.join("nsd");
    fs::create_dir_all(&own).expect("a folder");
    let dir = own.display();
    let text = format!(
        "server:\n    server-count: 1\n    ip-address: {ip}@{port}\n    username: \"\"\n    \
         chroot: \"\"\n    database: \"\"\n    zonesdir: \"{dir}\"\n    \
         pidfile: \"{dir}/pid\"\n    \
         xfrdfile: \"{dir}/xfrd\"\n    zonelistfile: \"{dir}/list\"\n    xfrdir: \"{dir}\"\n    \
         minimal-responses: yes\n    rrl-ratelimit: 0\n    rrl-whitelist-ratelimit: 0\n\
         remote-control:\n    control-enable: no\n\
         zone:\n    name: {origin}\n    zonefile: \"{zone}\"\n"
    );
    let path = own.join("nsd.conf");
    fs::write(&path, text).expect("a written file");
    let mut process = Process::start("nsd", server("nsd").args(["-d", "-c"]).arg(&path), folder);
    wait_answering(&mut process, address, origin);
    process
}

fn wait_answering(process: &mut Process, address: SocketAddr, origin: &str) {
    let ask = Ask::new(origin, 6);
    wait_for("an authoritative SOA answer", || {
        let ended = process.ended();
        assert!(ended.is_none(), "ended: {ended:?}\n{}", process.log());
        let mut client = Client::new(address);
        client.set_timeout(Duration::from_millis(200));
        client.try_ask(&ask).ok().filter(|reply| reply.rcode == 0 && !reply.answer.is_empty())
    });
}
