//! One endpoint as seen through one source of observations, here and in other regions.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::health::roster::Slot;
use crate::health::{
    CauseKind, Council, Machine, Outcome, Poll, Quorum, Rules, Subject, Verdict, calculate, merged,
    regional,
};
use crate::model::{Calculated, MonitorId, RegionId, Vantage};

/// What proxied traffic is called beside the monitors, whose names have no spaces.
pub(in crate::health) const TRAFFIC: &str = "proxied traffic";

/// What proxied traffic says lasts no longer than this without more of it: an endpoint that gets
/// none because it is down would never come up.
const TRAFFIC_FOR: Duration = Duration::from_secs(30);

/// How proxied requests take an endpoint down and bring it up: so many seconds in which most of
/// them fail, or do not, tell as much as a few probes do.
const TRAFFIC_RULES: Rules = Rules {
    interval: Duration::from_secs(1),
    fall: 5,
    rise: 5,
    hold_down: Duration::from_secs(10),
    vantage: Vantage::Majority,
};

/// Where observations come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Probes of a monitor.
    Monitor(MonitorId),
    /// Proxied requests.
    Traffic,
}

impl From<MonitorId> for Source {
    fn from(monitor: MonitorId) -> Self {
        Self::Monitor(monitor)
    }
}

/// One endpoint and source.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) source: Source,
    pub(super) name: Arc<str>,
    pub(super) rules: Rules,
    pub(super) subject: Subject,
    /// The region of the endpoint, where its proxied requests are what is observed.
    home: Option<RegionId>,
    pub(super) machine: Machine,
    /// How it follows from the cells before it; its machine then says nothing.
    pub(super) calculated: Option<Arc<Calculated>>,
    /// Whether the endpoint goes by it; else only by what is calculated from it.
    pub(super) listed: bool,
    /// Votes of other probers, by slot.
    pub(super) ballot: Vec<PeerVote>,
    /// What the last vote with a quorum came to.
    pub(super) settled: Verdict,
    /// What holds.
    pub(super) shown: Verdict,
    /// Since when.
    pub(super) since: Tick,
    /// Since when all results were failures; `None`: the last one was not.
    pub(super) failing_since: Option<Tick>,
    /// When the last result came.
    observed_at: Tick,
    /// What the voting regions say.
    regions: Vec<(RegionId, Verdict)>,
    poll: Poll,
}

/// The vote of another prober.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerVote {
    pub(super) slot: Slot,
    pub(super) verdict: Verdict,
    pub(super) kind: Option<CauseKind>,
}

impl Cell {
    /// A cell that nobody voted on.
    pub(super) fn new(
        source: Source,
        name: Arc<str>,
        rules: Rules,
        subject: Subject,
        machine: Machine,
    ) -> Self {
        let (shown, since) = (machine.verdict(), machine.since());
        Self {
            source,
            name,
            rules,
            subject,
            home: None,
            machine,
            calculated: None,
            listed: true,
            ballot: Vec::new(),
            settled: shown,
            shown,
            since,
            failing_since: None,
            observed_at: since,
            regions: Vec::new(),
            poll: Poll::of([], Verdict::Unknown),
        }
    }

    /// A cell for proxied traffic.
    pub(super) fn traffic(subject: Subject, home: RegionId, now: Tick) -> Self {
        let machine = Machine::new(now);
        let new = Self::new(Source::Traffic, TRAFFIC.into(), TRAFFIC_RULES, subject, machine);
        Self { home: Some(home), ..new }
    }

    /// Takes in a result; `true`: the own verdict changed.
    pub(super) fn observe(&mut self, outcome: &Outcome, now: Tick) -> bool {
        self.observed_at = now;
        let begins = self.source == Source::Traffic && self.machine.verdict() == Verdict::Unknown;
        if begins && matches!(outcome, Outcome::Failure { .. }) {
            // Unlike a probe's, one request's failure may well be its own fault.
            self.machine = Machine::starting(Verdict::Up, "few requests failed".into(), now);
            self.machine.observe(&self.rules, outcome, now);
            return true;
        }
        self.failing_since = match outcome {
            Outcome::Success | Outcome::Unknown(_) => None,
            Outcome::Failure { .. } => self.failing_since.or(Some(now)),
            Outcome::Missed(_) => self.failing_since,
        };
        self.machine.observe(&self.rules, outcome, now)
    }

