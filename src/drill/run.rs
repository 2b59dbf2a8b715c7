//! A drill while it runs: what was heard when becomes what is done next, and in the end a report.
//!
//! ```text
//! Before ──began──▶ Failing ──ended──▶ Returning ──▶ Over
//!                      │ a condition of [abort]
//!                      └──▶ Demand::Clear, then as ended
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::report::{
    Checked, ErrorSeen, Mark, NodeReport, Outcome, RegionLoad, Report, ResidualRate, Slot, Timeline,
};
use crate::health::overrides::Target;
use crate::model::{Abort, Expect};

/// Errors that are told one by one.
const ERRORS_MAX: usize = 20;
/// Steps of the picture over time.
const SLOTS: u32 = 240;
/// How long answers are waited for after the end where nothing is expected.
const RETURN: Duration = Duration::from_secs(60);
/// Time before the beginning that the picture shows.
const LEAD: Duration = Duration::from_secs(1);

/// What a run is about.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the drill is called.
    pub name: String,
    /// How it is done, in a word.
    pub how: String,
    /// What is taken out.
    pub fail: Vec<String>,
    /// The services that are asked for.
    pub services: Vec<String>,
    /// When it began, in seconds since 1970-01-01 UTC.
    pub started: u64,
    /// For how long it is to last.
    pub lasts: Duration,
    /// How often everything is asked.
    pub every: Duration,
    /// The nodes that are asked, by name.
    pub nodes: Vec<String>,
    /// What each of them is asked, in words.
    pub questions: Vec<String>,
    /// The addresses that answers are to lose.
    pub lost: BTreeSet<IpAddr>,
    /// What is to hold.
    pub expect: Expect,
    /// What ends it early.
    pub abort: Abort,
}

/// Which node was asked what: indexes into those of the [`Setup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The node.
    pub node: usize,
    /// The question.
    pub question: usize,
}

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// With these addresses.
    Addresses(Vec<IpAddr>),
    /// With no records.
    Nothing,
    /// With an error, in words.
    Error(String),
    /// Not in time.
    Silence,
}

/// What a node says of the fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Regions without an endpoint that serves.
    pub down: BTreeSet<String>,
    /// Load of regions, as a share of their capacity.
    pub loads: BTreeMap<String, f64>,
    /// Load of regions, in requests a second.
    pub rates: BTreeMap<String, f64>,
    /// Requests that came for what is taken out.
    pub residual: Option<u64>,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Take the overrides back: why.
    Clear(String),
    /// Nothing is to be seen any more.
    Finish,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is taken out yet.
    Before,
    /// It is, since then.
    Failing(Duration),
    /// It was, from then to then.
    Returning(Duration, Duration),
}

/// What is known of one question at one node.
#[derive(Clone, Debug, Default)]
struct Cell {
    /// Whether it was answered with what is taken out before the beginning.
    before: bool,
    /// Whether it was answered without an error before the beginning.
    answered: bool,
    /// Whether there were no records before the beginning, so that none are missing later.
    empty: bool,
    /// Since when it is answered without.
    clean: Option<Duration>,
    /// When it was answered with it again after the end.
    back: Option<Duration>,
}

/// What one node did.
#[derive(Clone, Debug, Default)]
struct Tally {
    answers: u64,
    lost: u64,
    errors: u64,
    silent: u64,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    setup: Setup,
    phase: Phase,
    cells: BTreeMap<Place, Cell>,
    tallies: Vec<Tally>,
    errors: Vec<ErrorSeen>,
    loads: BTreeMap<String, f64>,
    residual: (Option<u64>, Option<u64>),
    /// Load of the regions that are taken out: before, and as it was told last while they were.
    rates: BTreeMap<String, (f64, f64)>,
    aborted: Option<String>,
    cleared: bool,
    marks: Vec<Mark>,
    slots: BTreeMap<(u64, usize), [u32; 4]>,
    width: Duration,
}

impl Run {
    /// Nothing was heard yet.
    pub fn new(setup: Setup) -> Self {
        let whole = LEAD + setup.lasts + setup.expect.back_within.unwrap_or(RETURN);
        let width = (whole / SLOTS).max(setup.every);
        let cells = (0..setup.nodes.len()).flat_map(|node| {
            (0..setup.questions.len()).map(move |question| Place { node, question })
        });
        Self {
            phase: Phase::Before,
            cells: cells.map(|place| (place, Cell::default())).collect(),
            tallies: vec![Tally::default(); setup.nodes.len()],
            errors: Vec::new(),
            loads: BTreeMap::new(),
            residual: (None, None),
            rates: BTreeMap::new(),
            aborted: None,
            cleared: false,
            marks: Vec::new(),
            slots: BTreeMap::new(),
            width,
            setup,
        }
    }

