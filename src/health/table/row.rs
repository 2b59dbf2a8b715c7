//! One endpoint: what its sources say together, and what holds it up or down all the same.

use std::sync::Arc;
use std::time::Duration;

use super::cell::{Cell, Source};
use crate::clock::Tick;
use crate::health::calculated::words;
use crate::health::damper::Damper;
use crate::health::impaired::Sight;
use crate::health::{Action, Council, EndpointHealth, Forced, Level, RegionVote, Subject, Verdict};
use crate::model::{MonitorId, PoolId, RegionId};

/// One endpoint.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) pool: PoolId,
    pub(super) region: RegionId,
    /// Its share of the pool.
    pub(super) weight: u64,
    /// Whether no endpoint before it is probed at the same address.
    pub(super) is_first: bool,
    /// What votes on its proxied traffic are about.
    pub(super) traffic: Subject,
    pub(super) cells: Vec<Cell>,
    /// What outlasts a reload.
    pub(super) state: RowState,
    /// When time alone may change it; `None`: it does not.
    pub(super) due: Option<Tick>,
}

/// What an endpoint has been through.
#[derive(Clone, Debug)]
pub(super) struct RowState {
    /// By health alone.
    pub(super) level: Level,
    /// Since when, if that is not since its cells say so.
    since: Tick,
    damper: Damper,
    /// When it fell last.
    pub(super) fell: Option<Tick>,
    /// Whether it was down by proxied requests alone when it was last seen to be down.
    by_traffic: bool,
    /// Since when it is held up by `max_removed`.
    pub(super) held: Option<Tick>,
    /// What an operator says, and since when.
    pub(super) forced: Option<(Forced, Tick)>,
}

impl RowState {
    /// Nothing has happened yet.
    pub(super) fn new(level: Level) -> Self {
        let damper = Damper::default();
        let (since, by_traffic) = (Tick(0), false);
        Self { level, since, damper, fell: None, by_traffic, held: None, forced: None }
    }
}

impl Row {
    /// Counts the votes of all cells anew.
    pub(super) fn merge(&mut self, council: &Council, now: Tick) {
        for at in 0..self.cells.len() {
            let (before, rest) = self.cells.split_at_mut(at);
            let Some(cell) = rest.first_mut() else { return };
            match cell.calculated.clone() {
                Some(rule) => cell.follow(&rule, before, council, now),
                None => cell.merge(council, now),
            }
        }
    }

    /// The cells that probes report to.
    pub(super) fn probed(&self) -> impl Iterator<Item = &Cell> {
        let is_probed = |cell: &&Cell| cell.source != Source::Traffic && cell.calculated.is_none();
        self.cells.iter().filter(is_probed)
    }

    /// Why a cell says what it says, in words.
    fn cause(&self, cell: &Cell, council: &Council) -> String {
        let Some(rule) = &cell.calculated else { return cell.cause(council) };
        let member = |id: MonitorId| self.cells.iter().find(|other| other.source == id.into());
        let words = words(rule, |id| member(id).map_or(Verdict::Unknown, |cell| cell.shown));
        format!("monitor {}: {words}", cell.name)
    }

