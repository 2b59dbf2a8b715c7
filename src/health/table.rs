//! The health of all endpoints of a fleet.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::calculated::words;
use super::{
    CauseKind, EndpointHealth, EndpointIdentity, Level, Machine, Outcome, Rules, SavedHealth,
    SavedVerdict, Verdict, calculate, merge,
};
use crate::clock::Tick;
use crate::model::{Calculated, Check, EndpointId, Fleet, Monitor, MonitorId};

/// The machines of every endpoint and monitor of one fleet, and the health that follows.
///
/// Its size is that of the fleet. One task owns it; others get copies of [`Self::endpoints`].
#[derive(Clone, Debug)]
pub struct HealthTable {
    /// By [`EndpointId`].
    rows: Vec<Row>,
    /// By [`EndpointId`], derived from `rows`.
    health: Vec<EndpointHealth>,
    /// Machines no probe has reached yet.
    unobserved: usize,
}

/// The machines of one endpoint.
#[derive(Clone, Debug, Default)]
struct Row {
    cells: Vec<Cell>,
}

/// One endpoint and monitor.
#[derive(Clone, Debug)]
struct Cell {
    monitor: MonitorId,
    name: Arc<str>,
    rules: Rules,
    machine: Machine,
    /// How it follows from the cells before it; its machine then says nothing.
    calculated: Option<Arc<Calculated>>,
    /// Whether the pool lists it, or only what is calculated from it counts.
    listed: bool,
}

/// A change of an endpoint's level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flip {
    /// What it was.
    pub from: Level,
    /// What it is now.
    pub to: Level,
    /// Why: `monitor ready: connection refused`.
    pub cause: Arc<str>,
}

/// What a probe result did to the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The endpoint's level changed.
    pub flip: Option<Flip>,
    /// Level, cause or earliest change differ, so that what was compiled from them is out of date.
    pub changed: bool,
}

/// One endpoint and monitor, for metrics and status.
#[derive(Clone, Copy, Debug)]
pub struct TableEntry<'a> {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The monitor.
    pub monitor: MonitorId,
    /// What is known.
    pub machine: &'a Machine,
}

impl HealthTable {
    /// A table for `fleet` in which nothing is known.
    pub fn new(fleet: &Fleet, now: Tick) -> Self {
        Self::build(fleet, now, |_, _| None)
    }

    /// The table for a reloaded fleet: machines of unchanged endpoints and monitors go on as they
    /// are. Where only the monitor's definition changed, its verdict is kept as the starting point:
    /// forgetting it would make a dead endpoint eligible until the next probe.
    pub fn carry_over(old: &Self, old_fleet: &Fleet, new_fleet: &Fleet, now: Tick) -> Self {
        let mut kept = HashMap::new();
        for (row, endpoint) in old.rows.iter().zip(&old_fleet.endpoints) {
            let identity = EndpointIdentity::of(old_fleet, endpoint);
            for cell in &row.cells {
                let name = &*old_fleet.monitor(cell.monitor).name;
                kept.insert((identity.clone(), name), &cell.machine);
            }
        }
        let definitions: HashMap<&str, String> = new_fleet
            .monitors
            .iter()
            .map(|monitor| (&*monitor.name, definition(monitor)))
            .collect();
        let unchanged: HashMap<&str, bool> = old_fleet
            .monitors
            .iter()
            .map(|old| (&*old.name, definitions.get(&*old.name) == Some(&definition(old))))
            .collect();
        Self::build(new_fleet, now, |identity, monitor| {
            let machine = *kept.get(&(identity.clone(), &*monitor.name))?;
            Some(match unchanged.get(&*monitor.name) {
                Some(true) => Machine::clone(machine),
                _ => Machine::starting(machine.verdict(), machine.cause().clone(), machine.since()),
            })
        })
    }

    /// A table that starts from the verdicts of before the restart, as of `unix_now` seconds.
    pub fn restore(fleet: &Fleet, saved: &SavedHealth, now: Tick, unix_now: u64) -> Self {
        let Ok(age) = saved.age(unix_now) else { return Self::new(fleet, now) };
        let by_place: HashMap<_, &SavedVerdict> =
            saved.verdicts.iter().map(|entry| (entry.place(), entry)).collect();
        Self::build(fleet, now, |identity, monitor| {
            let place = SavedVerdict::place_of(identity, &monitor.name);
            let entry = by_place.get(&place)?;
            // The file is input: a time beyond all clocks means since the beginning.
            let held = age.saturating_add(Duration::from_secs(entry.held_seconds));
            let held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
            let since = Tick(now.0.saturating_sub(held_ms));
            Some(Machine::starting(entry.verdict(), entry.cause.as_str().into(), since))
        })
    }