    /// Whether every node has answered every question well before the beginning; the error is what
    /// did not.
    ///
    /// # Errors
    /// The first nodes that did not, and what they answered.
    pub fn baseline(&self) -> Result<(), String> {
        let missing = self.cells.iter().filter(|(_, cell)| !cell.answered);
        let name = |place: &Place| self.setup.nodes.get(place.node).cloned().unwrap_or_default();
        let nodes: BTreeSet<String> = missing.map(|(place, _)| name(place)).collect();
        let nodes: Vec<String> = nodes.into_iter().collect();
        if nodes.is_empty() {
            return Ok(());
        }
        let why = self.errors.first().map_or("no answer", |error| error.what.as_str());
        Err(format!("{} does not answer as it should: {why}", nodes.join(", ")))
    }

    /// Whether anything that was heard before the beginning is to change.
    pub fn is_about_something(&self) -> bool {
        self.cells.values().any(|cell| cell.before)
    }

    /// The overrides are in force, as of `at`.
    pub fn began(&mut self, at: Duration) {
        self.phase = Phase::Failing(at);
        self.errors.clear();
        self.tallies = vec![Tally::default(); self.setup.nodes.len()];
        self.mark(at, "taken out");
    }

    /// The overrides are gone, as of `at`.
    pub fn ended(&mut self, at: Duration) {
        if let Phase::Failing(since) = self.phase {
            self.phase = Phase::Returning(since, at);
            self.mark(at, "taken back");
        }
    }

    /// Ends it, at `at`, for this reason.
    pub fn abort(&mut self, at: Duration, why: &str) {
        if matches!(self.phase, Phase::Failing(_)) && self.aborted.is_none() {
            self.aborted = Some(why.to_owned());
            self.mark(at, &format!("aborted: {why}"));
        }
    }

    fn mark(&mut self, at: Duration, what: &str) {
        self.marks.push(Mark { at_ms: millis(at), what: what.to_owned() });
    }

    /// Takes in an answer that came at `at`.
    pub fn heard(&mut self, at: Duration, place: Place, heard: &Heard) {
        let Some(cell) = self.cells.get_mut(&place) else { return };
        // What was on its way when it began tells of before.
        let before = match self.phase {
            Phase::Before => true,
            Phase::Failing(since) => at < since,
            Phase::Returning(..) => false,
        };
        let (kind, with) = match heard {
            Heard::Addresses(addresses) => {
                let with = addresses.iter().any(|address| self.setup.lost.contains(address));
                (usize::from(!with), with)
            }
            Heard::Nothing if before || cell.empty => (1, false),
            Heard::Error(_) | Heard::Nothing => (2, false),
            Heard::Silence => (3, false),
        };
        let slot = millis(at) / millis(self.width).max(1);
        if let Some(count) = self.slots.entry((slot, place.node)).or_default().get_mut(kind) {
            *count += 1;
        }
        if let Some(tally) = self.tallies.get_mut(place.node) {
            tally.answers += 1;
            tally.lost += u64::from(kind == 0);
            tally.errors += u64::from(kind == 2);
            tally.silent += u64::from(kind == 3);
        }
        if kind == 2 && self.errors.len() < ERRORS_MAX {
            let what = if let Heard::Error(what) = heard { what } else { "no records" };
            let name = |list: &[String], at: usize| list.get(at).cloned().unwrap_or_default();
            self.errors.push(ErrorSeen {
                at_ms: millis(at),
                node: name(&self.setup.nodes, place.node),
                question: name(&self.setup.questions, place.question),
                what: what.to_owned(),
            });
        }
        let good = kind < 2;
        match self.phase {
            _ if before => {
                cell.answered |= good;
                cell.before |= with;
                cell.empty |= *heard == Heard::Nothing;
            }
            // The node's clock of the end may be a little ahead of the command's.
            Phase::Failing(since) if with && at >= since + self.setup.lasts => {
                let _ = cell.back.get_or_insert(at);
            }
            Phase::Failing(_) if with => cell.clean = None,
            Phase::Failing(_) if good => {
                let _ = cell.clean.get_or_insert(at);
            }
            Phase::Returning(..) if with => {
                let _ = cell.back.get_or_insert(at);
            }
            Phase::Before | Phase::Failing(_) | Phase::Returning(..) => {}
        }
    }

