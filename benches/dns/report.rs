//! What was measured, as tables in Markdown and as raw lines.

use std::fmt::Write;
use std::time::Duration;

use crate::Case;
use crate::load::Tally;
use crate::peers::Peer;
use crate::process::{Process, Usage};

/// The rounds of one server.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    /// Microseconds on the core a query, and of them in user mode, of each round.
    rounds: Vec<(f64, f64)>,
    answered: u64,
    lost: u64,
    failures: u64,
    /// Queries lost in bursts.
    pub(crate) burst_losses: u64,
}

impl Row {
    pub(crate) fn new(peer: Peer) -> Self {
        let rounds = Vec::new();
        Self { peer, rounds, answered: 0, lost: 0, failures: 0, burst_losses: 0 }
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, tally: Tally, before: Usage, after: Usage) {
        let a_query = |after: Duration, before: Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / tally.answered.max(1) as f64
        };
        self.rounds.push((a_query(after.core, before.core), a_query(after.user, before.user)));
        self.answered += tally.answered;
        self.lost += tally.lost;
        self.failures += tally.failures;
    }

    /// The least CPU time a query: what else the machine does only adds to it.
    fn least(&self) -> f64 {
        self.rounds.iter().map(|(core, _)| *core).fold(f64::INFINITY, f64::min)
    }

    fn median(&self, of: fn(&(f64, f64)) -> f64) -> f64 {
        let mut all: Vec<f64> = self.rounds.iter().map(of).collect();
        all.sort_unstable_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Loading of the zones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loading {
    peer: Peer,
    ready_s: f64,
    core_s: f64,
    memory_mib: f64,
}

impl Loading {
    /// Of a server that has just become ready.
    pub(crate) fn new(peer: Peer, process: &Process) -> Self {
        Self {
            peer,
            ready_s: process.ready.as_secs_f64(),
            core_s: process.usage().all.as_secs_f64(),
            memory_mib: process.memory(),
        }
    }
}

/// The table of a case, least CPU time first, and its raw lines.
pub(crate) fn rows(case: Case, rows: &[Row]) -> String {
    let own = rows.iter().find(|row| row.peer == Peer::Meridian).map_or(f64::NAN, Row::least);
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| a.least().total_cmp(&b.least()));
    let mut text = "| server | µs a query, least | median | user µs | to Meridian | lost | \
        lost in bursts |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in &sorted {
        let _ = writeln!(
            text,
            "| {} | {:.3} | {:.3} | {:.2} | {:.2} | {} | {} |",
            row.peer.name(),
            row.least(),
            row.median(|(core, _)| *core),
            row.median(|(_, user)| *user),
            row.least() / own,
            row.lost,
            row.burst_losses,
        );
    }
    text.push('\n');
    for row in sorted {
        let rounds: Vec<String> =
            row.rounds.iter().map(|(core, user)| format!("[{core:.3},{user:.3}]")).collect();
        let _ = writeln!(
            text,
            "{{\"case\":\"{case:?}\",\"server\":\"{}\",\"answered\":{},\"lost\":{},\
            \"failures\":{},\"burst_lost\":{},\"core_and_user_us\":[{}]}}",
            row.peer.name(),
            row.answered,
            row.lost,
            row.failures,
            row.burst_losses,
            rounds.join(",")
        );
    }
    text
}

/// The table of loading.
pub(crate) fn loading(all: &[Loading]) -> String {
    let mut text =
        "| server | ready after s | CPU s | memory MiB |\n|---|---|---|---|\n".to_owned();
    for one in all {
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.0} |",
            one.peer.name(),
            one.ready_s,
            one.core_s,
            one.memory_mib
        );
    }
    text
}