    /// Builds the table with the machines `known` gives, and new ones where it gives none.
    fn build(
        fleet: &Fleet,
        now: Tick,
        known: impl Fn(&EndpointIdentity, &Monitor) -> Option<Machine>,
    ) -> Self {
        let names: Vec<Arc<str>> =
            fleet.monitors.iter().map(|monitor| monitor.name.as_str().into()).collect();
        let mut rows = Vec::with_capacity(fleet.endpoints.len());
        for endpoint in &fleet.endpoints {
            let identity = EndpointIdentity::of(fleet, endpoint);
            let pool = fleet.pool(endpoint.pool);
            let cell = |id: &MonitorId| {
                let monitor = fleet.monitor(*id);
                let calculated = match &monitor.check {
                    Check::Calculated(rule) => Some(Arc::new(rule.clone())),
                    _ => None,
                };
                Cell {
                    monitor: *id,
                    name: names.get(usize::from(id.0)).cloned().unwrap_or_default(),
                    rules: Rules::from(monitor),
                    machine: known(&identity, monitor).unwrap_or_else(|| Machine::new(now)),
                    calculated,
                    listed: pool.monitors.contains(id),
                }
            };
            let cells = fleet.watched(pool).iter().map(cell).collect();
            rows.push(Row { cells });
        }
        let cells = || rows.iter().flat_map(Row::probed);
        let unobserved = cells().filter(|cell| !cell.machine.is_observed()).count();
        let health = rows.iter().map(|row| row.health(now)).collect();
        Self { rows, health, unobserved }
    }

    /// Takes in the result of one probe. Ids of another fleet change nothing.
    pub fn observe(
        &mut self,
        endpoint: EndpointId,
        monitor: MonitorId,
        outcome: &Outcome,
        now: Tick,
    ) -> Observed {
        let at = endpoint.0 as usize;
        let (Some(row), Some(health)) = (self.rows.get_mut(at), self.health.get_mut(at)) else {
            return Observed::default();
        };
        let Some(cell) = row.cells.iter_mut().find(|cell| cell.monitor == monitor) else {
            return Observed::default();
        };
        if !cell.machine.is_observed() {
            self.unobserved -= 1;
        }
        cell.machine.observe(&cell.rules, outcome, now);
        let new = row.health(now);
        if new == *health {
            return Observed::default();
        }
        let flip = (new.level != health.level).then(|| Flip {
            from: health.level,
            to: new.level,
            cause: new.cause.clone(),
        });
        *health = new;
        Observed { flip, changed: true }
    }

    /// Supposes that an endpoint went down at `now`; for questions of the form "what if".
    pub fn suppose_down(&mut self, endpoint: EndpointId, now: Tick) {
        const CAUSE: &str = "supposed to be down";
        let at = endpoint.0 as usize;
        let (Some(row), Some(health)) = (self.rows.get_mut(at), self.health.get_mut(at)) else {
            return;
        };
        for cell in &mut row.cells {
            let failure = Outcome::failure(CauseKind::Connect, CAUSE);
            for _ in 0..cell.rules.fall {
                cell.machine.observe(&cell.rules, &failure, now);
            }
        }
        *health = row.health(now);
        if health.level != Level::Down {
            // Its monitors cannot take it down, or it has none.
            (health.level, health.cause) = (Level::Down, CAUSE.into());
        }
    }

    /// The health of each endpoint, by [`EndpointId`].
    pub fn endpoints(&self) -> &[EndpointHealth] {
        &self.health
    }

    /// Whether every endpoint has been probed by every monitor since the table was made: the end
    /// of the first probe round. At once true without monitors.
    pub fn is_fully_observed(&self) -> bool {
        self.unobserved == 0
    }

    /// All endpoints and monitors.
    pub fn entries(&self) -> impl Iterator<Item = TableEntry<'_>> {
        (0..).map(EndpointId).zip(&self.rows).flat_map(|(endpoint, row)| {
            row.probed().map(move |cell| TableEntry {
                endpoint,
                monitor: cell.monitor,
                machine: &cell.machine,
            })
        })
    }

    /// What must survive a restart, as of `unix_now` seconds. `fleet` is the table's own.
    pub fn save(&self, fleet: &Fleet, now: Tick, unix_now: u64) -> SavedHealth {
        let mut verdicts = Vec::new();
        for (row, endpoint) in self.rows.iter().zip(&fleet.endpoints) {
            let identity = EndpointIdentity::of(fleet, endpoint);
            let known = row.probed().filter(|c| c.machine.verdict() != Verdict::Unknown);
            verdicts.extend(
                known.map(|cell| SavedVerdict::new(&identity, &cell.name, &cell.machine, now)),
            );
        }
        SavedHealth::new(unix_now, verdicts)
    }
}

