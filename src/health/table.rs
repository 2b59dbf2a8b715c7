//! The health of all endpoints of a fleet.

mod cell;
mod keep;
mod peers;
mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::needs::Needs;
use super::roster::{Roster, Slot};
use super::velocity::Budget;
use super::{
    CauseKind, Council, EndpointHealth, EndpointIdentity, Level, Machine, Outcome, Rules, Subject,
    Verdict,
};
use crate::clock::Tick;
use crate::model::{Calculated, Check, EndpointId, Fleet, Monitor, MonitorId, Node};
pub use cell::Source;
pub(super) use cell::TRAFFIC;
use cell::{Cell, PeerVote};
use row::{Row, RowState};

/// The machines of every endpoint and monitor of one fleet, the votes of other probers, and the
/// health that follows.
///
/// Its size is that of the fleet times the number of its probers. One task owns it; others get
/// copies of [`Self::endpoints`].
#[derive(Clone, Debug)]
pub struct HealthTable {
    /// By [`EndpointId`].
    rows: Vec<Row>,
    /// By [`EndpointId`], derived from `rows` and `forced`.
    health: Vec<EndpointHealth>,
    /// By `PoolId`.
    pools: Vec<PoolRows>,
    /// What endpoints depend on.
    needs: Needs,
    /// Machines no probe has reached yet.
    unobserved: usize,
    roster: Roster,
    /// Derived from `roster`.
    council: Council,
    /// What a vote is about: endpoint and source.
    subjects: HashMap<Subject, (usize, Source)>,
    /// Votes on what this fleet does not have; a peer may know a newer one.
    strangers: HashMap<(Subject, Slot), PeerVote>,
    /// The endpoints that time alone may change.
    dues: BTreeSet<(Tick, usize)>,
    /// Whether the votes of this node differ from those it gave out.
    voted: bool,
}

/// The endpoints of one pool.
#[derive(Clone, Debug)]
struct PoolRows {
    /// Their places in the table.
    range: std::ops::Range<usize>,
    budget: Budget,
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

/// What is no longer as it was: level, cause, votes or earliest change of an endpoint, so that what
/// was compiled from them is out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Its level changed.
    pub flip: Option<Flip>,
}

/// One endpoint and source of observations, for metrics and status.
#[derive(Clone, Copy, Debug)]
pub struct TableEntry<'a> {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Where the observations come from.
    pub source: Source,
    /// What this node knows by itself.
    pub machine: &'a Machine,
}

impl HealthTable {
    /// A table for `fleet` in which nothing is known.
    pub fn new(fleet: &Fleet, now: Tick) -> Self {
        Self::build(fleet, Roster::new(fleet), now, |_, _| None)
    }

    /// Builds the table with the machines `known` gives, and new ones where it gives none.
    fn build(
        fleet: &Fleet,
        roster: Roster,
        now: Tick,
        known: impl Fn(&EndpointIdentity, &Monitor) -> Option<Machine>,
    ) -> Self {
        let names: Vec<Arc<str>> =
            fleet.monitors.iter().map(|monitor| monitor.name.as_str().into()).collect();
        let calculated: Vec<Option<Arc<Calculated>>> = fleet
            .monitors
            .iter()
            .map(|monitor| match &monitor.check {
                Check::Calculated(rule) => Some(Arc::new(rule.clone())),
                _ => None,
            })
            .collect();
        let watched: Vec<Vec<MonitorId>> =
            fleet.pools.iter().map(|pool| fleet.watched(pool)).collect();
        let mut rows = Vec::with_capacity(fleet.endpoints.len());
        let (mut subjects, mut targets) = (HashMap::new(), HashSet::new());
        for (at, endpoint) in fleet.endpoints.iter().enumerate() {
            let identity = EndpointIdentity::of(fleet, endpoint);
            let pool = fleet.pool(endpoint.pool);
            let cell = |id: &MonitorId| {
                let monitor = fleet.monitor(*id);
                let name = names.get(usize::from(id.0)).cloned().unwrap_or_default();
                let machine = known(&identity, monitor).unwrap_or_else(|| Machine::new(now));
                let subject = Subject::of(&identity, &name);
                let source = Source::Monitor(*id);
                let mut cell = Cell::new(source, name, Rules::from(monitor), subject, machine);
                cell.calculated = calculated.get(usize::from(id.0)).cloned().flatten();
                cell.listed = pool.monitors.contains(id);
                cell
            };
            let watched = watched.get(usize::from(endpoint.pool.0));
            let cells: Vec<Cell> = watched.into_iter().flatten().map(cell).collect();
            let traffic = Subject::of_traffic(&identity);
            subjects.insert(traffic, (at, Source::Traffic));
            let probed = cells.iter().filter(|cell| cell.calculated.is_none());
            subjects.extend(probed.map(|cell| (cell.subject, (at, cell.source))));
            let (address, probe) = (&endpoint.address, &endpoint.probe);
            rows.push(Row {
                pool: endpoint.pool,
                region: endpoint.region,
                weight: u64::from(endpoint.weight),
                is_first: targets.insert((address, probe)),
                traffic,
                cells,
                state: RowState::new(Level::Unknown),
                due: None,
            });
        }
        let cells = || rows.iter().flat_map(Row::probed);
        let unobserved = cells().filter(|cell| !cell.machine.is_observed()).count();
        let mut table = Self {
            health: Vec::with_capacity(rows.len()),
            pools: fleet.pools.iter().map(|pool| PoolRows::new(pool, fleet)).collect(),
            needs: Needs::of(fleet),
            rows,
            unobserved,
            council: roster.council(now),
            roster,
            subjects,
            strangers: HashMap::new(),
            dues: BTreeSet::new(),
            voted: true,
        };
        table.begin(now);
        table
    }

