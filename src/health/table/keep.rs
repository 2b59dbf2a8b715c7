//! What of a table outlasts a reload and a restart.

use std::collections::HashMap;
use std::time::Duration;

use super::{Cell, EndpointIdentity, HealthTable, Machine, Roster, Row, Source};
use crate::clock::Tick;
use crate::health::{EndpointHealth, SavedHealth, SavedProber, SavedVerdict, Verdict};
use crate::model::{Fleet, Monitor};

impl HealthTable {
    /// The table for a reloaded fleet: machines of unchanged endpoints and monitors go on as they
    /// are, and votes on them count on. Where only the monitor's definition changed, its verdict is
    /// kept as the starting point: forgetting it would make a dead endpoint eligible until the next
    /// probe.
    pub fn carry_over(old: &Self, old_fleet: &Fleet, new_fleet: &Fleet, now: Tick) -> Self {
        let mut kept = HashMap::new();
        let mut rows = HashMap::new();
        for (row, endpoint) in old.rows.iter().zip(&old_fleet.endpoints) {
            let identity = EndpointIdentity::of(old_fleet, endpoint);
            for cell in &row.cells {
                kept.insert((identity.clone(), &*cell.name), &cell.machine);
            }
            rows.insert(identity, row);
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
        let roster = old.roster.carried_to(new_fleet);
        let mut table = Self::build(new_fleet, roster, now, |identity, monitor| {
            let machine = *kept.get(&(identity.clone(), &*monitor.name))?;
            Some(match unchanged.get(&*monitor.name) {
                Some(true) => Machine::clone(machine),
                _ => Machine::starting(machine.verdict(), machine.cause().clone(), machine.since()),
            })
        });
        for (row, endpoint) in table.rows.iter_mut().zip(&new_fleet.endpoints) {
            if let Some(old) = rows.get(&EndpointIdentity::of(new_fleet, endpoint)) {
                row.continue_from(old);
            }
        }
        table.cast_again(old, now);
        table.begin_again(now);
        table.keep_ages((old, old_fleet), new_fleet);
        table
    }

    /// Goes on counting the ages of what regions say, who may have other numbers now.
    fn keep_ages(&mut self, (old, old_fleet): (&Self, &Fleet), fleet: &Fleet) {
        let earlier = old_fleet.endpoints.iter().zip(&old.health);
        let earlier: HashMap<EndpointIdentity, &EndpointHealth> =
            earlier.map(|(one, health)| (EndpointIdentity::of(old_fleet, one), health)).collect();
        for (endpoint, health) in fleet.endpoints.iter().zip(&mut self.health) {
            let Some(before) = earlier.get(&EndpointIdentity::of(fleet, endpoint)) else {
                continue;
            };
            let mut votes = health.votes.to_vec();
            for vote in &mut votes {
                let name = &fleet.region(vote.region).name;
                let same = before.votes.iter().find(|one| {
                    one.verdict == vote.verdict && old_fleet.region(one.region).name == *name
                });
                vote.since = same.map_or(vote.since, |one| one.since);
            }
            health.votes = votes.into();
        }
    }

    /// Casts the votes that an older table holds in this one.
    fn cast_again(&mut self, old: &Self, now: Tick) {
        let cells = old.rows.iter().flat_map(|row| &row.cells);
        let known = cells.flat_map(|cell| cell.ballot.iter().map(|vote| (cell.subject, *vote)));
        let strangers = old.strangers.iter().map(|((subject, _), vote)| (*subject, *vote));
        for (subject, vote) in known.chain(strangers) {
            self.cast(subject, vote, now);
        }
    }

    /// Judges all endpoints anew without having gone through anything.
    fn begin_again(&mut self, now: Tick) {
        let levels: Vec<_> = self.rows.iter().map(|row| row.state.level).collect();
        self.begin(now);
        for (row, level) in self.rows.iter_mut().zip(levels) {
            row.state.level = level;
        }
        let mut changes = Vec::new();
        for at in 0..self.rows.len() {
            self.update(at, now, &mut changes);
        }
    }

    /// A table that starts from the verdicts of before the restart, as of `unix_now` seconds, as
    /// far as they still tell anything.
    pub fn restore(fleet: &Fleet, saved: &SavedHealth, now: Tick, unix_now: u64) -> Self {
        // A clock that was set back leaves open how old the verdicts are. That others probe is as
        // true as before; without it this node would decide alone until it hears them.
        let age = Duration::from_secs(unix_now.saturating_sub(saved.saved_at()));
        let verdicts: &[SavedVerdict] =
            if saved.age(unix_now).is_ok() { &saved.verdicts } else { &[] };
        // The file is input: a time beyond all clocks means since the beginning.
        let before = |seconds: u64| {
            let held = age.saturating_add(Duration::from_secs(seconds));
            Tick(now.0.saturating_sub(u64::try_from(held.as_millis()).unwrap_or(u64::MAX)))
        };
        let by_place: HashMap<_, &SavedVerdict> =
            verdicts.iter().map(|entry| (entry.place(), entry)).collect();
        let mut roster = Roster::new(fleet);
        for prober in &saved.probers {
            roster.remember(&prober.prober(), before(prober.age_seconds));
        }
        roster.forget(now);
        let mut table = Self::build(fleet, roster, now, |identity, monitor| {
            let entry = by_place.get(&SavedVerdict::place_of(identity, &monitor.name))?;
            let since = before(entry.held_seconds);
            Some(Machine::starting(entry.verdict(), entry.cause.as_str().into(), since))
        });
        for (row, endpoint) in table.rows.iter_mut().zip(&fleet.endpoints) {
            let identity = EndpointIdentity::of(fleet, endpoint);
            for cell in &mut row.cells {
                let place = SavedVerdict::place_of(&identity, &cell.name);
                let merged = by_place.get(&place).and_then(|entry| entry.merged());
                if saved.tells_merged() {
                    cell.settled = merged.unwrap_or(Verdict::Unknown);
                }
            }
        }
        table.begin(now);
        table
    }

    /// What must survive a restart, as of `unix_now` seconds. `fleet` is the table's own.
    pub fn save(&self, fleet: &Fleet, now: Tick, unix_now: u64) -> SavedHealth {
        let mut verdicts = Vec::new();
        for (row, endpoint) in self.rows.iter().zip(&fleet.endpoints) {
            let identity = EndpointIdentity::of(fleet, endpoint);
            let known = row.cells.iter().filter(|cell| {
                let unknown = [cell.machine.verdict(), cell.settled] == [Verdict::Unknown; 2];
                matches!(cell.source, Source::Monitor(_)) && !unknown
            });
            verdicts.extend(known.map(|cell| {
                SavedVerdict::new(&identity, &cell.name, &cell.machine, cell.settled, now)
            }));
        }
        let heard = self.roster.heard(now);
        let probers = heard.map(|(prober, age)| SavedProber::new(prober, age)).collect();
        SavedHealth::new(unix_now, verdicts, probers)
    }
}

impl Row {
    /// Goes on as an endpoint of before the reload.
    fn continue_from(&mut self, old: &Row) {
        self.state = old.state.clone();
        for cell in &mut self.cells {
            if let Some(old) = old.cells.iter().find(|other| other.name == cell.name) {
                cell.continue_from(old);
            }
        }
        let traffic = old.cells.iter().find(|cell| cell.source == Source::Traffic);
        self.cells.extend(traffic.cloned());
    }
}

impl Cell {
    /// Goes on as a cell of before the reload, but for the machine.
    fn continue_from(&mut self, old: &Cell) {
        (self.settled, self.shown, self.since) = (old.settled, old.shown, old.since);
        self.failing_since = old.failing_since;
    }
}

/// A monitor's whole definition in words, for comparison: `Regex` knows no equality, and words
/// take in every field, those of later kinds included.
fn definition(monitor: &Monitor) -> String {
    format!("{monitor:?}")
}
