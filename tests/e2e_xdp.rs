//! `AF_XDP` between two network namespaces that each test makes itself; takes root.

#![cfg(feature = "xdp")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // Test.
#![allow(clippy::doc_markdown, clippy::disallowed_methods)] // Names of the kernel; deadlines.

mod dns_support;
#[path = "xdp/wire.rs"]
mod wire;

use std::cell::Cell;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dns_support::{Query, folder, script};
use meridian::dns::{Counters, UdpServer, UdpSockets};
use meridian::model::Io;
use meridian::snapshot::{Labels, Snapshot};
use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wire::{INTERFACE, Wire, server_addresses};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(10);
/// Ports of the server that is asked past the kernel, and of the one that is asked through it.
const XDP: u16 = 53;
const SOCKETS: u16 = 54;

fn counters() -> Counters {
    let labels = || Arc::new(Labels::new(16));
    Counters::new(labels(), labels())
}

fn xdp() -> Io {
    Io::Xdp { interface: INTERFACE.to_owned() }
}

/// Serves the test zones at all addresses of the server's side.
fn serve(wire: &Wire, io: Io, port: u16, counters: &Counters) -> UdpServer {
    let world: Snapshot = script::world(include_str!("data/dns/properties.world"));
    let listen = ["0.0.0.0", "::"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
    wire.at_server(|| {
        let sockets = UdpSockets::bind(&listen, 1).unwrap().with_io(io);
        sockets.serve(&Arc::new(ArcSwap::from_pointee(world)), counters).unwrap()
    })
}

/// A socket of the client's side that asks this port of the server.
fn client(wire: &Wire, server: IpAddr, port: u16) -> UdpSocket {
    wire.at_client(|| {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect((server, port)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    })
}

fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut reply = vec![0; 4096];
    let length = client.recv(&mut reply).expect("a reply");
    reply.truncate(length);
    reply
}

/// All replies to a query, if there are any: those before the reply to another query behind it.
fn replies(client: &UdpSocket, query: &[u8]) -> Vec<Vec<u8>> {
    let mut last = Query::new("www.example.com.", 1).wire();
    last[..2].copy_from_slice(&[0xff, 0xfe]);
    client.send(query).unwrap();
    client.send(&last).unwrap();
    let mut replies = Vec::new();
    loop {
        let reply = receive(client);
        if reply[..2] == last[..2] {
            return replies;
        }
        replies.push(reply);
    }
}

/// Queries of all kinds, some of them damaged. The names have one answer each, whatever the
/// random number.
fn any_query() -> impl Strategy<Value = Vec<u8>> {
    let names = "www no no.no.no x.w one a x.d q.grow x.sub big x.geo six ill dead ns1".split(' ');
    let name = proptest::sample::select(names.collect::<Vec<_>>());
    let qtype = proptest::sample::select(vec![1, 2, 5, 6, 16, 28, 43, 65, 255, 251]);
    let edns = proptest::option::of((any::<u16>(), vec(any::<u8>(), 0..1200)));
    let damage = proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (name, qtype, edns, damage).prop_map(|(name, qtype, edns, damage)| {
        let mut query = Query::new(&format!("{name}.example.com."), qtype);
        if let Some((size, rest)) = edns {
            // An option that nobody knows.
            let head = [0xfd, 0xe9, (rest.len() >> 8) as u8, rest.len() as u8];
            query = query.edns(size, &[&head, &rest[..]].concat());
        }
        let mut wire = query.wire();
        if let Some((at, octet)) = damage {
            let at = 2 + at.index(wire.len() - 2);
            wire[at] = octet;
        }
        wire
    })
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn answers_are_those_of_sockets_byte_for_byte() {
    let wire = Wire::new("same");
    let counters = counters();
    let past = serve(&wire, xdp(), XDP, &counters);
    let through = serve(&wire, Io::Mmsg, SOCKETS, &self::counters());
    assert!(wire.has_program());
    for server in server_addresses() {
        let before = wire.kernel_datagrams();
        let (xdp, sockets) = (client(&wire, server, XDP), client(&wire, server, SOCKETS));
        let mut runner = TestRunner::new(Config { cases: 400, ..Config::default() });
        let asked = Cell::new(0);
        let result = runner.run(&any_query(), |query| {
            let given = replies(&xdp, &query);
            prop_assert_eq!(&given, &replies(&sockets, &query), "{} {:02x?}", server, query);
            asked.set(asked.get() + 2);
            Ok(())
        });
        result.unwrap();
        // Only those of the other server came through the kernel.
        assert_eq!(wire.kernel_datagrams() - before, asked.get(), "{server}");
    }
    past.shutdown();
    through.shutdown();
    assert!(!wire.has_program());
    let totals = counters.totals();
    assert!(totals.queries[0].1 >= 1600, "{totals:?}");
    assert_eq!((totals.panics, totals.receive_errors, totals.send_errors), (0, 0, 0));
}

/// Sends back what comes to a TCP and a UDP port of the server's side.
fn echo(wire: &Wire, server: IpAddr) {
    let (tcp, udp) = wire.at_server(|| {
        let address = |port| SocketAddr::new(server, port);
        (TcpListener::bind(address(XDP)).unwrap(), UdpSocket::bind(address(5353)).unwrap())
    });
    thread::spawn(move || {
        let (mut stream, _) = tcp.accept().unwrap();
        let mut octets = [0; 5];
        stream.read_exact(&mut octets).unwrap();
        stream.write_all(&octets).unwrap();
    });
    thread::spawn(move || {
        let mut octets = [0; 5];
        let (length, peer) = udp.recv_from(&mut octets).unwrap();
        udp.send_to(&octets[..length], peer).unwrap();
    });
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn all_but_plain_queries_reach_the_kernel() {
    let wire = Wire::new("rest");
    let server = serve(&wire, xdp(), XDP, &counters());
    let query = Query::new("www.example.com.", 1);
    for address in server_addresses() {
        echo(&wire, address);
        let mut stream = wire.at_client(|| TcpStream::connect((address, XDP)).unwrap());
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut octets = [0; 5];
        stream.read_exact(&mut octets).unwrap();
        assert_eq!(&octets, b"hello", "TCP to {address}");
        let other = client(&wire, address, 5353);
        other.send(b"hello").unwrap();
        assert_eq!(receive(&other), b"hello", "another port of {address}");
        // In fragments: it is longer than a packet.
        let before = wire.kernel_datagrams();
        let fragmented = client(&wire, address, XDP);
        let long = [&[0xfd, 0xe9, 0x07, 0x08][..], &[0; 1800]].concat();
        fragmented.send(&query.clone().edns(1232, &long).wire()).unwrap();
        let reply = receive(&fragmented);
        assert_eq!((reply[3] & 15, reply[7]), (0, 1), "fragments to {address}");
        assert_eq!(wire.kernel_datagrams() - before, 1, "{address}");
    }
    // With options of IPv4: no-operations, and the end of the list.
    let optional = client(&wire, server_addresses()[0], XDP);
    let before = wire.kernel_datagrams();
    setsockopt(&optional, Options, &u32::from_ne_bytes([1, 1, 1, 0])).unwrap();
    optional.send(&query.wire()).unwrap();
    assert_eq!(receive(&optional)[7], 1);
    assert_eq!(wire.kernel_datagrams() - before, 1);
    server.shutdown();
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn of_a_burst_past_the_kernel_no_query_is_lost() {
    let wire = Wire::new("burst");
    let server = serve(&wire, xdp(), XDP, &counters());
    let clients: Vec<UdpSocket> =
        (0..32).map(|_| client(&wire, server_addresses()[0], XDP)).collect();
    let query = Query::new("www.example.com.", 1).wire();
    // One after another first, so that the neighbours know each other.
    for client in &clients {
        client.send(&query).unwrap();
        receive(client);
    }
    for _ in 0..20 {
        for client in &clients {
            for _ in 0..8 {
                client.send(&query).unwrap();
            }
        }
        for client in &clients {
            for _ in 0..8 {
                receive(client);
            }
        }
    }
    server.shutdown();
}

/// The program with this configuration, at the server's side.
struct Program {
    child: Child,
    folder: tempfile::TempDir,
}

impl Program {
    /// Starts it, with words before its own, and waits until it says that it serves.
    fn start(wire: &Wire, interface: &str, before: &[&str]) -> Self {
        let node = format!(
            "version = 1\n[node]\nname = \"a\"\nregion = \"eu\"\n[dns]\nworkers = 1\n\
             io = \"xdp\"\nxdp.interface = \"{interface}\"\n"
        );
        let folder = folder(&[
            ("config/node.toml", &node),
            ("config/fleet.toml", "version = 1\n[region.eu]\nlocation = \"DE\"\n"),
            (
                "zones/example.com.zone",
                "$TTL 300\n@ SOA ns1 h 1 2 3 4 5\n NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.1\n",
            ),
        ]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = wire
            .command_at_server()
            .args(before)
            .args([env!("CARGO_BIN_EXE_meridian"), "serve", "--config"])
            .arg(folder.path().join("config"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let program = Self { child, folder };
        let served = until("it serves", || program.log().contains("serving"));
        assert!(served.is_ok(), "{served:?}: {}", program.log());
        program
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) -> Result<(), String> {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        if Instant::now() > end {
            return Err(format!("not within {DEADLINE:?}: {what}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn where_it_is_not_to_be_had_sockets_answer_and_a_warning_says_why() {
    let wire = Wire::new("none");
    let rights = "-net_raw,-net_admin,-sys_admin,-bpf,-perfmon";
    let without = ["setpriv", "--bounding-set", rights, "--inh-caps", rights];
    for (interface, before, why) in [
        ("absent0", &[][..], "there is no such interface"),
        ("lo", &[], "it is no Ethernet interface"),
        (INTERFACE, &without, "Operation not permitted (os error 1) (it takes the capabilities"),
    ] {
        let program = Program::start(&wire, interface, before);
        let log = program.log();
        let warning = log.lines().find(|line| line.contains("WARN")).unwrap_or_default();
        assert!(warning.contains("AF_XDP is not to be had, sockets answer all UDP"), "{log}");
        assert!(warning.contains(why), "{warning}");
        assert!(!wire.has_program());
        let client = client(&wire, server_addresses()[0], XDP);
        client.send(&Query::new("www.example.com.", 1).wire()).unwrap();
        assert_eq!(receive(&client)[7], 1, "{interface}");
    }
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn where_the_driver_takes_no_program_it_is_attached_behind_it() {
    let wire = Wire::new("behind");
    for (mode, change) in [("native", false), ("generic", true)] {
        if change {
            wire.lengthen();
        }
        let program = Program::start(&wire, INTERFACE, &[]);
        let log = program.log();
        assert!(log.contains(&format!("mode=\"{mode}\" queues=2")), "{log}");
        for address in server_addresses() {
            let before = wire.kernel_datagrams();
            let client = client(&wire, address, XDP);
            client.send(&Query::new("www.example.com.", 1).wire()).unwrap();
            assert_eq!(receive(&client)[7], 1, "{mode}");
            assert_eq!(wire.kernel_datagrams(), before, "{mode}");
        }
    }
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn the_documented_capabilities_are_enough() {
    let wire = Wire::new("rights");
    // The last stands for a limit of locked memory that is high enough.
    let rights = "-all,+net_bind_service,+net_raw,+net_admin,+bpf,+ipc_lock";
    let only = ["setpriv", "--bounding-set", rights, "--inh-caps", "-all"];
    let program = Program::start(&wire, INTERFACE, &only);
    assert!(wire.has_program(), "{}", program.log());
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn an_interface_with_a_program_of_somebody_else_is_left_alone() {
    let wire = Wire::new("taken");
    let first = serve(&wire, xdp(), XDP, &counters());
    let second = serve(&wire, xdp(), SOCKETS, &counters());
    for (port, through_kernel) in [(XDP, 0), (SOCKETS, 1)] {
        let before = wire.kernel_datagrams();
        let client = client(&wire, server_addresses()[0], port);
        client.send(&Query::new("www.example.com.", 1).wire()).unwrap();
        assert_eq!(receive(&client)[7], 1, "port {port}");
        assert_eq!(wire.kernel_datagrams() - before, through_kernel, "port {port}");
    }
    second.shutdown();
    assert!(wire.has_program());
    first.shutdown();
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn nothing_is_left_attached_after_a_crash() {
    let wire = Wire::new("crash");
    for signal in ["KILL", "TERM"] {
        let mut program = Program::start(&wire, INTERFACE, &[]);
        assert!(wire.has_program(), "{}", program.log());
        let process = program.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &process]).status().unwrap().success());
        program.child.wait().unwrap();
        until("the program is gone", || !wire.has_program()).unwrap();
    }
}

sockopt_impl!(
    /// The options of IPv4 in the packets that a socket sends: a word of them.
    Options,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_OPTIONS,
    u32
);
