//! The pages that this node writes: which vote stands on which, and when each is sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::beat::digest;
use super::page::{Page, VOTES_MAX};
use super::subject::PAGES_MAX;
use crate::clock::Tick;
use crate::health::{CauseKind, Prober, Subject, Verdict, Vote};

/// A change waits this long for others on its page.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// A page is sent again on request after this long at the soonest.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Pages sent at a time, so that a node with many does not overrun the engine.
const BATCH_MAX: usize = 256;
/// Pages that are due beyond [`BATCH_MAX`] go out after this.
pub(super) const BATCH_PAUSE: Duration = Duration::from_millis(20);
/// A vote whose beginning seems to have moved by less than this has not changed: ages are told in
/// whole seconds.
pub(super) const HELD_SLACK: Duration = Duration::from_secs(2);

/// What is said of one subject.
#[derive(Clone, Copy)]
struct Said {
    verdict: Verdict,
    kind: Option<CauseKind>,
    since: Tick,
}

/// One page.
struct Slot {
    target: Arc<str>,
    votes: BTreeMap<Subject, Said>,
    /// 0: never sent.
    seq: u64,
    /// When it first differed from what was sent last.
    changed: Option<Tick>,
    refresh: Tick,
    /// Somebody lacks it.
    wanted: bool,
    sent: Option<Tick>,
}

/// The pages of one writer. A vote stays on its page for as long as it is cast, so that a change
/// concerns one page.
pub(super) struct Writer {
    epoch: u64,
    refresh: Duration,
    slots: Vec<Slot>,
    places: HashMap<Subject, u32>,
    /// Pages of a target that had room when they were noted, and empty pages of any.
    roomy: HashMap<Arc<str>, Vec<u32>>,
    empty: Vec<u32>,
    /// Votes for which there was no page.
    pub(super) overflow: u64,
}

impl Writer {
    /// A writer that has said nothing; each page is sent again every `refresh`.
    pub(super) fn new(epoch: u64, refresh: Duration) -> Self {
        let (slots, places, roomy) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { epoch, refresh, slots, places, roomy, empty: Vec::new(), overflow: 0 }
    }

    /// Takes over all votes there are now.
    pub(super) fn update(
        &mut self,
        votes: &[(Arc<str>, Vote)],
        now: Tick,
        rng: &mut fastrand::Rng,
    ) {
        let cast: HashSet<Subject> = votes.iter().map(|(_, vote)| vote.subject).collect();
        let gone: Vec<Subject> =
            self.places.keys().filter(|subject| !cast.contains(subject)).copied().collect();
        for subject in gone {
            self.withdraw(subject, now);
        }
        for (target, vote) in votes {
            let since = Tick(now.0.saturating_sub(vote.held.as_millis() as u64));
            let said = Said { verdict: vote.verdict, kind: vote.kind, since };
            self.cast(target, vote.subject, said, now, rng);
        }
    }

    fn withdraw(&mut self, subject: Subject, now: Tick) {
        let Some(page) = self.places.remove(&subject) else { return };
        let Some(slot) = self.slots.get_mut(page as usize) else { return };
        slot.votes.remove(&subject);
        slot.changed.get_or_insert(now);
        if slot.votes.is_empty() {
            self.empty.push(page);
        } else {
            self.roomy.entry(slot.target.clone()).or_default().push(page);
        }
    }

    fn cast(
        &mut self,
        target: &Arc<str>,
        subject: Subject,
        said: Said,
        now: Tick,
        rng: &mut fastrand::Rng,
    ) {
        let known = self.places.get(&subject).copied();
        let Some(page) = known.or_else(|| self.room(target, now, rng)) else {
            self.overflow += 1;
            return;
        };
        self.places.insert(subject, page);
        let Some(slot) = self.slots.get_mut(page as usize) else { return };
        let before = slot.votes.insert(subject, said);
        let same = before.is_some_and(|before| {
            let moved = before.since.since(said.since).max(said.since.since(before.since));
            before.verdict == said.verdict && before.kind == said.kind && moved < HELD_SLACK
        });
        if !same {
            slot.changed.get_or_insert(now);
        } else if let Some(before) = before {
            // Small steps must not add up unseen.
            slot.votes.insert(subject, before);
        }
    }

