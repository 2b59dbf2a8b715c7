//! Mutated queries over UDP and TCP to a node: it must go on answering, lose no worker,
//! and hold no more memory at the end than at the beginning.

#![allow(clippy::print_stdout)] // Its product is a report.
// It may fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // It measures time.

#[path = "../../tests/peers/mesh.rs"]
mod mesh;
mod mutate;
#[path = "../../tests/peers/questions.rs"]
mod questions;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use clap::Parser;
use fastrand::Rng;
use mesh::ORIGIN;
use mutate::mutated;
use support::dns::Client;
use support::meridian::Meridian;
use support::site::{Site, zone};
use support::wire::Ask;
use support::{seeded, wait_for};

/// Of so many queries one goes over TCP.
const TCP_SHARE: u32 = 4;
/// Queries between two sound ones, which must be answered: fewer than the server's buffer holds.
const BETWEEN: u32 = 200;
/// Queries over one connection, if the server keeps it that long.
const A_CONNECTION: usize = 50;
/// Time for a sound query to be answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// Share of the queries after which memory is looked at first: all tables are filled by then.
const WARM: f64 = 0.2;
/// Growth of the resident set from then on, in KiB.
const GROWTH_MAX: u64 = 1024;

const FLEET: &str = r#"version = 1
[region.near]
location = "aws:eu-central-1"
[region.far]
location = "aws:us-east-1"
[pool.web]
endpoints = [
  { region = "near", address = "192.0.2.1" }, { region = "far", address = "192.0.2.2" },
  { region = "near", address = "2001:db8::1" }, { region = "far", address = "2001:db8::2" },
]
"#;

/// Steered names at some of those that the questions ask for.
const SERVICES: &str = r#"version = 1
[service."missing1"]
pool = "web"
policy = ["proximity"]
[service."missing2"]
pool = "web"
[service."*.missing3"]
pool = "web"
policy = [{ method = "affinity", prefix = { v4 = 24, v6 = 48 } }]
"#;

/// Sends mutated queries to the server and watches it.
#[derive(Debug, Parser)]
struct Options {
    /// Number of queries
    #[arg(default_value_t = 2_000_000)]
    count: u32,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    replies: u64,
    closed: u64,
}

fn main() {
    let count = Options::parse().count;
    let mut rng = seeded("soak");
    let site = Site::new("near");
    let limited = "limits.response_rate = { error = \"1000000000/s\" }";
    site.write("config/node.toml", &site.node("near").replace(support::site::UNLIMITED, limited));
    site.write("config/fleet.toml", FLEET);
    site.write("zones/mesh.test.zone", &mesh::zone(&mut rng));
    site.write("zones/mesh.test.toml", SERVICES);
    site.write("zones/sound.test.zone", &zone("sound.test.", 1, "www IN A 192.0.2.1"));
    let mut meridian = site.serve();
    println!("{count} queries about {ORIGIN} and what is near it");

    let started = Instant::now();
    let mut seen = Seen::default();
    let warm = (f64::from(count) * WARM) as u32;
    send(&mut rng, &site, &mut seen, warm);
    let before = resident_kib(&meridian);
    send(&mut rng, &site, &mut seen, count - warm);
    let after = resident_kib(&meridian);

    assert!(meridian.process.ended().is_none(), "ended\n{}", meridian.process.log());
    let panics = meridian.metric("meridian_dns_errors_total", &["kind=\"panic\""]);
    assert!(panics < 1.0, "{panics} panics\n{}", meridian.process.log());
    let growth = after.saturating_sub(before);
    assert!(growth < GROWTH_MAX, "memory grew from {before} to {after} KiB");
    println!(
        "{} replies, {} connections closed by the server, 0 panics, {before} KiB at {WARM}, \
         {after} KiB at the end, {:.1} s",
        seen.replies,
        seen.closed,
        started.elapsed().as_secs_f64()
    );
}

/// Sends this many mutated queries, and sound ones between them.
fn send(rng: &mut Rng, site: &Site, seen: &mut Seen, count: u32) {
    let mut client = Client::new(site.dns);
    client.set_timeout(PATIENCE);
    let mut left = count;
    while left > 0 {
        let some = left.min(BETWEEN);
        let over_tcp = some / TCP_SHARE;
        over_udp(rng, site.dns, seen, some - over_tcp);
        for part in (0..over_tcp as usize).step_by(A_CONNECTION) {
            let queries = A_CONNECTION.min(over_tcp as usize - part);
            connection(rng, site.dns, seen, queries);
        }
        let reply = client.ask(&Ask::new("www.sound.test.", 1).with_edns());
        assert_eq!((reply.rcode, reply.answer.len()), (0, 1), "{reply:?}");
        left -= some;
    }
}

fn over_udp(rng: &mut Rng, server: SocketAddr, seen: &mut Seen, count: u32) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    for _ in 0..count {
        socket.send(&mutated(rng)).unwrap();
        while let Ok(length) = socket.recv(&mut buffer) {
            check(&buffer[..length]);
            seen.replies += 1;
        }
    }
}

/// Sends queries over one connection, which the server may close when it cannot make sense of it.
fn connection(rng: &mut Rng, server: SocketAddr, seen: &mut Seen, count: usize) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut out = Vec::new();
    for _ in 0..count {
        let query = mutated(rng);
        // Now and then a length that is not the query's.
        let length = if rng.u8(..50) == 0 { rng.u16(..) } else { query.len() as u16 };
        out.extend(length.to_be_bytes());
        out.extend(query);
    }
    // The end is half a query sometimes.
    out.truncate(out.len() - if rng.bool() { rng.usize(..out.len().min(20)) } else { 0 });
    let sent = stream.write_all(&out).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    let mut replies = Vec::new();
    let ended = stream.read_to_end(&mut replies);
    match sent.and(ended) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => seen.closed += 1,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => seen.closed += 1,
        Err(error) if error.kind() == ErrorKind::NotConnected => seen.closed += 1,
        Err(error) => panic!("a connection that hangs: {error}"),
    }
    let mut rest = &replies[..];
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((reply, tail)) = tail.split_at_checked(length) else { break };
        check(reply);
        seen.replies += 1;
        rest = tail;
    }
}

/// What must hold for a reply to whatever it was.
fn check(reply: &[u8]) {
    assert!(reply.len() >= 12 && reply[2] & 0x80 != 0, "no reply: {reply:02x?}");
}

/// The resident set of the server, once it has come to rest.
fn resident_kib(meridian: &Meridian) -> u64 {
    let status = format!("/proc/{}/status", meridian.process.id());
    let mut last = 0;
    wait_for("a resident set that rests", || {
        let text = fs::read_to_string(&status).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let now = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let rests = now == last;
        last = now;
        rests.then_some(now)
    })
}
