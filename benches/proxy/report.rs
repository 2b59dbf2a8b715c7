//! What was measured, as tables in Markdown and as raw lines.

use std::fmt::Write;

use crate::Case;
use crate::load::Tally;
use crate::origin::LARGE;
use crate::peers::Peer;
use crate::process::Usage;

/// The rounds of one proxy.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    peer: Peer,
    /// Microseconds on the core a request, of each round.
    rounds: Vec<f64>,
    /// The 99th percentile of the time to a reply's end, in microseconds, of each round.
    late: Vec<f64>,
    succeeded: u64,
    failed: u64,
    /// Memory of a connection without a request.
    pub(crate) octets_idle: f64,
}

impl Row {
    pub(crate) fn new(peer: Peer) -> Self {
        let (rounds, late) = (Vec::new(), Vec::new());
        Self { peer, rounds, late, succeeded: 0, failed: 0, octets_idle: f64::NAN }
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, tally: &Tally, before: Usage, after: Usage) {
        let core = after.core.saturating_sub(before.core).as_secs_f64() * 1e6;
        self.rounds.push(core / tally.succeeded.max(1) as f64);
        if let Some(late) = tally.times.get(tally.times.len() * 99 / 100) {
            self.late.push(f64::from(*late));
        }
        self.succeeded += tally.succeeded;
        self.failed += tally.failed;
    }
}

/// What else the machine does only adds to it.
fn least(all: &[f64]) -> f64 {
    all.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The table of a case and its raw lines.
pub(crate) fn rows(case: Case, rows: &[Row]) -> String {
    let of = |row: &Row| if case == Case::Latency { median(&row.late) } else { least(&row.rounds) };
    let own = rows.iter().find(|row| row.peer == Peer::Meridian).map_or(f64::NAN, of);
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|one, other| of(one).total_cmp(&of(other)));
    let mut text = if case == Case::Latency {
        "| proxy | p99 µs, median of the rounds | Meridian's to it | failed |\n|---|---|---|---|\n"
    } else {
        "| proxy | CPU µs a request, least | median | Meridian's to it | MB a CPU s | failed |\n\
        |---|---|---|---|---|---|\n"
    }
    .to_owned();
    for row in &sorted {
        let (name, ratio) = (row.peer.name(), own / of(row));
        let _ = if case == Case::Latency {
            writeln!(text, "| {name} | {:.0} | {ratio:.2} | {} |", of(row), row.failed)
        } else {
            let (least, median) = (least(&row.rounds), median(&row.rounds));
            let large = case == Case::Body;
            let speed = if large { format!("{:.0}", LARGE as f64 / least) } else { String::new() };
            let failed = row.failed;
            writeln!(
                text,
                "| {name} | {least:.2} | {median:.2} | {ratio:.2} | {speed} | {failed} |"
            )
        };
    }
    text.push('\n');
    for row in sorted {
        let list =
            |all: &[f64]| all.iter().map(|one| format!("{one:.2}")).collect::<Vec<_>>().join(",");
        let _ = writeln!(
            text,
            "{{\"case\":\"{case:?}\",\"proxy\":\"{}\",\"succeeded\":{},\"failed\":{},\
            \"core_us\":[{}],\"p99_us\":[{}]}}",
            row.peer.name(),
            row.succeeded,
            row.failed,
            list(&row.rounds),
            list(&row.late),
        );
    }
    text
}

/// The table of idle connections.
pub(crate) fn idle<'r>(case: Case, rows: impl Iterator<Item = &'r Row>) -> String {
    let mut text = format!("| proxy | KB an idle connection ({case:?}) |\n|---|---|\n");
    for row in rows {
        let _ = writeln!(text, "| {} | {:.1} |", row.peer.name(), row.octets_idle / 1024.0);
    }
    text
}
