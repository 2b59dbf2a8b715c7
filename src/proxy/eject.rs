//! Ejection: endpoints that fail real requests, or are far slower than the others, are left out
//! for a time.
//!
//! It is faster than probes and knows less: it bears on this proxy alone. What it sees goes to
//! health as observations, where it is judged with everything else.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{self, Tick};
use crate::model::EjectRules;

/// An ejection never takes longer, unless it is configured longer: a repaired endpoint must not
/// wait for hours.
const TIME_MAX: Duration = Duration::from_secs(300);
/// Endpoints that must be measured before one can be slower than the others.
const MEASURED_MIN: usize = 3;

/// Why an endpoint is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It failed requests.
    Errors,
    /// It is far slower than the others.
    Slow,
}

impl Cause {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Slow => "slow",
        }
    }
}

/// What an observation led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing.
    None,
    /// The endpoint is left out until then.
    Ejected(Cause, Tick),
    /// It would be, but enough others are.
    Spared(Cause),
}

/// The endpoints of a pool.
#[derive(Clone, Debug)]
pub struct Ejector {
    rules: EjectRules,
    cells: Vec<Cell>,
}

/// What is known of an endpoint.
///
/// ```text
///          errors in a row, or slow               the time is over
///    in ────────────────────────────▶ out ───────────────────────────▶ on trial
///    ▲                                 ▲  an error: out for twice as long  │
///    │                                 └───────────────────────────────────┤
///    └───────────────────────────── a success ─────────────────────────────┘
/// ```
#[derive(Clone, Debug, Default)]
struct Cell {
    /// When the errors of the current row came: as many as lead to an ejection.
    errors: VecDeque<Tick>,
    slow_since: Option<Tick>,
    /// Since and until when it was left out the last time.
    out: Option<(Tick, Tick)>,
    /// Whether it has not succeeded since.
    on_trial: bool,
    repeats: u32,
}

impl Ejector {
    /// No endpoint is left out. Endpoints are known by their number from 0 on.
    pub fn new(rules: EjectRules, endpoints: usize) -> Self {
        Self { rules, cells: vec![Cell::default(); endpoints] }
    }

    /// What is known of the endpoints whose numbers here are `before`, under a new number each;
    /// `None`: nothing is known of that one.
    #[must_use]
    pub fn over(&self, before: &[Option<usize>]) -> Self {
        let known = |number: &Option<usize>| number.and_then(|number| self.cells.get(number));
        let cells = before.iter().map(|number| known(number).cloned().unwrap_or_default());
        Self { rules: self.rules, cells: cells.collect() }
    }

    /// Until when an endpoint is left out, and whether its next success changes anything.
    pub fn standing(&self, endpoint: usize) -> (Option<Tick>, bool) {
        let Some(cell) = self.cells.get(endpoint) else { return (None, false) };
        (cell.out.map(|(_, until)| until), cell.on_trial || !cell.errors.is_empty())
    }

    /// Whether an endpoint is left out at `now`.
    pub fn is_out(&self, endpoint: usize, now: Tick) -> bool {
        self.cells.get(endpoint).is_some_and(|cell| cell.is_out(now))
    }

    /// Endpoints that are left out at `now`.
    pub fn out(&self, now: Tick) -> usize {
        self.cells.iter().filter(|cell| cell.is_out(now)).count()
    }

    /// A request succeeded.
    pub fn succeeded(&mut self, endpoint: usize) {
        if let Some(cell) = self.cells.get_mut(endpoint) {
            cell.errors.clear();
            cell.on_trial = false;
        }
    }

    /// A request failed by the endpoint's fault.
    pub fn failed(&mut self, endpoint: usize, now: Tick) -> Ruling {
        let rules = self.rules;
        let Some(cell) = self.cells.get_mut(endpoint).filter(|cell| !cell.is_out(now)) else {
            return Ruling::None;
        };
        while cell.errors.len() >= rules.errors.max(1) as usize {
            cell.errors.pop_front();
        }
        cell.errors.push_back(now);
        let all = cell.errors.len() >= rules.errors as usize;
        let recent = cell.errors.front().is_some_and(|first| now.since(*first) <= rules.within);
        if cell.on_trial || (all && recent) {
            return self.eject(endpoint, Cause::Errors, now);
        }
        Ruling::None
    }

    /// Compares response times in milliseconds, in the order of the endpoints; 0: not known. To be
    /// called every second or so, with `ruled` for each endpoint that anything comes of.
    pub fn compare(&mut self, latencies: &[f32], now: Tick, mut ruled: impl FnMut(usize, Ruling)) {
        let Some(factor) = self.rules.slow else { return };
        let bound = median(latencies).map(|median| f64::from(median) * factor);
        for (endpoint, latency) in latencies.iter().enumerate() {
            let within = self.rules.within;
            let Some(cell) = self.cells.get_mut(endpoint) else { break };
            let is_slow = bound.is_some_and(|bound| f64::from(*latency) > bound);
            if !is_slow || cell.is_out(now) {
                cell.slow_since = None;
                continue;
            }
            let since = *cell.slow_since.get_or_insert(now);
            if now.since(since) >= within {
                ruled(endpoint, self.eject(endpoint, Cause::Slow, now));
            }
        }
    }

    fn eject(&mut self, endpoint: usize, cause: Cause, now: Tick) -> Ruling {
        let allowed = (self.rules.max_share * self.cells.len() as f64 + 1e-6).floor() as usize;
        if self.out(now) >= allowed {
            return Ruling::Spared(cause);
        }
        let Some(cell) = self.cells.get_mut(endpoint) else { return Ruling::None };
        // Who was in for as long as it was out the last time begins anew.
        let is_repeat = cell.out.is_some_and(|(from, to)| now.since(to) < to.since(from));
        cell.repeats = if is_repeat { cell.repeats.saturating_add(1) } else { 0 };
        let time = self.rules.time;
        let until = now + clock::doubled(time, cell.repeats, TIME_MAX.max(time));
        cell.errors.clear();
        cell.slow_since = None;
        (cell.out, cell.on_trial) = (Some((now, until)), true);
        Ruling::Ejected(cause, until)
    }
}

impl Cell {
    fn is_out(&self, now: Tick) -> bool {
        self.out.is_some_and(|(_, until)| now < until)
    }
}

/// The median of what is known; `None`: too little is.
fn median(latencies: &[f32]) -> Option<f32> {
    let mut known: Vec<f32> = latencies.iter().copied().filter(|latency| *latency > 0.0).collect();
    known.sort_unstable_by(f32::total_cmp);
    known.get((known.len().saturating_sub(1)) / 2).copied().filter(|_| known.len() >= MEASURED_MIN)
}
