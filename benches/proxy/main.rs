//! The proxy beside its peers: CPU time a request on one core, octets a CPU second, the memory of
//! idle connections, and how late replies come at half the load.
//!
//! All proxies of a case run at once, idle but for the one under load; each gets a short load in
//! turn, round by round, so that what else the machine does falls on all of them alike. The load
//! and the origin run on the other core. Absolute times are of this machine; ratios carry over.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Its product is a table.
#![allow(clippy::disallowed_methods)] // It measures time.

mod idle;
mod load;
mod origin;
mod peers;
#[path = "../support/process.rs"]
mod process;
mod report;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tempfile::TempDir;

use self::idle::Idle;
use self::load::Load;
use self::origin::Origin;
use self::peers::{Peer, Setup};
use self::process::{Process, SERVER_CORE};
use self::report::Row;

/// Measures the proxy and its peers in turn.
#[derive(Debug, Parser)]
struct Options {
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
    /// Where peers lie that are not in the search path
    #[arg(long, default_value = "target/tools")]
    tools: PathBuf,
    /// Where the program lies that scripts/release has built
    #[arg(long, default_value = "target/profiled/meridian")]
    profiled: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// HTTP/1.1 on kept connections, bodies of 1 KB
    Http1,
    /// HTTP/2 over TLS from clients, bodies of 1 KB
    Http2,
    /// A kept reply of 1 KB
    Cache,
    /// Bodies of 100 MB
    Body,
    /// Time to the reply at half of the load that a peer can bear
    Latency,
    /// Connections without a request, in the clear
    Idle,
    /// Connections without a request, over TLS
    IdleTls,
}

impl Case {
    /// Whether clients speak TLS.
    pub(crate) fn secure(self) -> bool {
        matches!(self, Self::Http2 | Self::IdleTls)
    }

    /// What is asked for.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Body => "/large",
            _ => "/small",
        }
    }
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let mut core = CpuSet::new();
    core.set(1 - SERVER_CORE)?;
    sched_setaffinity(Pid::from_raw(0), &core)?;
    let work = TempDir::new()?;
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let pair = pair.map_err(io::Error::other)?;
    fs::create_dir(work.path().join("tls"))?;
    fs::write(work.path().join("tls/bench.pem"), pair.cert.pem())?;
    fs::write(work.path().join("tls/bench.key"), pair.signing_key.serialize_pem())?;
    let origin = Origin::start(work.path(), free_port()?)?;
    let cases = if options.cases.is_empty() { Case::value_variants() } else { &options.cases };
    for case in cases {
        measure(*case, &options, work.path(), &origin)?;
    }
    Ok(())
}

/// A proxy under measurement.
struct Running {
    row: Row,
    process: Process,
    address: SocketAddrV4,
}

/// Starts the peers of a case.
fn start(case: Case, options: &Options, work: &Path, origin: &Origin) -> io::Result<Vec<Running>> {
    let mut running = Vec::new();
    let wanted = |peer: &Peer| options.peers.is_empty() || options.peers.contains(peer);
    for peer in Peer::value_variants().iter().copied().filter(wanted) {
        if !peer.can(case) {
            continue;
        }
        let Some(program) = peer.program(&options.tools, &options.profiled) else {
            println!("\n{}: NOT MEASURED, it is missing", peer.name());
            continue;
        };
        let folder = work.join(format!("{case:?}-{peer:?}"));
        fs::create_dir_all(&folder)?;
        let (port, origin) = (free_port()?, origin.port);
        let setup = Setup { case, folder: &folder, work, port, origin, program };
        let command = peer.prepare(&setup)?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let process = Process::start(&command, &folder, || load::answers(case, address))?;
        running.push(Running { row: Row::new(peer), process, address });
    }
    Ok(running)
}

/// Measures one case and prints its table.
fn measure(case: Case, options: &Options, work: &Path, origin: &Origin) -> io::Result<()> {
    let mut running = start(case, options, work, origin)?;
    let length = Duration::from_secs_f64(options.seconds);
    if matches!(case, Case::Idle | Case::IdleTls) {
        for one in &mut running {
            let trusted = case.secure().then(|| work.join("tls/bench.pem"));
            one.row.octets_idle = Idle::open(one.address, trusted.as_deref())?.cost(&one.process);
        }
        println!("\n{}", report::idle(case, running.iter().map(|one| &one.row)));
        return Ok(());
    }
    let mut rate = None;
    if case == Case::Latency {
        // Half of what the slowest peer can do, so that the rate is the same for all.
        let mut least = f64::INFINITY;
        for one in &running {
            let tally = Load { case, address: one.address, rate: None }.run(length, work)?;
            least = least.min(tally.succeeded as f64 / tally.seconds);
        }
        rate = Some(least / 2.0);
    }
    for round in 0..options.rounds {
        for one in &mut running {
            let before = one.process.usage();
            let tally = Load { case, address: one.address, rate }.run(length, work)?;
            one.row.add(&tally, before, one.process.usage());
        }
        eprintln!("{case:?}: round {} of {}", round + 1, options.rounds);
    }
    let rows: Vec<Row> = running.into_iter().map(|one| one.row).collect();
    if let Some(rate) = rate {
        println!("\n{rate:.0} requests a second");
    }
    println!("\n{}", report::rows(case, &rows));
    Ok(())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
