//! TCP through real sockets, and both transports through the clients that operators use.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Test.

mod dns_support;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dns_support::{Query, ask, script};
use meridian::clock::stopwatch;
use meridian::dns::{
    Connections, Counters, Limits, StreamServer, StreamSockets, Transport, UdpSockets,
};
use meridian::snapshot::{Labels, Snapshot};
use tokio::runtime::Runtime;

/// No test waits longer than this for the server.
const DEADLINE: Duration = Duration::from_secs(10);

fn world() -> Snapshot {
    script::world(include_str!("data/dns/properties.world"))
}

/// A TCP service with its runtime.
struct Service {
    runtime: Runtime,
    server: Option<StreamServer>,
    counters: Arc<Counters>,
    address: SocketAddr,
}

impl Service {
    fn start(clients: usize, idle: Duration, address: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let labels = || Arc::new(Labels::new(16));
        let counters = Arc::new(Counters::new(labels(), labels()));
        let sockets = StreamSockets::tcp(&[address.parse().unwrap()]).unwrap();
        let mut world = world();
        world.options.tcp_idle = idle;
        let snapshot = Arc::new(ArcSwap::from_pointee(world));
        let limits = Limits { clients, life: Limits::LIFE };
        let server =
            runtime.block_on(async { sockets.serve(limits, &snapshot, &counters) }).unwrap();
        let address = server.addresses()[0];
        Self { runtime, server: Some(server), counters, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn connections(&self) -> Connections {
        self.counters.totals().connections[0].1
    }

    fn stop(&mut self) {
        self.runtime.block_on(self.server.take().unwrap().shutdown());
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

fn read_reply(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

/// Whether the server has closed the connection, or does so before the deadline.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

fn www() -> Vec<u8> {
    Query::new("www.example.com.", 1).wire()
}

const IDLE: Duration = Duration::from_secs(10);

#[test]
fn pipelined_queries_are_answered_in_order_however_they_are_cut() {
    let mut service = Service::start(100, IDLE, "[::1]:0");
    let names = ["www", "big", "no", "x.geo", "one", "x.sub"];
    let wires: Vec<Vec<u8>> = (0..60)
        .map(|id| {
            let name = format!("{}.example.com.", names[id % names.len()]);
            let mut wire = Query::new(&name, 16).edns(1232, &[]).wire();
            wire[..2].copy_from_slice(&(id as u16).to_be_bytes());
            wire
        })
        .collect();
    let stream = wires.iter().map(|wire| framed(wire)).collect::<Vec<_>>().concat();
    let world = world();
    for step in [7, 64, stream.len()] {
        let mut client = service.connect();
        client.set_nodelay(true).unwrap();
        for piece in stream.chunks(step) {
            client.write_all(piece).unwrap();
        }
        for wire in &wires {
            let expected = ask(&world, wire, Transport::Tcp).0.unwrap();
            assert_eq!(read_reply(&mut client).unwrap(), expected, "in steps of {step}");
        }
    }
    service.stop();
    let totals = service.counters.totals();
    assert_eq!(totals.queries[Transport::Tcp as usize], (Transport::Tcp, 180));
    assert_eq!(service.connections().open, 0);
}

#[test]
fn a_message_of_any_length_is_answered_and_the_next_one_too() {
    let mut service = Service::start(100, IDLE, "127.0.0.1:0");
    let mut client = service.connect();
    let long = [&www()[..], &vec![0; 60_000]].concat();
    client.write_all(&[framed(&long), framed(b""), framed(&www())].concat()).unwrap();
    assert_eq!(read_reply(&mut client).unwrap()[3] & 0xf, 1, "FORMERR");
    let expected = ask(&world(), &www(), Transport::Tcp).0.unwrap();
    assert_eq!(read_reply(&mut client).unwrap(), expected);
    service.stop();
}

#[test]
fn whoever_is_slow_is_closed() {
    let mut service = Service::start(100, Duration::from_millis(50), "127.0.0.1:0");
    let whole = framed(&www());
    let parts: [(&str, &[u8]); 4] = [
        ("no octet at all", b""),
        ("half a length", &whole[..1]),
        ("half a message", &whole[..20]),
        ("a message and then nothing", &whole),
    ];
    for (what, octets) in parts {
        let mut client = service.connect();
        client.write_all(octets).unwrap();
        if octets.len() == whole.len() {
            read_reply(&mut client).unwrap();
        }
        assert!(is_closed(&mut client), "{what}");
    }
    assert_eq!(service.connections().timed_out, 4);
    service.stop();
}

#[test]
fn one_octet_at_a_time_does_not_buy_time() {
    let mut service = Service::start(100, Duration::from_millis(100), "127.0.0.1:0");
    let mut client = service.connect();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let long = framed(&vec![0; 4000]);
    let start = stopwatch();
    // The pace is set by the read that waits for the close.
    let closed = long
        .chunks(1)
        .any(|octet| client.write_all(octet).is_err() || matches!(client.read(&mut [0; 8]), Ok(0)));
    assert!(closed && start.elapsed() < DEADLINE);
    service.stop();
}

#[test]
fn a_client_that_never_reads_is_closed_and_delays_nobody() {
    let mut service = Service::start(1000, Duration::from_millis(200), "127.0.0.1:0");
    let mut greedy = service.connect();
    let many = framed(&Query::new("big.example.com.", 16).wire()).repeat(1000);
    greedy.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let start = stopwatch();
    while greedy.write_all(&many).is_ok() {
        assert!(start.elapsed() < DEADLINE, "the server takes queries without end");
        let mut client = service.connect();
        client.write_all(&framed(&www())).unwrap();
        read_reply(&mut client).unwrap();
    }
    while service.connections().timed_out == 0 {
        assert!(start.elapsed() < DEADLINE, "the client is still served");
        std::thread::yield_now();
    }
    service.stop();
}

#[test]
fn many_idle_and_half_sent_connections_keep_nobody_out() {
    let mut service = Service::start(100, IDLE, "127.0.0.1:0");
    let half = &framed(&www())[..9];
    let mut held: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut stream = service.connect();
            if number % 2 == 0 {
                // The server may have closed it already to make room.
                let _ = stream.write_all(half);
            }
            stream
        })
        .collect();
    for _ in 0..50 {
        let mut client = service.connect();
        client.write_all(&framed(&www())).unwrap();
        read_reply(&mut client).unwrap();
        held.push(client);
    }
    // All come from one prefix, which has a quarter of the connections.
    assert!(service.connections().evicted >= 325);
    assert!(is_closed(&mut held[0]));
    service.stop();
}

#[test]
fn shutdown_answers_what_was_sent_and_closes() {
    let mut service = Service::start(100, IDLE, "127.0.0.1:0");
    let mut served = service.connect();
    served.write_all(&framed(&www())).unwrap();
    read_reply(&mut served).unwrap();
    let mut waiting = service.connect();
    let mut idle = service.connect();
    for client in [&mut served, &mut waiting] {
        client.write_all(&framed(&www()).repeat(20)).unwrap();
    }
    let start = stopwatch();
    service.stop();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for client in [&mut served, &mut waiting] {
        for number in 0..20 {
            assert!(read_reply(client).is_ok(), "reply {number} is missing");
        }
        assert!(is_closed(client));
    }
    assert!(is_closed(&mut idle));
    assert!(TcpStream::connect(service.address).is_err());
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let mut service = Service::start(1, IDLE, "127.0.0.1:0");
    let error = StreamSockets::tcp(&[service.address]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let start = format!("cannot listen on `{}` (TCP): ", service.address);
    assert!(error.to_string().starts_with(&start), "{error}");
    service.stop();
}

/// Runs a client program; its output in one string.
fn run(program: &str, arguments: &str, port: u16) -> String {
    let output = Command::new(program)
        .args(["@127.0.0.1", "-p", &port.to_string(), "+norec"])
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("{program} is missing ({error}): run scripts/test"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn kdig_and_dig_understand_every_kind_of_reply() {
    let labels = || Arc::new(Labels::new(16));
    let counters = Arc::new(Counters::new(labels(), labels()));
    let snapshot = Arc::new(ArcSwap::from_pointee(world()));
    let udp = UdpSockets::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
    let tcp = StreamSockets::tcp(udp.addresses()).unwrap();
    let port = udp.addresses()[0].port();
    let runtime = Runtime::new().unwrap();
    let limits = Limits { clients: 10, life: Limits::LIFE };
    let tcp = runtime.block_on(async { tcp.serve(limits, &snapshot, &counters) }).unwrap();
    let udp = udp.serve(&snapshot, &counters).unwrap();
    for (program, arguments, expected) in [
        ("kdig", "www.example.com A", &["NOERROR", " aa", "192.0.2.1"][..]),
        ("kdig", "+tcp www.example.com AAAA", &["NOERROR", "2001:db8::1", "(TCP)"]),
        ("kdig", "+edns +bufsize=4096 big.example.com TXT", &["NOERROR", "(TCP)", "\"2 aaa"]),
        ("kdig", "+ignore big.example.com TXT", &["NOERROR", " tc"]),
        ("kdig", "+subnet=192.0.2.0/24 geo.example.com", &["192.0.2.2", "192.0.2.0/24/20"]),
        ("kdig", "no.example.com", &["NXDOMAIN", "SOA"]),
        ("dig", "+nocookie x.d.example.com", &["NOERROR", "DNAME", "192.0.2.4"]),
        ("dig", "x.sub.example.com", &["NOERROR", "ns.sub.example.com.", "ADDITIONAL: 3"]),
        (
            "dig",
            "+subnet=0 geo.example.com",
            &["NOERROR", "CLIENT-SUBNET: 0.0.0.0/0/0", "192.0.2.1"],
        ),
        ("dig", "+tcp +keepopen a.example.com one.example.com", &["NOERROR", "192.0.2.1"]),
        ("dig", "+edns=1 +noednsneg www.example.com", &["BADVERS"]),
        ("dig", "broken.test", &["SERVFAIL", "(Not Ready)"]),
        ("dig", "-c CH -t TXT version.bind", &["REFUSED"]),
        ("dig", "+opcode=15 +norec www.example.com", &["NOTIMP"]),
        ("dig", "+tries=1 -t AXFR example.com", &["Transfer failed"]),
    ] {
        let output = run(program, arguments, port);
        for text in expected {
            assert!(output.contains(text), "{program} {arguments}: no `{text}` in\n{output}");
        }
        for bad in ["malformed", "WARNING", "mismatch", "extra bytes", "timed out"] {
            assert!(!output.contains(bad), "{program} {arguments}:\n{output}");
        }
    }
    udp.shutdown();
    runtime.block_on(tcp.shutdown());
}
