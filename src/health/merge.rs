//! Verdicts become one in two levels: probers speak for their region, regions for the fleet.

#[cfg(test)]
mod explorer;
#[cfg(test)]
mod tests;

use super::Verdict;
use crate::model::Vantage;

/// Where other regions probe, too, this many must say down, whatever the rule: one of them may be
/// wrong.
const DOWN_VOTES_MIN: usize = 2;

/// What the probers of one region say together: what most of those say that know; up when they are
/// even, since a wrong down costs more than a wrong up.
pub fn regional(votes: impl IntoIterator<Item = Verdict>) -> Verdict {
    let poll = Poll::of(votes, Verdict::Unknown);
    match (poll.up, poll.down) {
        (0, 0) => Verdict::Unknown,
        (up, down) if down > up => Verdict::Down,
        _ => Verdict::Up,
    }
}

/// What the voting regions say of one endpoint and monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Regions that say up.
    pub up: usize,
    /// Regions that say down.
    pub down: usize,
    /// What is seen from this node's own region, also while that has no vote; unknown: nothing is.
    pub own: Verdict,
}

impl Poll {
    /// Counts verdicts; those that do not know do not vote.
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>, own: Verdict) -> Self {
        let mut poll = Self { up: 0, down: 0, own };
        for verdict in verdicts {
            match verdict {
                Verdict::Up => poll.up += 1,
                Verdict::Down => poll.down += 1,
                Verdict::Unknown => {}
            }
        }
        poll
    }

    /// Regions that vote.
    pub fn voting(&self) -> usize {
        self.up + self.down
    }

    /// Whether all that vote say down.
    pub fn is_unanimously_down(&self) -> bool {
        self.up == 0 && self.down > 0
    }
}

/// What may come of a vote, given who can be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quorum {
    /// One probing region is known, if any: it decides alone.
    Sole,
    /// Two or more are known, and enough of them heard.
    Full,
    /// The same, but so many probers were lost at once that the ways between the nodes are
    /// suspected: nothing goes down.
    NoRemovals,
    /// Too few are heard: what was settled before is frozen.
    Lost,
}

/// What is held true of one endpoint and monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Merged {
    /// What the last vote with a quorum came to.
    pub settled: Verdict,
    /// What holds: what is settled, or less certain where the own region contradicts it.
    pub shown: Verdict,
}

/// What the fleet holds true, from the poll and what was settled before.
pub fn merged(rule: Vantage, poll: Poll, quorum: Quorum, before: Verdict) -> Merged {
    let all = |settled| Merged { settled, shown: settled };
    match quorum {
        Quorum::Sole if poll.voting() == 0 => all(before),
        Quorum::Sole => all(if poll.down > poll.up { Verdict::Down } else { Verdict::Up }),
        Quorum::Full if poll.voting() >= DOWN_VOTES_MIN => all(vote(rule, poll)),
        Quorum::NoRemovals if poll.voting() >= DOWN_VOTES_MIN => match vote(rule, poll) {
            Verdict::Down => all(before),
            other => all(other),
        },
        Quorum::Full | Quorum::NoRemovals | Quorum::Lost => {
            Merged { settled: before, shown: doubted(before, poll.own) }
        }
    }
}

/// Down by the rule and by two regions at least, else up.
fn vote(rule: Vantage, poll: Poll) -> Verdict {
    let by_rule = match rule {
        Vantage::Any => true,
        Vantage::Majority => poll.down > poll.up,
        Vantage::All => poll.up == 0,
        // More regions than vote cannot be asked for, or nothing would ever go down.
        Vantage::AtLeast(number) => poll.down >= usize::from(number).min(poll.voting()),
    };
    if by_rule && poll.down >= DOWN_VOTES_MIN { Verdict::Down } else { Verdict::Up }
}

/// What was settled, as it looks to a region that nobody can contradict. Alone it can neither take
/// down nor bring up what the fleet once settled; it can only make it rank lower or higher.
fn doubted(settled: Verdict, own: Verdict) -> Verdict {
    match (settled, own) {
        (Verdict::Up, Verdict::Down) | (Verdict::Down, Verdict::Up) => Verdict::Unknown,
        // Nothing was settled, and up takes nothing from anyone.
        (Verdict::Unknown, Verdict::Up) => Verdict::Up,
        _ => settled,
    }
}
