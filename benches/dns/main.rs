//! The DNS server beside its peers: CPU time a query on one core, losses in bursts, loading.
//!
//! All servers of a case run at once, idle but for the one under load; each gets a short load in
//! turn, round by round, so that what else the machine does falls on all of them alike. Absolute
//! times are of this machine; ratios carry over.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Its product is a table.
#![allow(clippy::disallowed_methods)] // It measures time.

mod datagrams;
mod load;
mod peers;
#[path = "../support/process.rs"]
mod process;
mod report;
mod zones;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tempfile::TempDir;

use self::load::Load;
use self::peers::{Peer, Setup};
use self::process::{Process, SERVER_CORE};
use self::report::{Loading, Row};
use self::zones::Mix;

/// Measures the server and its peers in turn.
#[derive(Debug, Parser)]
struct Options {
    /// A part alone: `null ADDRESS` answers every query with itself, `zone FILE` writes the small
    /// zone, `load ADDRESS` asks for its names and prints what came of it
    #[arg(hide = true, num_args = 2, value_names = ["PART", "WHERE"])]
    part: Vec<String>,
    /// Rounds; the least of them counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of one load, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Cases, all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Peers, all that are installed by default
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Where the program lies that scripts/release has built
    #[arg(long, default_value = "target/profiled/meridian")]
    profiled: PathBuf,
    /// A city database in MaxMind's layout; without one the cases that steer are left out
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// 10,000 names: A, AAAA, TXT and names that do not exist
    Static,
    /// One name steered by the client subnet of each query
    Geo,
    /// One name with four weighted addresses
    Weighted,
    /// 1,000,000 names
    Million,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    if let [part, place] = options.part.as_slice() {
        return alone(part, place, Duration::from_secs_f64(options.seconds));
    }
    let mut core = CpuSet::new();
    core.set(1 - SERVER_CORE)?;
    sched_setaffinity(Pid::from_raw(0), &core)?;
    let work = TempDir::new()?;
    let cases = if options.cases.is_empty() { Case::value_variants() } else { &options.cases };
    for case in cases {
        measure(*case, &options, work.path())?;
    }
    Ok(())
}

/// Does one part of a measurement for a script.
fn alone(part: &str, place: &str, length: Duration) -> io::Result<()> {
    let address = || place.parse::<SocketAddrV4>().map_err(io::Error::other);
    match part {
        "null" => datagrams::null_responder(address()?),
        "zone" => fs::write(place, zones::small()),
        "load" => {
            let tally = Load::new(address()?, &zones::queries(Mix::Small))?.run(length)?;
            println!("{} {} {}", tally.answered, tally.lost, tally.failures);
            Ok(())
        }
        _ => Err(io::Error::other(format!("there is no part `{part}`"))),
    }
}

/// Measures one case and prints its tables.
fn measure(case: Case, options: &Options, work: &Path) -> io::Result<()> {
    if matches!(case, Case::Geo | Case::Weighted) && options.database.is_none() {
        println!("\n{case:?}: NOT MEASURED, it needs --database");
        return Ok(());
    }
    let large = case == Case::Million;
    let zone = work.join(if large { "large.zone" } else { "small.zone" });
    fs::write(&zone, if large { zones::large() } else { zones::small() })?;
    let mut servers = Vec::new();
    let profiled = std::path::absolute(&options.profiled)?;
    let wanted = |peer: &Peer| options.peers.is_empty() || options.peers.contains(peer);
    for peer in Peer::value_variants().iter().copied().filter(wanted) {
        if !peer.can(case) {
            continue;
        }
        let program = peer.program(&profiled);
        if !installed(&program) {
            println!("\n{}: NOT MEASURED, {} is missing", peer.name(), program.display());
            continue;
        }
        let folder = work.join(format!("{case:?}-{peer:?}"));
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let database = options.database.as_deref();
        let setup =
            Setup { case, folder: &folder, port, zone: &zone, database, profiled: &profiled };
        let command = peer.prepare(&setup)?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let process = Process::start(&command, &folder, || answers(address, &zones::last(large)))?;
        let mix = match case {
            Case::Static => Mix::Small,
            Case::Million => Mix::Large,
            Case::Geo => Mix::One { name: peer.geo_name(), subnet: true },
            Case::Weighted => Mix::One { name: "weighted.example.com", subnet: false },
        };
        let row = Row::new(peer);
        servers.push((row, process, address, zones::queries(mix)));
    }
    let mut loading: Vec<Loading> = Vec::new();
    for (row, process, ..) in servers.iter().filter(|(row, ..)| row.peer != Peer::Null) {
        loading.push(Loading::new(row.peer, process));
    }
    for round in 0..options.rounds {
        for (row, process, address, queries) in &mut servers {
            let before = process.usage();
            let length = Duration::from_secs_f64(options.seconds);
            let tally = Load::new(*address, queries)?.run(length)?;
            row.add(tally, before, process.usage());
        }
        eprintln!("{case:?}: round {} of {}", round + 1, options.rounds);
    }
    for (row, _, address, queries) in &mut servers {
        row.burst_losses = Load::new(*address, queries)?.bursts()?.lost;
    }
    let rows: Vec<Row> = servers.into_iter().map(|(row, ..)| row).collect();
    println!("\n{}", report::rows(case, &rows));
    if large {
        println!("{}", report::loading(&loading));
    }
    Ok(())
}

fn installed(program: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A port that is free for TCP too, which some servers insist on.
fn free_port() -> io::Result<u16> {
    let taken = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err();
    for _ in 0..16 {
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        if !taken(port) {
            return Ok(port);
        }
    }
    Err(io::Error::other("no port is free for both UDP and TCP"))
}

/// Whether a name has an answer; a null responder's reply, which has none, counts too.
fn answers(address: SocketAddrV4, name: &str) -> io::Result<bool> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    // Nobody listens yet: the error comes with the send or the receive.
    if socket.send(&zones::query(name, 1, None)).is_err() {
        return Ok(false);
    }
    let mut reply = [0; 512];
    let Ok(length) = socket.recv(&mut reply) else { return Ok(false) };
    let echoed = length == zones::query(name, 1, None).len();
    let (code, count) = (reply.get(3).map(|f| f & 15), reply.get(7).copied());
    Ok(code == Some(0) && (echoed || count > Some(0)))
}