    /// What the cells say together: down while any says down, else unknown while any does not know,
    /// else up. What is as it was `before` is shared with it.
    pub(super) fn wanted(
        &self,
        council: &Council,
        before: Option<&EndpointHealth>,
        now: Tick,
    ) -> EndpointHealth {
        let cells = || self.cells.iter().filter(|cell| cell.counts());
        let Some(first) = cells().next() else {
            let (level, cause) = (Level::Up, "no monitors".into());
            let (kind, since, votes) = (None, Tick::START, [].into());
            return EndpointHealth {
                level,
                cause,
                kind,
                since,
                earliest_change: None,
                is_forced_up: false,
                is_down_by_traffic: false,
                votes,
            };
        };
        let level = cells().map(|cell| Level::from(cell.shown)).max().unwrap_or(Level::Unknown);
        let at_level = || cells().filter(|cell| Level::from(cell.shown) == level);
        let since = match level {
            // Up since the last one said so; else since the first one did.
            Level::Up => at_level().map(|cell| cell.since).max(),
            _ => at_level().map(|cell| cell.since).min(),
        };
        let cause: Arc<str> = match (level, at_level().next()) {
            (Level::Up, _) if cells().count() > 1 => "all monitors up".into(),
            (_, cell) => {
                let cause = self.cause(cell.unwrap_or(first), council);
                let same = before.filter(|before| *before.cause == *cause);
                same.map_or_else(|| cause.into(), |before| before.cause.clone())
            }
        };
        EndpointHealth {
            level,
            cause,
            kind: at_level().find_map(Cell::kind).filter(|_| level == Level::Down),
            since: since.unwrap_or(now),
            earliest_change: self.earliest_change(level, council, now),
            is_forced_up: false,
            is_down_by_traffic: level == Level::Down
                && at_level().all(|cell| cell.source == Source::Traffic),
            votes: self.votes(council, before.map(|before| &before.votes), now),
        }
    }

    /// Up ends with the first cell that says down; down and unknown last at least until the slowest
    /// of the cells behind them changes.
    fn earliest_change(&self, level: Level, council: &Council, now: Tick) -> Option<Duration> {
        if self.cells.iter().any(|cell| cell.calculated.is_some()) {
            // Whichever changes first may be the one that decides.
            return self.probed().map(|cell| cell.earliest_change(council, now)).min();
        }
        let times = |wanted: Verdict| {
            let cells = self.cells.iter().filter(move |c| c.counts() && c.shown == wanted);
            cells.map(|cell| cell.earliest_change(council, now))
        };
        match level {
            Level::Up => times(Verdict::Up).min(),
            Level::Down | Level::Drained => times(Verdict::Down).max(),
            // One failure on any monitor is enough to make it down.
            Level::Unknown => times(Verdict::Unknown).chain(times(Verdict::Up)).min(),
        }
    }

    /// What each known probing region says by all monitors together.
    fn votes(
        &self,
        council: &Council,
        before: Option<&Arc<[RegionVote]>>,
        now: Tick,
    ) -> Arc<[RegionVote]> {
        let up = |(region, _): &(RegionId, _)| {
            let (verdict, kind, since) = (Verdict::Up, None, now);
            RegionVote { region: *region, verdict, kind, since }
        };
        let mut votes: Vec<RegionVote> = council.seats.iter().map(up).collect();
        for cell in self.cells.iter().filter(|cell| cell.counts()) {
            // Seats and what regions say are both in the order of the regions.
            let mut said = cell.regions().iter().peekable();
            for vote in &mut votes {
                while said.next_if(|(region, _)| *region < vote.region).is_some() {}
                let found = said.next_if(|(region, _)| *region == vote.region);
                vote.verdict = match (vote.verdict, found.map(|(_, verdict)| *verdict)) {
                    (Verdict::Down, _) | (_, Some(Verdict::Down)) => Verdict::Down,
                    (Verdict::Up, Some(Verdict::Up)) => Verdict::Up,
                    _ => Verdict::Unknown,
                };
                if found.is_some_and(|(_, verdict)| *verdict == Verdict::Down) {
                    vote.kind = vote.kind.or_else(|| cell.kind_in(vote.region, council));
                }
            }
        }
        // Both are in the order of the regions.
        let mut earlier = before.into_iter().flat_map(|before| before.iter()).peekable();
        for vote in &mut votes {
            while earlier.next_if(|one| one.region < vote.region).is_some() {}
            let same = earlier.next_if(|one| one.region == vote.region);
            if let Some(same) = same.filter(|one| one.verdict == vote.verdict) {
                vote.since = same.since;
            }
        }
        match before {
            Some(before) if **before == *votes => before.clone(),
            _ => votes.into(),
        }
    }

    /// Whether all who vote on one of its monitors say down.
    pub(super) fn is_unanimous(&self) -> bool {
        self.cells.iter().any(|cell| cell.counts() && cell.is_unanimous())
    }