    /// Takes in what a node says of the fleet.
    pub fn seen(&mut self, at: Duration, seen: &Seen) {
        let first = self.residual.0.or(seen.residual);
        self.residual = (first, seen.residual.or(self.residual.1));
        let gone = |region: &str| is_region(&self.setup.fail, region);
        for (region, rate) in seen.rates.iter().filter(|(region, _)| gone(region)) {
            let (before, last) = self.rates.entry(region.clone()).or_insert((*rate, *rate));
            match self.phase {
                Phase::Before => (*before, *last) = (*rate, *rate),
                Phase::Failing(_) => *last = *rate,
                Phase::Returning(..) => {}
            }
        }
        if !matches!(self.phase, Phase::Failing(_)) {
            return;
        }
        // What is taken out still has the load of those who have not left yet.
        let loads: Vec<_> = seen.loads.iter().filter(|(region, _)| !gone(region)).collect();
        for (region, load) in &loads {
            let highest = self.loads.entry((*region).clone()).or_default();
            *highest = highest.max(**load);
        }
        let limit = self.setup.abort.survivor_load;
        let over = loads.iter().find(|(_, load)| limit.is_some_and(|most| **load >= most));
        if let Some((region, load)) = over {
            self.abort(at, &format!("{region} has {:.0} % of its capacity as load", *load * 100.0));
        }
        let guarded = self.setup.abort.down.iter().map(|target| &target.value);
        let lost = seen.down.iter().find(|region| is_region(guarded.clone(), region));
        if let Some(region) = lost {
            self.abort(at, &format!("{region} is down"));
        }
    }

    /// What is to be done at `at`; each demand is made once.
    pub fn demand(&mut self, at: Duration) -> Option<Demand> {
        match self.phase {
            Phase::Before => None,
            Phase::Failing(_) => {
                let why = self.aborted.clone().filter(|_| !self.cleared)?;
                self.cleared = true;
                Some(Demand::Clear(why))
            }
            Phase::Returning(_, ended) => {
                let patience = self.setup.expect.back_within.unwrap_or(RETURN);
                let back = self.back(None).is_some();
                (back || at > ended + patience + self.setup.every).then_some(Demand::Finish)
            }
        }
    }

    /// The latest of what the questions that were answered with it say, of one node or all;
    /// `None`: one does not say.
    fn latest(
        &self,
        node: Option<usize>,
        of: impl Fn(&Cell) -> Option<Duration>,
    ) -> Option<Duration> {
        let asked = self
            .cells
            .iter()
            .filter(|(place, cell)| cell.before && node.is_none_or(|node| place.node == node));
        asked.map(|(_, cell)| of(cell)).try_fold(Duration::ZERO, |late, one| Some(late.max(one?)))
    }

    /// When the last answer moved, since the beginning.
    fn moved(&self, node: Option<usize>) -> Option<Duration> {
        let (Phase::Failing(since) | Phase::Returning(since, _)) = self.phase else { return None };
        self.latest(node, |cell| cell.clean).map(|at| at.saturating_sub(since))
    }

    /// Number of nodes whose answers have all moved.
    pub fn moved_nodes(&self) -> usize {
        (0..self.setup.nodes.len()).filter(|node| self.moved(Some(*node)).is_some()).count()
    }

    /// When the last answer was back, since the end.
    fn back(&self, node: Option<usize>) -> Option<Duration> {
        let Phase::Returning(_, ended) = self.phase else { return None };
        self.latest(node, |cell| cell.back).map(|at| at.saturating_sub(ended))
    }

    /// When the first answer moved, since the beginning.
    fn detected(&self) -> Option<Duration> {
        let (Phase::Failing(since) | Phase::Returning(since, _)) = self.phase else { return None };
        let clean = self.cells.values().filter(|cell| cell.before).filter_map(|cell| cell.clean);
        clean.min().map(|at| at.saturating_sub(since))
    }

