//! The server under test as a process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::dns::Client;
use super::process::Process;
use super::{PATIENCE, poll};

/// A running `meridian serve`.
pub(crate) struct Meridian {
    /// The process.
    pub(crate) process: Process,
    /// Where it answers.
    pub(crate) dns: SocketAddr,
    admin: SocketAddr,
}

impl Meridian {
    /// Starts `meridian serve --config CONFIG`, with its log in `folder`.
    pub(crate) fn start(config: &Path, folder: &Path, dns: SocketAddr, admin: SocketAddr) -> Self {
        Self::start_with(&mut command(), config, folder, dns, admin)
    }

    /// [`Meridian::start`] from a command with an environment of its own.
    pub(crate) fn start_with(
        command: &mut Command,
        config: &Path,
        folder: &Path,
        dns: SocketAddr,
        admin: SocketAddr,
    ) -> Self {
        command.arg("serve").arg("--config").arg(config);
        Self { process: Process::start("meridian", command, folder), dns, admin }
    }

    /// Waits until `/readyz` says yes; fails the test when the process ends before.
    pub(crate) fn wait_ready(&mut self) {
        if let Err(why) = self.ready() {
            panic!("{why}");
        }
    }

    /// Waits until `/readyz` says yes; the error is what the process said when it ended before, or
    /// when it took too long.
    pub(crate) fn ready(&mut self) -> Result<(), String> {
        let told = poll(PATIENCE, Duration::from_millis(10), || {
            if let Some(status) = self.process.ended() {
                return Some(Err(format!("meridian ended: {status}\n{}", self.process.log())));
            }
            let is_ready = self.readyz().is_some_and(|(status, _)| status == 200);
            is_ready.then_some(Ok(()))
        });
        told.unwrap_or_else(|| Err(format!("meridian is not ready\n{}", self.process.log())))
    }

    /// Status and text of `/readyz`; `None` while nobody answers.
    pub(crate) fn readyz(&self) -> Option<(u16, String)> {
        http_get(self.admin, "/readyz")
    }

    /// A DNS client that asks this server.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.dns)
    }

    /// Sum of the samples of a metric whose labels contain all of `labels`, such as `outcome="ok"`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = http_get(self.admin, "/metrics").expect("an answer from /metrics");
        sum(&text, name, labels)
    }
}

/// The `meridian` command.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_meridian"))
}

/// Status and body of a GET request; `None` while nobody answers.
pub(crate) fn http_get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// Sum of the samples of a metric in a page of them, as [`Meridian::metric`] gives it.
pub(crate) fn sum(page: &str, name: &str, labels: &[&str]) -> f64 {
    let mut sum = 0.0;
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or((line, "0"));
        let (metric, set) = series.split_once('{').unwrap_or((series, ""));
        if metric == name && labels.iter().all(|label| set.contains(label)) {
            sum += value.parse::<f64>().expect("a number");
        }
    }
    sum
}
