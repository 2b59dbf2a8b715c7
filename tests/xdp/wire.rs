//! Two network namespaces with a pair of interfaces between them, made for one test.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// The interface of the server's side.
pub(crate) const INTERFACE: &str = "dns0";
/// The server's addresses; the client has the next ones.
pub(crate) const SERVER: [&str; 2] = ["10.213.79.1", "fd79::1"];

/// A server's and a client's namespace, gone when dropped.
pub(crate) struct Wire {
    server: String,
    client: String,
}

impl Wire {
    /// Makes them, with names that begin with those of the process.
    pub(crate) fn new(name: &str) -> Self {
        let process = std::process::id();
        let server = format!("{name}-{process}-s");
        let wire = Self { client: format!("{name}-{process}-c"), server };
        ip(&format!("netns add {}", wire.server));
        ip(&format!("netns add {}", wire.client));
        ip(&format!(
            "-n {} link add {INTERFACE} numrxqueues 2 numtxqueues 2 type veth \
             peer name cli0 netns {}",
            wire.server, wire.client
        ));
        for (side, interface, last) in [(&wire.server, INTERFACE, 1), (&wire.client, "cli0", 2)] {
            ip(&format!("-n {side} addr add 10.213.79.{last}/24 dev {interface}"));
            ip(&format!("-n {side} addr add fd79::{last}/64 dev {interface} nodad"));
            ip(&format!("-n {side} link set lo up"));
            ip(&format!("-n {side} link set {interface} up"));
        }
        wire
    }

    /// Makes packets longer than a page possible, so that the driver takes no program.
    pub(crate) fn lengthen(&self) {
        ip(&format!("-n {} link set {INTERFACE} mtu 9000", self.server));
        ip(&format!("-n {} link set cli0 mtu 9000", self.client));
    }

    /// Runs something in the server's namespace; threads that it starts stay there.
    pub(crate) fn at_server<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.server, work)
    }

    /// Runs something in the client's namespace.
    pub(crate) fn at_client<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.client, work)
    }

    /// A command that runs in the server's namespace.
    pub(crate) fn command_at_server(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.server]);
        command
    }

    /// Whether a program is attached to the server's interface, as its owner would see.
    pub(crate) fn has_program(&self) -> bool {
        ip(&format!("-n {} link show dev {INTERFACE}", self.server)).contains("xdp")
    }

    /// Datagrams that the kernel's own sockets of the server's side have been given.
    pub(crate) fn kernel_datagrams(&self) -> u64 {
        self.at_server(|| {
            let count = |file: &str, wanted: &dyn Fn(&str) -> Option<u64>| -> u64 {
                let text = fs::read_to_string(PathBuf::from("/proc/thread-self/net").join(file));
                text.unwrap().lines().find_map(wanted).unwrap()
            };
            let v4 =
                count("snmp", &|line| line.strip_prefix("Udp: ")?.split(' ').next()?.parse().ok());
            let v6 =
                count("snmp6", &|line| line.strip_prefix("Udp6InDatagrams")?.trim().parse().ok());
            v4 + v6
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for side in [&self.server, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", side]).status();
        }
    }
}

fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(PathBuf::from("/run/netns").join(namespace)).unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(file, CloneFlags::CLONE_NEWNET).expect("the right to enter a namespace");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What `ip` prints; the test fails where it cannot do what it is told.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output();
    let output = output.expect("the program `ip`: install the package iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {arguments}: {said}(this test makes network namespaces, which takes root)"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Both addresses of the server.
pub(crate) fn server_addresses() -> [IpAddr; 2] {
    SERVER.map(|address| address.parse().unwrap())
}
