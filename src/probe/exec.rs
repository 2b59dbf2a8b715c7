//! The `exec` check: a command, and the status it ends with.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Limit, Target, failure};
use crate::health::{CauseKind, Outcome};
use crate::model::{Address, ExecCheck};

/// How much of each output is kept; the rest is read and dropped, so that the command can end.
const OUTPUT_MAX: usize = 64 * 1024;

/// How long output is waited for after the command has ended, which others may hold open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs the command; `address` is the one to look at.
pub(super) async fn check(
    check: &ExecCheck,
    target: &Target,
    address: &str,
    limit: Limit,
) -> Outcome {
    let Some((program, arguments)) = check.command.split_first() else {
        return Outcome::Missed("no command".into()); // Not reached: the resolver asks for one.
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()));
    command.envs(environment(target, address));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that all it started can be ended with it.
    command.process_group(0).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return failure::missed(&format!("cannot run `{program}`"), &error),
    };
    let group = Group::of(&child);
    match limit.cut(run(&mut child, group)).await {
        Ok(Ok((status, words))) => judge(check, status, &words),
        Ok(Err(error)) => failure::missed(&format!("cannot wait for `{program}`"), &error),
        Err(late) => late,
    }
}

/// What the command is told of what it is to look at.
fn environment(target: &Target, address: &str) -> Vec<(&'static str, String)> {
    let identity = &target.identity;
    let endpoint = match &identity.address {
        Address::Ip(ip) => ip.to_string(),
        Address::Host(name) => name.to_string().trim_end_matches('.').to_owned(),
    };
    let mut told = vec![
        ("MERIDIAN_ADDRESS", address.to_owned()),
        ("MERIDIAN_ENDPOINT", endpoint),
        ("MERIDIAN_POOL", identity.pool.clone()),
        ("MERIDIAN_REGION", identity.region.clone()),
        ("MERIDIAN_MONITOR", target.definition.name.clone()),
        ("MERIDIAN_TIMEOUT_MS", target.definition.timeout.as_millis().to_string()),
    ];
    if target.port != 0 {
        told.push(("MERIDIAN_PORT", target.port.to_string()));
    }
    told
}

/// The process group of a command; ends with it all that is still in it.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn end(&mut self) {
        if let Some(group) = self.0.take() {
            // None left is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for the command to end, and gives its status and the first line it wrote.
async fn run(child: &mut Child, mut group: Group) -> std::io::Result<(ExitStatus, String)> {
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let status = {
        let mut reading = std::pin::pin!(async {
            tokio::join!(read(output, &mut said), read(errors, &mut complained))
        });
        let (status, read) = tokio::select! {
            status = child.wait() => (status?, false),
            _ = &mut reading => (child.wait().await?, true),
        };
        group.end();
        if !read {
            // Late words are not worth more than what has been said.
            let _ = timeout(LAST_WORDS, reading).await;
        }
        status
    };
    let line = first_line(&said).or_else(|| first_line(&complained));
    Ok((status, line.unwrap_or_default()))
}

/// Reads to the end and keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        let room = OUTPUT_MAX.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
}

/// The first line that is not blank.
fn first_line(output: &[u8]) -> Option<String> {
    let line = output.split(|octet| *octet == b'\n').find(|line| !line.trim_ascii().is_empty());
    line.map(|line| failure::shown(line.trim_ascii()))
}

fn judge(check: &ExecCheck, status: ExitStatus, words: &str) -> Outcome {
    let code = status.code().and_then(|code| u16::try_from(code).ok());
    if code.is_some_and(|code| check.expect_status.iter().any(|range| range.contains(&code))) {
        return Outcome::Success;
    }
    let found = match (code, status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    let expected = failure::ranges(&check.expect_status);
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    Outcome::failure(CauseKind::Status, format!("{found}, expected {expected}{said}"))
}
