//! What peers, operators and time alone do to a table, and what it tells peers.

use std::collections::BTreeSet;

use super::{Cell, Change, HealthTable, PeerVote, Slot, Source};
use crate::clock::Tick;
use crate::health::impaired::is_suspect;
use crate::health::{Forced, LocalVotes, PeerEvent, Prober, Subject, Verdict, Vote};

/// Most votes that are kept on what this fleet does not have; further ones are not heard.
const STRANGERS_MAX: usize = 65_536;

impl HealthTable {
    /// Takes in what a peer says, or what is known of it.
    pub fn peers(&mut self, event: &PeerEvent, now: Tick) -> Vec<Change> {
        match event {
            PeerEvent::Votes { prober, votes } => self.votes(prober, votes, now),
            PeerEvent::Standing { prober, standing } => {
                self.roster.stands(prober, *standing, now);
                self.reseat(now)
            }
            PeerEvent::Link { up } => {
                self.roster.linked(*up);
                self.reseat(now)
            }
        }
    }

    /// Does what has become due by `now`.
    pub fn tick(&mut self, now: Tick) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.council.until.is_some_and(|until| until <= now) {
            changes = self.reseat(now);
        }
        while let Some((due, at)) = self.dues.first().copied().filter(|(due, _)| *due <= now) {
            self.dues.remove(&(due, at));
            if let Some(row) = self.rows.get_mut(at) {
                row.due = None;
            }
            self.update(at, now, &mut changes);
        }
        changes
    }

    /// When [`Self::tick`] has something to do; `None`: not before the next event.
    pub fn next_due(&self) -> Option<Tick> {
        let row = self.dues.first().map(|(due, _)| *due);
        row.into_iter().chain(self.council.until).min()
    }

    /// Puts these overrides in force, by endpoint, in place of those before.
    pub fn set_overrides(&mut self, forced: &[Option<Forced>], now: Tick) -> Vec<Change> {
        let mut changes = Vec::new();
        for at in 0..self.rows.len() {
            let new = forced.get(at).cloned().flatten();
            let Some(row) = self.rows.get_mut(at) else { continue };
            if row.state.forced.as_ref().map(|(forced, _)| forced) != new.as_ref() {
                row.state.forced = new.map(|forced| (forced, now));
                self.update(at, now, &mut changes);
            }
        }
        changes
    }

    /// What this node says to its peers.
    pub fn local_votes(&self, now: Tick) -> LocalVotes {
        let votes = self.rows.iter().flat_map(|row| {
            let region = self.roster.region_name(row.region);
            let seen = row.cells.iter().filter(|cell| cell.machine.is_observed());
            let gone = row.cells.iter().filter(|cell| cell.is_silent());
            seen.chain(gone).map(|cell| (region.clone(), cell.local_vote(now)))
        });
        LocalVotes { impaired: self.roster.is_impaired(), votes: votes.collect() }
    }

    /// What this node says, if that is not what it said the last time.
    pub fn take_votes(&mut self, now: Tick) -> Option<LocalVotes> {
        std::mem::take(&mut self.voted).then(|| self.local_votes(now))
    }

    fn votes(&mut self, prober: &Prober, votes: &[Vote], now: Tick) -> Vec<Change> {
        let is_new = !self.roster.knows(prober);
        let Some(slot) = self.roster.slot(prober, now) else { return Vec::new() };
        let mut changes = if is_new { self.reseat(now) } else { Vec::new() };
        let mut touched = BTreeSet::new();
        for vote in votes {
            let new = PeerVote { slot, verdict: vote.verdict, kind: vote.kind };
            touched.extend(self.cast(vote.subject, new, now));
        }
        for at in touched {
            self.update(at, now, &mut changes);
        }
        changes
    }

    /// Puts a vote where it belongs, and says to which endpoint if it says anything new.
    pub(super) fn cast(&mut self, subject: Subject, vote: PeerVote, now: Tick) -> Option<usize> {
        match self.subjects.get(&subject).copied() {
            Some((at, source)) => self.cell(at, source, now)?.cast(vote).then_some(at),
            None if vote.verdict == Verdict::Unknown => {
                self.strangers.remove(&(subject, vote.slot));
                None
            }
            None => {
                let key = (subject, vote.slot);
                if self.strangers.len() < STRANGERS_MAX || self.strangers.contains_key(&key) {
                    self.strangers.insert(key, vote);
                }
                None
            }
        }
    }

    /// Counts again who votes, and judges anew the endpoints to which it matters: in a large fleet
    /// a prober that comes or goes has voted on few of them.
    pub(super) fn reseat(&mut self, now: Tick) -> Vec<Change> {
        let gone = self.roster.forget(now);
        if !gone.is_empty() {
            self.discard(&gone);
        }
        let council = self.roster.council(now);
        let before = std::mem::replace(&mut self.council, council);
        let concerned: Vec<usize> = if !gone.is_empty() || !self.council.counts_alike(&before) {
            (0..self.rows.len()).collect()
        } else {
            self.voted_on_by(&self.council.turned(&before))
        };
        let mut changes = Vec::new();
        for at in concerned {
            self.update(at, now, &mut changes);
        }
        changes
    }

    /// The endpoints on which any of these probers has a vote, given by slot.
    fn voted_on_by(&self, turned: &[bool]) -> Vec<usize> {
        if !turned.contains(&true) {
            return Vec::new();
        }
        let concerned = |row: &super::Row| {
            let mut votes = row.cells.iter().flat_map(|cell| &cell.ballot);
            votes.any(|vote| turned.get(usize::from(vote.slot)) == Some(&true))
        };
        let at = |(at, row)| concerned(row).then_some(at);
        self.rows.iter().enumerate().filter_map(at).collect()
    }

    /// Forgets the votes of probers whose slots others will get.
    fn discard(&mut self, gone: &[Slot]) {
        let kept = |slot: Slot| !gone.contains(&slot);
        for cell in self.rows.iter_mut().flat_map(|row| &mut row.cells) {
            cell.ballot.retain(|vote| kept(vote.slot));
        }
        self.strangers.retain(|(_, slot), _| kept(*slot));
    }

    /// Looks whether it is this node that is ill; `true`: that has changed.
    pub(super) fn suspects(&mut self, now: Tick) -> bool {
        let before = self.roster.suspect;
        let sights = self.rows.iter().filter_map(super::Row::sight);
        self.roster.suspect = is_suspect(before, self.council.own, sights, now);
        self.voted |= self.roster.suspect != before;
        self.roster.suspect != before
    }
}

impl Cell {
    /// Whether it said something that it no longer says.
    fn is_silent(&self) -> bool {
        self.source == Source::Traffic && !self.machine.is_observed()
    }

    fn local_vote(&self, now: Tick) -> Vote {
        Vote {
            subject: self.subject,
            verdict: self.machine.verdict(),
            kind: self.machine.kind(),
            held: now.since(self.machine.since()),
        }
    }

    /// Takes in the vote of another prober; one that does not know takes back what it said before.
    /// `false`: it has said the same before.
    fn cast(&mut self, vote: PeerVote) -> bool {
        let known = vote.verdict != Verdict::Unknown;
        match self.ballot.binary_search_by_key(&vote.slot, |vote| vote.slot) {
            Ok(at) if known => {
                let Some(old) = self.ballot.get_mut(at) else { return false };
                std::mem::replace(old, vote) != vote
            }
            Ok(at) => {
                self.ballot.remove(at);
                true
            }
            Err(at) if known => {
                self.ballot.insert(at, vote);
                true
            }
            Err(_) => false,
        }
    }
}