    /// A page with room for a vote on an endpoint of `target`; `None`: there are too many pages.
    fn room(&mut self, target: &Arc<str>, now: Tick, rng: &mut fastrand::Rng) -> Option<u32> {
        let roomy = self.roomy.entry(target.clone()).or_default();
        while let Some(page) = roomy.last() {
            // What was noted may be full by now, or of another target.
            let slot = self.slots.get(*page as usize);
            if slot.is_some_and(|s| s.target == *target && s.votes.len() < VOTES_MAX) {
                return Some(*page);
            }
            roomy.pop();
        }
        while let Some(page) = self.empty.pop() {
            if let Some(slot) = self.slots.get_mut(page as usize)
                && slot.votes.is_empty()
            {
                slot.target = target.clone();
                roomy.push(page);
                return Some(page);
            }
        }
        let page = u32::try_from(self.slots.len()).ok().filter(|page| *page < PAGES_MAX)?;
        // Spread over the period, so that every second sends about as much as any other.
        let phase = Duration::from_millis(rng.u64(0..self.refresh.as_millis().max(1) as u64));
        self.slots.push(Slot {
            target: target.clone(),
            votes: BTreeMap::new(),
            seq: 0,
            changed: Some(now),
            refresh: now + phase,
            wanted: false,
            sent: None,
        });
        roomy.push(page);
        Some(page)
    }

    /// Notes that somebody lacks these pages; none: all of them.
    pub(super) fn want(&mut self, pages: &[u32]) {
        if pages.is_empty() {
            self.slots.iter_mut().for_each(|slot| slot.wanted = true);
        }
        for page in pages {
            if let Some(slot) = self.slots.get_mut(*page as usize) {
                slot.wanted = true;
            }
        }
    }

    /// The pages that are due, with their numbers; each is then taken as sent.
    pub(super) fn due(&mut self, me: &Prober, now: Tick) -> Vec<(u32, Page)> {
        let mut pages = Vec::new();
        for (slot, number) in self.slots.iter_mut().zip(0..) {
            if slot.due() > now {
                continue;
            }
            if pages.len() == BATCH_MAX {
                break;
            }
            if slot.changed.take().is_some() {
                slot.seq += 1;
            }
            if slot.refresh <= now {
                let next = slot.refresh + self.refresh;
                slot.refresh = if next > now { next } else { now + self.refresh };
            }
            (slot.wanted, slot.sent) = (false, Some(now));
            pages.push((number, slot.page(me, self.epoch, now)));
        }
        pages
    }

    /// When the next page is due; `None`: there are no pages.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.slots.iter().map(Slot::due).min()
    }

    /// How many pages there are, and the digest of what they hold.
    pub(super) fn contents(&self) -> (u32, u64) {
        let sequences = self.slots.iter().map(|slot| slot.seq);
        (self.slots.len() as u32, digest(sequences))
    }

    /// The sequence number of a page; 0: there is none, or it was never sent.
    pub(super) fn seq(&self, page: u32) -> u64 {
        self.slots.get(page as usize).map_or(0, |slot| slot.seq)
    }
}

impl Slot {
    fn due(&self) -> Tick {
        let changed = self.changed.map(|changed| changed + DEBOUNCE);
        let wanted = self.wanted.then(|| self.sent.map_or(Tick(0), |sent| sent + AGAIN_AFTER));
        [changed, wanted].into_iter().flatten().fold(self.refresh, Tick::min)
    }

    fn page(&self, me: &Prober, epoch: u64, now: Tick) -> Page {
        let vote = |(subject, said): (&Subject, &Said)| {
            let (verdict, kind, held) = (said.verdict, said.kind, now.since(said.since));
            Vote { subject: *subject, verdict, kind, held }
        };
        let (writer, seq, target) = (me.clone(), self.seq, self.target.to_string());
        Page { writer, epoch, seq, target, votes: self.votes.iter().map(vote).collect() }
    }
}