    /// Counts the votes anew.
    pub(super) fn merge(&mut self, council: &Council, now: Tick) {
        let own = self.machine.verdict();
        if council.is_alone() {
            self.regions.clear();
            self.regions.extend((own != Verdict::Unknown).then_some((council.own, own)));
            self.poll = Poll::of([own], own);
        } else {
            self.regions = self.regional(council);
            let of_own = self.regions.iter().find(|(region, _)| *region == council.own);
            let own = of_own.map_or(own, |(_, verdict)| *verdict);
            self.poll = Poll::of(self.regions.iter().map(|(_, verdict)| *verdict), own);
        }
        let mut new = merged(self.rules.vantage, self.poll, self.quorum(council), self.settled);
        if self.source == Source::Traffic && self.poll.voting() == 0 {
            // Nobody sends any; probes judge alone.
            (new.settled, new.shown) = (Verdict::Unknown, Verdict::Unknown);
        }
        self.settled = new.settled;
        if council.is_alone() && new.shown == own {
            self.since = self.machine.since();
        } else if new.shown != self.shown {
            self.since = now;
        }
        self.shown = new.shown;
    }

    /// Takes what follows from the cells before it, which are `members` among others.
    pub(super) fn follow(
        &mut self,
        rule: &Calculated,
        members: &[Cell],
        council: &Council,
        now: Tick,
    ) {
        let member = |id: MonitorId| members.iter().find(|cell| cell.source == id.into());
        let shown = calculate(rule, |id| member(id).map_or(Verdict::Unknown, |cell| cell.shown));
        let mut regions: Vec<RegionId> = members
            .iter()
            .flat_map(|cell| cell.regions.iter().map(|(region, _)| *region))
            .collect();
        regions.sort();
        regions.dedup();
        let says = |region: RegionId, id: MonitorId| {
            let said = member(id)?.regions.iter().find(|(other, _)| *other == region)?;
            Some(said.1)
        };
        self.regions.clear();
        self.regions.extend(regions.into_iter().filter_map(|region| {
            let verdict = calculate(rule, |id| says(region, id).unwrap_or(Verdict::Unknown));
            (verdict != Verdict::Unknown).then_some((region, verdict))
        }));
        self.poll = Poll::of(self.regions.iter().map(|(_, verdict)| *verdict), shown);
        if council.is_alone() {
            // It has changed with one of its own at the latest.
            let own = rule.of.iter().filter_map(|(id, _)| member(*id));
            self.since = own.map(|cell| cell.since).max().unwrap_or(now);
        } else if shown != self.shown {
            self.since = now;
        }
        self.shown = shown;
    }

    /// What may come of its votes. The requests of an endpoint mostly pass through the proxies of
    /// its own region alone, which then decide alone; those of another region cannot.
    fn quorum(&self, council: &Council) -> Quorum {
        match (self.source, council.quorum, &self.regions[..]) {
            (Source::Traffic, Quorum::Full, [(region, _)]) if Some(*region) == self.home => {
                Quorum::Sole
            }
            (_, quorum, _) => quorum,
        }
    }

    /// What each region says that has a vote.
    fn regional(&self, council: &Council) -> Vec<(RegionId, Verdict)> {
        let own = council.own_votes.then_some((council.own, self.machine.verdict()));
        let others = self.ballot.iter().filter_map(|vote| {
            let region = council.voters.get(usize::from(vote.slot)).copied().flatten()?;
            Some((region, vote.verdict))
        });
        let mut votes: Vec<_> = own.into_iter().chain(others).collect();
        votes.sort_by_key(|(region, _)| *region);
        let regions = votes.chunk_by(|a, b| a.0 == b.0).filter_map(|votes| {
            let (region, _) = votes.first()?;
            Some((*region, regional(votes.iter().map(|(_, verdict)| *verdict))))
        });
        regions.filter(|(_, verdict)| *verdict != Verdict::Unknown).collect()
    }