impl Row {
    /// The cells that probes report to.
    fn probed(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.calculated.is_none())
    }

    /// What each cell says; those calculated follow from cells before them.
    fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            let verdict = match &cell.calculated {
                Some(rule) => calculate(rule, |id| self.verdict_of(id, &verdicts)),
                None => merge(cell.rules.vantage, [cell.machine.verdict()]),
            };
            verdicts.push(verdict);
        }
        verdicts
    }

    /// The verdict of one monitor among those of the first cells.
    fn verdict_of(&self, monitor: MonitorId, verdicts: &[Verdict]) -> Verdict {
        let found = self.cells.iter().zip(verdicts).find(|(cell, _)| cell.monitor == monitor);
        found.map_or(Verdict::Unknown, |(_, verdict)| *verdict)
    }

    /// Down while any listed monitor says down, else unknown while any does not know, else up.
    fn health(&self, now: Tick) -> EndpointHealth {
        let verdicts = self.verdicts();
        let cells: Vec<(&Cell, Level)> = self
            .cells
            .iter()
            .zip(verdicts.iter().copied().map(Level::from))
            .filter(|(cell, _)| cell.listed)
            .collect();
        let Some((first, _)) = cells.first() else {
            let (level, cause) = (Level::Up, "no monitors".into());
            let (kind, since) = (None, Tick::START);
            return EndpointHealth { level, cause, kind, since, earliest_change: None };
        };
        let level = cells.iter().map(|(_, level)| *level).max().unwrap_or(Level::Unknown);
        let at_level = || cells.iter().filter(|(_, other)| *other == level).map(|(cell, _)| *cell);
        let since = match level {
            // Down since the first monitor said so; up since the last one did.
            Level::Down | Level::Unknown => at_level().map(|cell| self.since(cell)).min(),
            Level::Up => at_level().map(|cell| self.since(cell)).max(),
        };
        let cause = match (level, at_level().next()) {
            (Level::Up, _) if cells.len() > 1 => "all monitors up".into(),
            (_, cell) => {
                let cell = cell.unwrap_or(first);
                let words = match &cell.calculated {
                    Some(rule) => words(rule, |id| self.verdict_of(id, &verdicts)),
                    None => cell.machine.cause().to_string(),
                };
                format!("monitor {}: {words}", cell.name).into()
            }
        };
        let kind = at_level().find_map(|cell| cell.machine.kind());
        EndpointHealth {
            level,
            cause,
            kind,
            since: since.unwrap_or(now),
            earliest_change: self.earliest_change(level, now),
        }
    }

    /// Since when a cell says what it says. What is calculated has changed with one of its own at
    /// the latest.
    fn since(&self, cell: &Cell) -> Tick {
        let Some(rule) = &cell.calculated else { return cell.machine.since() };
        let own = |other: &&Cell| rule.of.iter().any(|(id, _)| *id == other.monitor);
        let latest = self.cells.iter().filter(own).map(|other| self.since(other)).max();
        latest.unwrap_or_else(|| cell.machine.since())
    }

    /// Up ends with the first monitor that says down; down and unknown last at least until the
    /// slowest of the monitors behind them changes.
    fn earliest_change(&self, level: Level, now: Tick) -> Option<Duration> {
        if self.cells.iter().any(|cell| cell.calculated.is_some()) {
            // Whichever changes first may be the one that decides.
            let times = self.probed().map(|cell| cell.machine.earliest_change(&cell.rules, now));
            return times.min();
        }
        let times = |wanted: Verdict| {
            let cells = self.cells.iter().filter(move |c| c.machine.verdict() == wanted);
            cells.map(|cell| cell.machine.earliest_change(&cell.rules, now))
        };
        match level {
            Level::Up => times(Verdict::Up).min(),
            Level::Down => times(Verdict::Down).max(),
            // One failure on any monitor is enough to make it down.
            Level::Unknown => times(Verdict::Unknown).chain(times(Verdict::Up)).min(),
        }
    }
}

/// A monitor's whole definition in words, for comparison: `Regex` knows no equality, and words
/// take in every field, those of later kinds included.
fn definition(monitor: &Monitor) -> String {
    format!("{monitor:?}")
}