    /// What came of it.
    pub fn report(&self) -> Report {
        let checks = self.checks();
        let outcome = match &self.aborted {
            Some(_) => Outcome::Aborted,
            None if checks.iter().all(|check| check.held) => Outcome::Passed,
            None => Outcome::Failed,
        };
        let lasted = match self.phase {
            Phase::Returning(since, ended) => ended.saturating_sub(since),
            Phase::Before | Phase::Failing(_) => Duration::ZERO,
        };
        let nodes = self.setup.nodes.iter().zip(&self.tallies).enumerate();
        let node = |(at, (name, tally)): (usize, (&String, &Tally))| NodeReport {
            node: name.clone(),
            moved_ms: self.moved(Some(at)).map(millis),
            back_ms: self.back(Some(at)).map(millis),
            answers: tally.answers,
            with_lost: tally.lost,
            errors: tally.errors,
            silent: tally.silent,
        };
        let residual = self.residual.0.zip(self.residual.1);
        Report {
            name: self.setup.name.clone(),
            how: self.setup.how.clone(),
            fail: self.setup.fail.clone(),
            services: self.setup.services.clone(),
            started: self.setup.started,
            planned_ms: millis(self.setup.lasts),
            lasted_ms: millis(lasted),
            outcome,
            reason: self.aborted.clone(),
            detected_ms: self.detected().map(millis),
            moved_ms: self.moved(None).map(millis),
            back_ms: self.back(None).map(millis),
            residual_requests: residual.map(|(first, last)| last.saturating_sub(first)),
            residual: self.rates.iter().map(ResidualRate::from).collect(),
            nodes: nodes.map(node).collect(),
            errors: self.errors.clone(),
            loads: self.region_loads(),
            checks,
            marks: self.marks.clone(),
            timeline: self.timeline(),
        }
    }

    fn region_loads(&self) -> Vec<RegionLoad> {
        let load =
            |(region, load): (&String, &f64)| RegionLoad { region: region.clone(), highest: *load };
        self.loads.iter().map(load).collect()
    }

    fn timeline(&self) -> Timeline {
        let slot = |((at, node), counts): (&(u64, usize), &[u32; 4])| {
            let [with_lost, without, errors, silent] = *counts;
            Slot { slot: *at, node: *node, with_lost, without, errors, silent }
        };
        Timeline {
            width_ms: millis(self.width).max(1),
            slots: self.slots.iter().map(slot).collect(),
        }
    }

    /// Each expectation, and whether it held.
    fn checks(&self) -> Vec<Checked> {
        let expect = &self.setup.expect;
        let mut checks = Vec::new();
        let told = |found: Option<Duration>| {
            found
                .map_or_else(|| "never".to_owned(), |found| format!("{:.2} s", found.as_secs_f64()))
        };
        let within = |name: &str, limit: Duration, found: Option<Duration>| Checked {
            name: name.to_owned(),
            expected: format!("{:.2} s at most", limit.as_secs_f64()),
            found: told(found),
            held: found.is_some_and(|found| found <= limit),
        };
        if let Some(limit) = expect.moved_within {
            checks.push(within("moved_within", limit, self.moved(None)));
        }
        if expect.no_errors {
            let errors: u64 = self.tallies.iter().map(|tally| tally.errors).sum();
            let mute = self.tallies.iter().filter(|t| t.answers > 0 && t.silent == t.answers);
            let mute = mute.count();
            let found = match mute {
                0 => format!("{errors} errors"),
                mute => format!("{errors} errors, {mute} nodes silent"),
            };
            let (name, expected) = ("no_errors".to_owned(), "none".to_owned());
            checks.push(Checked { name, expected, found, held: errors == 0 && mute == 0 });
        }
        if let Some(limit) = expect.survivor_load {
            let highest = self.loads.values().copied().reduce(f64::max);
            let percent = |share: f64| format!("{:.0} %", share * 100.0);
            checks.push(Checked {
                name: "survivor_load".to_owned(),
                expected: format!("{} at most", percent(limit)),
                found: highest.map_or_else(|| "not measured".to_owned(), percent),
                held: highest.is_none_or(|highest| highest <= limit),
            });
        }
        if let Some(limit) = expect.back_within {
            checks.push(within("back_within", limit, self.back(None)));
        }
        checks
    }
}

/// Whether one of these targets is this region, as a whole.
fn is_region<'a>(targets: impl IntoIterator<Item = &'a String>, region: &str) -> bool {
    let targets = targets.into_iter().filter_map(|text| text.parse::<Target>().ok());
    targets.into_iter().any(|target| target.is_region(region))
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests;