    /// Goes to what the cells want, as far as it may: a fall may be held up by the pool's budget, a
    /// comeback held down after repeated flips, unless it is lacking what it needs.
    pub(super) fn go(
        &mut self,
        wanted: EndpointHealth,
        (may_fall, is_lacking): (bool, bool),
        interval: Duration,
        now: Tick,
    ) -> EndpointHealth {
        self.due = self.cells.iter().filter_map(Cell::lapses).min();
        let before = self.state.level;
        let mut health = wanted;
        if health.level == Level::Down {
            self.state.by_traffic = health.is_down_by_traffic;
        }
        match (before == Level::Down, health.level == Level::Down) {
            (false, true) if may_fall => {
                if is_lacking {
                    self.state.damper.fell_along();
                } else {
                    self.state.damper.fell(now);
                }
                self.state.since = if self.state.held.is_some() { now } else { health.since };
                (self.state.fell, self.state.held) = (Some(now), None);
            }
            (false, true) => {
                let since = *self.state.held.get_or_insert(now);
                let due = [since, now].map(|since| since + interval).into_iter();
                self.postpone(due.filter(|due| *due > now).min().unwrap_or(now + interval), now);
                health.cause = format!("held up by max_removed: {}", health.cause).into();
                (health.level, health.kind, health.since) = (before, None, self.state.since);
                health.is_down_by_traffic = false;
                health.earliest_change = self.due.map(|due| due.since(now));
            }
            (true, false) => {
                let release = self.release();
                if release <= now {
                    self.state.damper.rose(now);
                    self.state.since = health.since.max(release);
                } else {
                    self.postpone(release, now);
                    health.cause =
                        format!("held down after repeated flips: {}", health.cause).into();
                    (health.level, health.since) = (before, self.state.since);
                    health.is_down_by_traffic = self.state.by_traffic;
                    health.earliest_change = Some(release.since(now));
                }
            }
            (true, true) => {}
            (false, false) => {
                self.state.held = None;
                self.state.since = health.since;
            }
        }
        self.state.level = health.level;
        health.since = health.since.max(self.state.since);
        self.overridden(health)
    }

    /// When it may come up again.
    fn release(&self) -> Tick {
        let judging = self.cells.iter().filter(|cell| cell.calculated.is_none());
        let hold_down = judging.map(|cell| cell.rules.hold_down).max();
        let hold = self.state.damper.hold(hold_down.unwrap_or_default());
        self.state.fell.unwrap_or_default() + hold.unwrap_or_default()
    }

    fn postpone(&mut self, until: Tick, now: Tick) {
        debug_assert!(until > now, "time would stand still");
        self.due = Some(self.due.map_or(until, |due| due.min(until)));
    }

    /// What an operator makes of it.
    pub(super) fn overridden(&self, health: EndpointHealth) -> EndpointHealth {
        let Some((Forced { action, words }, since)) = &self.state.forced else { return health };
        let level = match action {
            Action::Up => Level::Up,
            Action::Down => Level::Down,
            // To drain what is down brings nothing back.
            Action::Drain if health.level == Level::Down => return health,
            Action::Drain => Level::Drained,
        };
        let cause = words.clone();
        // No result changes it, but health does while it drains.
        let earliest_change = health.earliest_change.filter(|_| level == Level::Drained);
        let is_forced_up = *action == Action::Up;
        EndpointHealth {
            level,
            cause,
            kind: None,
            since: *since,
            earliest_change,
            is_forced_up,
            is_down_by_traffic: false,
            ..health
        }
    }

    /// What the prober's own eyes see of the target; `None`: nothing yet, or it was counted before.
    pub(super) fn sight(&self) -> Option<Sight> {
        let probed = || self.probed().filter(|cell| cell.machine.is_observed());
        // A result may take as long as an interval to come.
        let window = |cell: &Cell| cell.rules.interval.saturating_mul(cell.rules.fall + 1);
        let fall_window = probed().map(window).max().filter(|_| self.is_first)?;
        let failing_since = probed().filter_map(|cell| cell.failing_since).min();
        Some(Sight { region: self.region, failing_since, fall_window })
    }
}
