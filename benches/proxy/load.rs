//! Requests of many clients, by h2load.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Case;

/// Connections of clients.
const CLIENTS: u32 = 64;
/// Connections over which large bodies come.
const READERS: u32 = 4;
/// Requests at a time over a connection of HTTP/2.
const STREAMS: u32 = 8;

/// Whether a server answers at an address.
pub(crate) fn answers(case: Case, address: SocketAddrV4) -> io::Result<bool> {
    let Ok(mut stream) = TcpStream::connect(address) else { return Ok(false) };
    if case.secure() {
        return Ok(true);
    }
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let asked = write!(stream, "HEAD {} HTTP/1.1\r\nHost: localhost\r\n\r\n", case.path());
    let mut reply = [0; 12];
    Ok(asked.is_ok() && stream.read_exact(&mut reply).is_ok() && reply.ends_with(b" 200"))
}

/// A load.
pub(crate) struct Load {
    pub(crate) case: Case,
    pub(crate) address: SocketAddrV4,
    /// Requests a second; `None`: as many as can be.
    pub(crate) rate: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Its length.
    pub(crate) seconds: f64,
    /// Times to the end of a reply in microseconds, in order; measured with a rate alone.
    pub(crate) times: Vec<u32>,
}

impl Load {
    /// Asks for this long.
    pub(crate) fn run(&self, length: Duration, work: &Path) -> io::Result<Tally> {
        let clients = if self.case == Case::Body { READERS } else { CLIENTS };
        let scheme = if self.case.secure() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}{}", self.address.port(), self.case.path());
        let log = work.join("times");
        let _ = fs::remove_file(&log);
        let mut command = Command::new("h2load");
        command.args(["-t", "1", "-c", &clients.to_string()]);
        command.args(["-D", &length.as_secs_f64().ceil().to_string()]);
        if self.case.secure() {
            command.args(["-m", &STREAMS.to_string()]);
        } else {
            command.arg("--h1");
        }
        if let Some(rate) = self.rate {
            command.args(["--rps", &format!("{:.0}", (rate / f64::from(clients)).max(1.0))]);
            command.arg(format!("--log-file={}", log.display()));
        }
        let output = command.arg(&url).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut tally = read(&text).ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            io::Error::other(format!("h2load {url}: {text}{errors}"))
        })?;
        tally.seconds = length.as_secs_f64().ceil();
        if self.rate.is_some() {
            // A line has when it began, its status, and how long it took.
            let lines = fs::read_to_string(&log)?;
            let took = lines.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok());
            tally.times = took.collect();
            tally.times.sort_unstable();
        }
        Ok(tally)
    }
}

/// Reads what h2load prints of its requests.
fn read(text: &str) -> Option<Tally> {
    let line = text.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let count = |what: &str| {
        let part = line.split(", ").find(|part| part.ends_with(what))?;
        part.split(' ').next()?.parse::<u64>().ok()
    };
    let failed = count("failed")? + count("errored")? + count("timeout")?;
    Some(Tally { succeeded: count("succeeded")?, failed, ..Tally::default() })
}
