//! The state machine behind a verdict: one endpoint, one monitor, seen from one vantage.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::damper::Damper;
use super::{CauseKind, Level, Outcome};
use crate::clock::Tick;
use crate::model::{Monitor, Vantage};

/// What one vantage says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No probe has ended yet.
    Unknown,
    /// It serves.
    Up,
    /// It does not.
    Down,
}

impl Verdict {
    /// The word in the saved state, logs and metrics.
    pub fn as_str(self) -> &'static str {
        Level::from(self).as_str()
    }
}

impl From<Verdict> for Level {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Unknown => Self::Unknown,
            Verdict::Up => Self::Up,
            Verdict::Down => Self::Down,
        }
    }
}

/// The part of a [`Monitor`] that rules its machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Time between two probes.
    pub interval: Duration,
    /// Failures that take it down, at least 1.
    pub fall: u32,
    /// Successes in a row that bring it up or clear failures, at least 1.
    pub rise: u32,
    /// Least time down after repeated flips; zero: no damping.
    pub hold_down: Duration,
    /// How many vantages must agree.
    pub vantage: Vantage,
}

impl From<&Monitor> for Rules {
    fn from(monitor: &Monitor) -> Self {
        Self {
            interval: monitor.interval,
            fall: monitor.fall,
            rise: monitor.rise,
            hold_down: monitor.hold_down,
            vantage: monitor.vantage,
        }
    }
}

/// The state machine of one endpoint and monitor at this vantage.
///
/// ```text
///            first result: success                first result: failure
///          ┌──────────────────────── unknown ────────────────────────┐
///          ▼                                                         ▼
///          up ──── `fall` failures, not cleared by `rise` ─────────▶ down
///          ▲            successes in a row                           │
///          └──── `rise` successes in a row, and not held down ───────┘
/// ```
///
/// - **From unknown one result decides**, so that the first probe round, which runs before the
///   first answer, already tells the living from the dead. A wrong first guess is put right by
///   the ordinary rules.
/// - **Failures add up** while up and only `rise` successes in a row clear them: a target that
///   fails every second probe goes down too.
/// - **Damping** (`hold_down` above zero): going down within a minute of coming up is a repeated
///   flip. After it the machine stays down for a minute or `hold_down` × 2ⁿ⁻¹ at the n-th in
///   a row, whichever is longer, and until `hold_down` has passed without a failure. The first
///   comeback is never delayed: one short outage is no flapping. So two comebacks are at least
///   a minute apart whatever the target does, which makes at most two changes a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    verdict: Verdict,
    since: Tick,
    cause: Arc<str>,
    kind: Option<CauseKind>,
    failures: u32,
    successes: u32,
    observed: bool,
    failed_at: Tick,
    damper: Damper,
}

impl Machine {
    /// A machine that knows nothing.
    pub fn new(now: Tick) -> Self {
        Self::starting(Verdict::Unknown, "not probed yet".into(), now)
    }

    /// A machine that starts from a verdict of before, held since `since`; probes judge it by the
    /// ordinary rules.
    pub fn starting(verdict: Verdict, cause: Arc<str>, since: Tick) -> Self {
        Self {
            verdict,
            since,
            cause,
            kind: None,
            failures: 0,
            successes: 0,
            observed: false,
            failed_at: since,
            damper: Damper::default(),
        }
    }

    /// What it says.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Since when it says so.
    pub fn since(&self) -> Tick {
        self.since
    }

    /// Why it says so: while down, the words of the last failure.
    pub fn cause(&self) -> &Arc<str> {
        &self.cause
    }

    /// The sort of the last failure while down; `None` while not, or when known from before.
    pub fn kind(&self) -> Option<CauseKind> {
        self.kind
    }

    /// Whether any probe has ended since it was made.
    pub fn is_observed(&self) -> bool {
        self.observed
    }

    /// Takes in one result. `true`: the verdict changed.
    pub fn observe(&mut self, rules: &Rules, outcome: &Outcome, now: Tick) -> bool {
        let before = self.verdict;
        self.observed = true;
        match outcome {
            Outcome::Success => self.succeed(rules, now),
            Outcome::Failure { kind, cause } => self.fail(rules, *kind, cause, now),
            Outcome::Missed(cause) if before == Verdict::Unknown => self.cause = cause.clone(),
            Outcome::Missed(_) => {}
            Outcome::Unknown(cause) => self.forget(cause, now),
        }
        self.verdict != before
    }

    fn succeed(&mut self, rules: &Rules, now: Tick) {
        self.successes = self.successes.saturating_add(1);
        let enough = self.successes >= rules.rise;
        match self.verdict {
            Verdict::Unknown => self.rise(now),
            Verdict::Up if enough => (self.failures, self.successes) = (0, 0),
            Verdict::Down if enough && now >= self.held_until(rules) => {
                self.damper.rose(now);
                self.rise(now);
            }
            Verdict::Up | Verdict::Down => {}
        }
    }

    fn fail(&mut self, rules: &Rules, kind: CauseKind, cause: &Arc<str>, now: Tick) {
        self.successes = 0;
        self.failed_at = now;
        self.failures = self.failures.saturating_add(1);
        match self.verdict {
            Verdict::Up if self.failures < rules.fall => return,
            Verdict::Up | Verdict::Unknown => {
                self.damper.fell(now);
                (self.verdict, self.since) = (Verdict::Down, now);
            }
            Verdict::Down => {}
        }
        (self.kind, self.cause) = (Some(kind), cause.clone());
    }

    /// Goes back to knowing nothing; that it came up lately is remembered.
    fn forget(&mut self, cause: &Arc<str>, now: Tick) {
        if self.verdict != Verdict::Unknown {
            (self.verdict, self.since) = (Verdict::Unknown, now);
        }
        (self.failures, self.successes) = (0, 0);
        (self.kind, self.cause) = (None, cause.clone());
    }

    fn rise(&mut self, now: Tick) {
        (self.verdict, self.since) = (Verdict::Up, now);
        (self.failures, self.successes) = (0, 0);
        (self.kind, self.cause) = (None, "answered as expected".into());
    }

    /// The earliest time it may come up; only asked while down.
    fn held_until(&self, rules: &Rules) -> Tick {
        let Some(hold) = self.damper.hold(rules.hold_down) else { return self.since };
        (self.since + hold).max(self.failed_at + rules.hold_down)
    }

    /// The shortest time in which the verdict could change, counted from a result at `now`: the
    /// results still needed times the interval. An answer may be kept that long. The first result
    /// of all may come at any moment.
    ///
    /// While held down it is the largest power of two of intervals within the rest of the hold:
    /// never too long, and not a new figure after each probe.
    pub fn earliest_change(&self, rules: &Rules, now: Tick) -> Duration {
        let results = match self.verdict {
            Verdict::Unknown => 1,
            Verdict::Up => rules.fall.saturating_sub(self.failures).max(1),
            Verdict::Down => rules.rise.saturating_sub(self.successes).max(1),
        };
        let intervals = if self.observed { results } else { results - 1 };
        let needed = rules.interval.saturating_mul(intervals);
        if self.verdict != Verdict::Down {
            return needed;
        }
        let held = self.held_until(rules).since(now);
        let steps = held.as_millis() / rules.interval.as_millis().max(1);
        let steps = u32::try_from(steps).unwrap_or(u32::MAX).checked_ilog2();
        steps.map_or(needed, |log| rules.interval.saturating_mul(1 << log).max(needed))
    }
}