    /// What the voting regions say.
    pub(super) fn regions(&self) -> &[(RegionId, Verdict)] {
        &self.regions
    }

    /// Whether it has a say at the moment.
    pub(super) fn counts(&self) -> bool {
        self.listed && (self.source != Source::Traffic || self.shown != Verdict::Unknown)
    }

    /// Whether all who vote say down.
    pub(super) fn is_unanimous(&self) -> bool {
        self.shown == Verdict::Down && self.poll.is_unanimously_down()
    }

    /// Takes back what it says by itself when that holds no longer; `true`: it did.
    pub(super) fn lapse(&mut self, now: Tick) -> bool {
        let lapsed = self.lapses().is_some_and(|at| at <= now);
        if lapsed {
            self.machine = Machine::new(now);
        }
        lapsed
    }

    /// When what it says by itself no longer holds; `None`: until the next result.
    pub(super) fn lapses(&self) -> Option<Tick> {
        let says = self.source == Source::Traffic && self.machine.verdict() != Verdict::Unknown;
        says.then(|| self.observed_at + TRAFFIC_FOR)
    }

    /// The sort of failure while it is down.
    pub(super) fn kind(&self) -> Option<CauseKind> {
        let theirs = || self.ballot.iter().filter(|v| v.verdict == Verdict::Down);
        match self.shown {
            Verdict::Up => None,
            _ => self.machine.kind().or_else(|| theirs().find_map(|vote| vote.kind)),
        }
    }

    /// The sort of failure that one region tells of, whose vote counts.
    pub(super) fn kind_in(&self, region: RegionId, council: &Council) -> Option<CauseKind> {
        let own = council.own_votes && council.own == region;
        let own = own.then(|| self.machine.kind()).flatten();
        own.or_else(|| {
            let is_of = |vote: &&PeerVote| {
                let voter = council.voters.get(usize::from(vote.slot));
                vote.verdict == Verdict::Down && voter == Some(&Some(region))
            };
            self.ballot.iter().filter(is_of).find_map(|vote| vote.kind)
        })
    }

    /// Why it says what it says, in words.
    pub(super) fn cause(&self, council: &Council) -> String {
        let is_monitor = self.source != Source::Traffic;
        let mut text = format!("{}{}: ", if is_monitor { "monitor " } else { "" }, self.name);
        match (self.shown, self.machine.verdict()) {
            (Verdict::Down, Verdict::Up | Verdict::Unknown) if !council.is_alone() => {
                text.push_str(self.kind().map_or("down elsewhere", CauseKind::as_str));
            }
            (Verdict::Up, Verdict::Unknown) if !council.is_alone() => text.push_str("up elsewhere"),
            _ => text.push_str(self.machine.cause()),
        }
        let (down, voting) = (self.poll.down, self.poll.voting());
        // Writing into a string cannot fail.
        let _ = match self.quorum(council) {
            Quorum::Sole => Ok(()),
            quorum if quorum == Quorum::Lost || voting < 2 => {
                write!(text, " (no quorum, last settled {})", self.settled.as_str())
            }
            _ if down > 0 => write!(text, " (down in {down} of {voting} regions)"),
            _ => Ok(()),
        };
        text
    }

    /// The shortest time in which what it says could change. Where others vote, too, it is an
    /// estimate: they see the same endpoint, so this node's own results stand for theirs.
    pub(super) fn earliest_change(&self, council: &Council, now: Tick) -> Duration {
        let own = self.machine.earliest_change(&self.rules, now);
        if self.quorum(council) == Quorum::Sole {
            return own;
        }
        let nominal = |results: u32| self.rules.interval.saturating_mul(results);
        let agrees = self.machine.verdict() == self.shown;
        match self.shown {
            Verdict::Unknown => Duration::ZERO,
            // The next vote may be the one that decides.
            Verdict::Up if self.poll.down > 0 => nominal(1),
            Verdict::Down if self.poll.up > 0 => nominal(1),
            _ if agrees => own,
            Verdict::Up => nominal(self.rules.fall),
            Verdict::Down => nominal(self.rules.rise),
        }
    }
}