    /// Takes what the cells say as what was always so.
    fn begin(&mut self, now: Tick) {
        self.health.clear();
        for row in &mut self.rows {
            row.merge(&self.council, now);
            let health = row.wanted(&self.council, None, now);
            row.state.level = health.level;
            self.health.push(row.overridden(health));
        }
        for at in self.needs.order.clone() {
            let Some(row) = self.rows.get(at) else { continue };
            let own = row.wanted(&self.council, None, now);
            self.needs.settle(at, &self.health);
            let health = self.needs.burden(at, own);
            if let (Some(row), Some(entry)) = (self.rows.get_mut(at), self.health.get_mut(at)) {
                row.state.level = health.level;
                *entry = row.overridden(health);
            }
        }
    }

    /// Says which node's table this is: where it is, and whether it probes.
    pub fn settle(&mut self, node: &Node, now: Tick) {
        self.roster.settle(node);
        if node.probe.is_none() {
            // What it saw before a restart, while it still probed, nobody would ever correct.
            let cells = self.rows.iter_mut().flat_map(|row| &mut row.cells);
            for cell in cells.filter(|cell| !cell.machine.is_observed()) {
                cell.machine = Machine::new(now);
            }
        }
        self.council = self.roster.council(now);
        self.begin(now);
    }

    /// Takes in what one probe or proxied request found. Ids of another fleet change nothing.
    pub fn observe(
        &mut self,
        endpoint: EndpointId,
        source: impl Into<Source>,
        outcome: &Outcome,
        now: Tick,
    ) -> Vec<Change> {
        let (at, source) = (endpoint.0 as usize, source.into());
        let Some(cell) = self.cell(at, source, now) else { return Vec::new() };
        let (was_new, was_failing) = (!cell.machine.is_observed(), cell.failing_since.is_some());
        let changed = cell.observe(outcome, now);
        let is_failing = cell.failing_since.is_some();
        // The first result is news also where it is what was known before a restart: until then
        // nothing was said of it.
        self.voted |= changed || was_new;
        let mut changes = Vec::new();
        if matches!(source, Source::Monitor(_)) {
            self.unobserved -= usize::from(was_new);
            if was_failing != is_failing && self.suspects(now) {
                changes = self.reseat(now);
            }
        }
        self.update(at, now, &mut changes);
        changes
    }

    /// Takes in what proxied requests of the last second say of an endpoint that is in this fleet
    /// and whose pool has monitors: without them it is always up, and nothing else would tell when
    /// it can be sent requests again.
    pub fn proxied(&mut self, subject: Subject, outcome: &Outcome, now: Tick) -> Vec<Change> {
        let known = self.subjects.get(&subject).copied();
        let Some((at, Source::Traffic)) = known else { return Vec::new() };
        let judged = self.rows.get(at).is_some_and(|row| row.probed().next().is_some());
        if !judged {
            return Vec::new();
        }
        self.observe(EndpointId(at as u32), Source::Traffic, outcome, now)
    }

    /// The cell of an endpoint and source; that of proxied traffic is made when it is first needed.
    fn cell(&mut self, at: usize, source: Source, now: Tick) -> Option<&mut Cell> {
        let row = self.rows.get_mut(at)?;
        let nth = match row.cells.iter().position(|cell| cell.source == source) {
            Some(nth) => nth,
            None if source == Source::Traffic => {
                row.cells.push(Cell::traffic(row.traffic, row.region, now));
                row.cells.len() - 1
            }
            None => return None,
        };
        row.cells.get_mut(nth)
    }

    /// Judges one endpoint anew, and those that depend on it.
    fn update(&mut self, at: usize, now: Tick, changes: &mut Vec<Change>) {
        if let Some(change) = self.judge(at, now) {
            changes.push(change);
            self.support(at, now, changes);
        }
    }

    /// Judges those anew that depend on an endpoint which is no longer what it was. The model has
    /// no loops, so this comes to an end.
    fn support(&mut self, at: usize, now: Tick, changes: &mut Vec<Change>) {
        for dependent in self.needs.shaken(at, &self.health) {
            self.update(dependent, now, changes);
        }
    }

