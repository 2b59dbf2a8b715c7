//! What came of a drill.

mod html;
mod junit;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use html::html;
pub use junit::junit;

use crate::clock;

/// The whole report. Times are milliseconds since the drill was started, but where they say else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// What the drill is called.
    pub name: String,
    /// How it was done: health or drain.
    pub how: String,
    /// What was taken out.
    pub fail: Vec<String>,
    /// The services that were asked for.
    pub services: Vec<String>,
    /// When it began, in seconds since 1970-01-01 UTC.
    pub started: u64,
    /// For how long it was to last.
    pub planned_ms: u64,
    /// For how long it did.
    pub lasted_ms: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was broken off.
    pub reason: Option<String>,
    /// From the beginning to the first answer without what was taken out.
    pub detected_ms: Option<u64>,
    /// From the beginning until no answer of any node held it; null: never.
    pub moved_ms: Option<u64>,
    /// From the end until the answers of all nodes held it again; null: never.
    pub back_ms: Option<u64>,
    /// Requests that reached what was taken out; null: nobody counts them.
    pub residual_requests: Option<u64>,
    /// What still came to each region that was taken out, where its load is measured.
    #[serde(default)]
    pub residual: Vec<ResidualRate>,
    /// By node.
    pub nodes: Vec<NodeReport>,
    /// The first errors that clients would have seen.
    pub errors: Vec<ErrorSeen>,
    /// The highest load of each surviving region.
    pub loads: Vec<RegionLoad>,
    /// What was expected, and what was found.
    pub checks: Vec<Checked>,
    /// What was done.
    pub marks: Vec<Mark>,
    /// What was answered over time.
    pub timeline: Timeline,
}

/// How a drill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All that was expected held.
    Passed,
    /// Something did not.
    Failed,
    /// It was broken off.
    Aborted,
}

impl Outcome {
    /// The word in reports and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// Load of a region that was taken out, in requests a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResidualRate {
    /// Name of the region.
    pub region: String,
    /// Before the drill.
    pub before: f64,
    /// As it was told last while the drill ran.
    pub last: f64,
}

impl From<(&String, &(f64, f64))> for ResidualRate {
    fn from((region, (before, last)): (&String, &(f64, f64))) -> Self {
        Self { region: region.clone(), before: *before, last: *last }
    }
}

/// What one node did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// From the beginning until none of its answers held what was taken out.
    pub moved_ms: Option<u64>,
    /// From the end until its answers held it again.
    pub back_ms: Option<u64>,
    /// What was asked of it while the drill ran and after.
    pub answers: u64,
    /// Answers with what was taken out.
    pub with_lost: u64,
    /// Answers with an error or nothing.
    pub errors: u64,
    /// Questions without an answer.
    pub silent: u64,
}

/// An answer that was an error or empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorSeen {
    /// When.
    pub at_ms: u64,
    /// Which node answered.
    pub node: String,
    /// What it was asked.
    pub question: String,
    /// What it said.
    pub what: String,
}

/// The highest load of a region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionLoad {
    /// Name of the region.
    pub region: String,
    /// As a share of its capacity.
    pub highest: f64,
}

/// An expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// Its key.
    pub name: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether that is as expected.
    pub held: bool,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// When.
    pub at_ms: u64,
    /// What.
    pub what: String,
}

/// What was answered over time, in slots of equal width.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// The width.
    pub width_ms: u64,
    /// Those in which anything was answered.
    pub slots: Vec<Slot>,
}

/// What one node answered in one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slot {
    /// Number of the slot, from 0.
    pub slot: u64,
    /// Number of the node, from 0.
    pub node: usize,
    /// Answers with what was taken out.
    pub with_lost: u32,
    /// Answers without.
    pub without: u32,
    /// Errors and empty answers.
    pub errors: u32,
    /// No answers.
    pub silent: u32,
}

impl Report {
    /// Its times in words: what they are of, and how long.
    fn times(&self) -> [(&'static str, String); 3] {
        [
            ("time to detect", time(self.detected_ms)),
            ("last node moved", time(self.moved_ms)),
            ("time to return", time(self.back_ms)),
        ]
    }

    /// What clients and proxies had of it, in words.
    fn traces(&self) -> Vec<(&'static str, String)> {
        let errors: u64 = self.nodes.iter().map(|node| node.errors).sum();
        let silent: u64 = self.nodes.iter().map(|node| node.silent).sum();
        let loads = self.loads.iter().map(|l| format!("{} {:.0} %", l.region, l.highest * 100.0));
        let loads: Vec<String> = loads.collect();
        let known = |text: String| if text.is_empty() { "not measured".to_owned() } else { text };
        let rate = |rate: &ResidualRate| {
            let ResidualRate { region, before, last } = rate;
            format!("{region} {last:.1} requests/s in the end, {before:.1} before")
        };
        let drained = self.residual_requests.map(|n| format!("{n} requests to what was drained"));
        let residual: Vec<String> = self.residual.iter().map(rate).chain(drained).collect();
        vec![
            ("errors", format!("{errors} errors or empty answers, {silent} questions unanswered")),
            ("survivors' load", known(loads.join(", "))),
            ("residual traffic", known(residual.join("; "))),
        ]
    }
}

/// A time in seconds.
fn time(ms: Option<u64>) -> String {
    ms.map_or_else(|| "never".to_owned(), |ms| format!("{:.2} s", ms as f64 / 1_000.0))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "drill `{}`: {}", self.name, self.outcome.as_str())?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  aborted          {reason}")?;
        }
        let (fail, seconds) = (self.fail.join(", "), time(Some(self.lasted_ms)));
        writeln!(f, "  begun            {}", clock::utc(self.started))?;
        writeln!(f, "  taken out        {fail} by {} for {seconds}", self.how)?;
        writeln!(f, "  services         {}", self.services.join(", "))?;
        for (what, found) in self.times().into_iter().chain(self.traces()) {
            writeln!(f, "  {what:<16} {found}")?;
        }
        writeln!(f, "nodes")?;
        for node in &self.nodes {
            let NodeReport { node: name, answers, with_lost, errors, silent, .. } = node;
            let (moved, back) = (time(node.moved_ms), time(node.back_ms));
            writeln!(
                f,
                "  {name:<24} moved {moved}, back {back}; of {answers} answers {with_lost} with \
                 what was taken out, {errors} errors, {silent} missing"
            )?;
        }
        for ErrorSeen { at_ms, node, question, what } in &self.errors {
            let at = time(Some(*at_ms));
            writeln!(f, "  error at {at}: {node} on {question}: {what}")?;
        }
        write!(f, "expectations")?;
        for Checked { name, expected, found, held } in &self.checks {
            let word = if *held { "held" } else { "FAILED" };
            write!(f, "\n  {name:<16} {word}: expected {expected}, found {found}")?;
        }
        if self.checks.is_empty() {
            write!(f, "\n  none")?;
        }
        Ok(())
    }
}