    fn judge(&mut self, at: usize, now: Tick) -> Option<Change> {
        let row = self.rows.get_mut(at)?;
        self.voted |= row.cells.iter_mut().any(|cell| cell.lapse(now));
        row.merge(&self.council, now);
        let wanted = row.wanted(&self.council, self.health.get(at), now);
        let wanted = self.needs.burden(at, wanted);
        let falls = wanted.level == Level::Down && row.state.level != Level::Down;
        // What it needs was itself held up as long as `max_removed` says.
        let is_lacking = self.needs.is_lacking(at);
        let surely = row.is_unanimous() || is_lacking;
        let due = row.due;
        let interval = self.pools.get(usize::from(row.pool.0)).map(|pool| pool.budget.interval);
        let may_fall = falls && (surely || self.affords(at, now));
        let row = self.rows.get_mut(at)?;
        let new = row.go(wanted, (may_fall, is_lacking), interval.unwrap_or_default(), now);
        if row.due != due {
            if let Some(due) = due {
                self.dues.remove(&(due, at));
            }
            self.dues.extend(row.due.map(|due| (due, at)));
        }
        let health = self.health.get_mut(at)?;
        if new == *health {
            return None;
        }
        let flip = (new.level != health.level).then(|| Flip {
            from: health.level,
            to: new.level,
            cause: new.cause.clone(),
        });
        *health = new;
        Some(Change { endpoint: EndpointId(at as u32), flip })
    }

    /// Whether the pool of an endpoint can do without it, too.
    fn affords(&self, at: usize, now: Tick) -> bool {
        let row = self.rows.get(at);
        let pool = row.and_then(|row| self.pools.get(usize::from(row.pool.0)));
        let (Some(row), Some(PoolRows { range, budget })) = (row, pool) else { return true };
        let weigh = |row: &Row| if budget.total > 0 { row.weight } else { 0 };
        let fallen = self.rows.get(range.clone()).unwrap_or_default().iter().filter(|row| {
            row.state.level == Level::Down
                && row.state.fell.is_some_and(|at| budget.counts(at, now))
        });
        budget.allows(weigh(row), fallen.map(weigh).sum(), row.state.held, now)
    }

    /// Supposes that an endpoint went down at `now`; for questions of the form "what if".
    pub fn suppose_down(&mut self, endpoint: EndpointId, now: Tick) {
        const CAUSE: &str = "supposed to be down";
        let at = endpoint.0 as usize;
        let Some(row) = self.rows.get_mut(at) else { return };
        for cell in &mut row.cells {
            let failure = Outcome::failure(CauseKind::Connect, CAUSE);
            for _ in 0..cell.rules.fall {
                cell.observe(&failure, now);
            }
        }
        let mut changes = Vec::new();
        self.update(at, now, &mut changes);
        if let Some(health) = self.health.get_mut(at).filter(|h| h.level != Level::Down) {
            // Its monitors cannot take it down, or it has none.
            (health.level, health.cause) = (Level::Down, CAUSE.into());
            self.support(at, now, &mut changes);
        }
    }

    /// The health of each endpoint, by [`EndpointId`].
    pub fn endpoints(&self) -> &[EndpointHealth] {
        &self.health
    }

    /// Who votes, and what may come of it.
    pub fn council(&self) -> &Council {
        &self.council
    }

    /// Whether every endpoint has been probed by every monitor since the table was made: the end
    /// of the first probe round. At once true without monitors.
    pub fn is_fully_observed(&self) -> bool {
        self.unobserved == 0
    }

    /// Whether something is known of every endpoint, be it from before a restart.
    pub fn is_known(&self) -> bool {
        let unknown = |cell: &Cell| {
            matches!(cell.source, Source::Monitor(_)) && cell.settled == Verdict::Unknown
        };
        !self.rows.iter().flat_map(|row| &row.cells).any(unknown)
    }

    /// All endpoints and sources of observations.
    pub fn entries(&self) -> impl Iterator<Item = TableEntry<'_>> {
        (0..).map(EndpointId).zip(&self.rows).flat_map(|(endpoint, row)| {
            row.probed().map(move |cell| TableEntry {
                endpoint,
                source: cell.source,
                machine: &cell.machine,
            })
        })
    }
}

impl PoolRows {
    fn new(pool: &crate::model::Pool, fleet: &Fleet) -> Self {
        let watched = fleet.watched(pool);
        let monitors = watched.iter().map(|id| fleet.monitor(*id));
        let probed = monitors.filter(|monitor| !matches!(monitor.check, Check::Calculated(_)));
        let intervals = probed.map(|monitor| monitor.interval);
        let budget = Budget {
            share: fleet.safety.max_removed,
            interval: intervals.max().unwrap_or(Duration::from_secs(1)),
            total: fleet.endpoints_of(pool).map(|(_, e)| u64::from(e.weight)).sum(),
        };
        Self { range: pool.endpoints.start as usize..pool.endpoints.end as usize, budget }
    }
}
