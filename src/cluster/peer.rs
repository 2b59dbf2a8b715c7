//! What is known of one other writer: its pages, and whether it lives.

use std::collections::BTreeMap;
use std::time::Duration;

use super::beat::{Beat, digest};
use super::need::{NAMED_MAX, Need};
use super::page::Page;
use super::wire::Dropped;
use super::writer::HELD_SLACK;
use crate::clock::Tick;
use crate::health::{Standing, Subject, Verdict, Vote};

/// Without a beat for this long a writer is late.
const LATE: Duration = Duration::from_secs(10);
/// Without a beat for this long a writer is dead.
const DEAD: Duration = Duration::from_secs(20);
/// Who is silent for this long is forgotten, with its votes; until then people are told that it is
/// missing.
pub(super) const FORGET: Duration = Duration::from_secs(20 * 60);
/// Pages under way when a beat arrives get this long to arrive.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// A writer is asked for pages this often at most.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Whether a writer lives of whom nothing was heard for so long.
pub(super) fn standing(silent: Duration) -> Standing {
    match silent {
        silent if silent < LATE => Standing::Live,
        silent if silent < DEAD => Standing::Late,
        _ => Standing::Dead,
    }
}

/// A page as it was received last.
struct Held {
    epoch: u64,
    seq: u64,
    received: Tick,
    votes: Vec<Vote>,
}

/// Another writer.
pub(super) struct Peer {
    epoch: u64,
    /// Number of the last beat of this epoch; 0: none.
    number: u64,
    impaired: bool,
    /// Pages and digest of the last beat.
    claimed: Option<(u32, u64)>,
    pages: BTreeMap<u32, Held>,
    /// When its last beat was heard; `None`: it was not since this node started.
    heard: Option<Tick>,
    /// When anything new was received.
    touched: Tick,
    /// What the judge was told.
    pub(super) told: Option<Standing>,
    ask: Option<Tick>,
    asked: Option<Tick>,
}

impl Peer {
    /// A writer of whom something is heard for the first time.
    pub(super) fn new(now: Tick) -> Self {
        Self {
            epoch: 0,
            number: 0,
            impaired: false,
            claimed: None,
            pages: BTreeMap::new(),
            heard: None,
            touched: now,
            told: None,
            ask: None,
            asked: None,
        }
    }

    /// Whether it lives, at `now`.
    pub(super) fn standing(&self, now: Tick) -> Standing {
        match self.heard.map_or(Standing::Dead, |heard| standing(now.since(heard))) {
            Standing::Live | Standing::Late if self.impaired => Standing::Impaired,
            standing => standing,
        }
    }

    /// Whether a beat of it was ever heard, rather than read from a memory.
    pub(super) fn was_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// Number of its pages that are held.
    pub(super) fn held(&self) -> usize {
        self.pages.len()
    }

    /// Whether this page would be one more.
    pub(super) fn lacks(&self, number: u32) -> bool {
        !self.pages.contains_key(&number)
    }

    /// Takes in a page, and gives the votes that changed.
    pub(super) fn take_page(
        &mut self,
        number: u32,
        page: Page,
        now: Tick,
    ) -> Result<Vec<Vote>, Dropped> {
        if page.epoch < self.epoch {
            return Err(Dropped::Stale);
        }
        let before = self.pages.get(&number);
        match before.map(|held| (held.epoch, held.seq).cmp(&(page.epoch, page.seq))) {
            Some(std::cmp::Ordering::Greater) => return Err(Dropped::Stale),
            Some(std::cmp::Ordering::Equal) => return Ok(Vec::new()),
            Some(std::cmp::Ordering::Less) | None => {}
        }
        if page.epoch > self.epoch {
            self.begin(page.epoch);
        }
        self.touched = now;
        let mut changed = match self.pages.get(&number) {
            Some(held) => changes(held, &page, now),
            None => page.votes.clone(),
        };
        let (epoch, seq, votes) = (page.epoch, page.seq, page.votes);
        let held = Held { epoch, seq, received: now, votes };
        let before = self.pages.insert(number, held);
        let left = before.into_iter().flat_map(|held| held.votes).map(|vote| vote.subject);
        let left: Vec<Subject> = left.filter(|s| !self.holds(number, *s)).collect();
        changed.extend(left.into_iter().map(|subject| self.vote_or_withdrawal(subject, now)));
        Ok(changed)
    }

    /// Takes in a beat, and gives the votes that it takes back. One that was read from a memory
    /// says what was, not that the writer lives.
    pub(super) fn take_beat(
        &mut self,
        beat: &Beat,
        live: bool,
        now: Tick,
        rng: &mut fastrand::Rng,
    ) -> Result<Vec<Vote>, Dropped> {
        match (beat.epoch, beat.number).cmp(&(self.epoch, self.number)) {
            std::cmp::Ordering::Less => return Err(Dropped::Stale),
            std::cmp::Ordering::Equal => return Ok(Vec::new()),
            std::cmp::Ordering::Greater => {}
        }
        if beat.epoch > self.epoch {
            self.begin(beat.epoch);
        }
        (self.number, self.impaired, self.touched) = (beat.number, beat.impaired, now);
        self.claimed = Some((beat.pages, beat.digest));
        if live {
            self.heard = Some(now);
        }
        if self.is_whole() {
            self.ask = None;
            return Ok(self.sweep(now));
        }
        if self.ask.is_none() {
            let soonest = self.asked.map_or(now + ASK_AFTER, |asked| asked + ASK_AGAIN);
            let jitter = Duration::from_millis(rng.u64(0..1_000));
            self.ask = Some(soonest.max(now + ASK_AFTER) + jitter);
        }
        Ok(Vec::new())
    }

    /// A request for what is missing, if it is time for one.
    pub(super) fn need(&mut self, now: Tick, rng: &mut fastrand::Rng) -> Option<Need> {
        self.ask.filter(|ask| *ask <= now)?;
        self.ask = None;
        // What was under way may have come since.
        let (pages, _) = self.claimed.filter(|_| !self.is_whole())?;
        self.asked = Some(now);
        self.ask = Some(now + ASK_AGAIN + Duration::from_millis(rng.u64(0..2_000)));
        let missing = (0..pages)
            .filter(|number| self.pages.get(number).is_none_or(|held| held.epoch != self.epoch));
        let missing: Vec<u32> = missing.take(NAMED_MAX + 1).collect();
        let pages = if missing.len() > NAMED_MAX { Vec::new() } else { missing };
        Some(Need { epoch: self.epoch, pages })
    }

    /// Lets it be asked at once, since what was asked before may have been lost.
    pub(super) fn ask_anew(&mut self) {
        self.asked = None;
        self.ask = None;
    }

    /// When something becomes due; requests only while they can be sent.
    pub(super) fn next_due(&self, now: Tick, asking: bool) -> Tick {
        let heard = self.heard.map(|heard| {
            let late = heard + LATE;
            if late > now { late } else { heard + DEAD }
        });
        let heard = heard.filter(|turn| *turn > now);
        let ask = self.ask.filter(|_| asking);
        [heard, ask].into_iter().flatten().fold(self.touched + FORGET, Tick::min)
    }

    /// Whether it is to be forgotten.
    pub(super) fn is_forgotten(&self, now: Tick) -> bool {
        now.since(self.touched) >= FORGET
    }

    /// Takes back all its votes.
    pub(super) fn withdraw_all(&self) -> Vec<Vote> {
        let subjects = self.pages.values().flat_map(|held| &held.votes).map(|vote| vote.subject);
        let mut subjects: Vec<Subject> = subjects.collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects.into_iter().map(withdrawal).collect()
    }

    /// All its votes as they are held, by subject.
    pub(super) fn votes(&self, now: Tick) -> BTreeMap<Subject, Vote> {
        let aged = |held: &Held| {
            let since = now.since(held.received);
            held.votes.clone().into_iter().map(move |vote| Vote { held: vote.held + since, ..vote })
        };
        let votes = self.pages.values().flat_map(aged);
        votes.map(|vote| (vote.subject, vote)).collect()
    }

    fn begin(&mut self, epoch: u64) {
        (self.epoch, self.number, self.claimed) = (epoch, 0, None);
    }

    /// Whether the pages held are those of the last beat; true before the first.
    fn is_whole(&self) -> bool {
        let Some((pages, claimed)) = self.claimed else { return true };
        let mut sequences = Vec::with_capacity(self.pages.len());
        for number in 0..pages {
            match self.pages.get(&number) {
                Some(held) if held.epoch == self.epoch => sequences.push(held.seq),
                Some(_) | None => return false,
            }
        }
        digest(sequences) == claimed
    }

    /// Drops the pages that the writer has no longer.
    fn sweep(&mut self, now: Tick) -> Vec<Vote> {
        let Some((pages, _)) = self.claimed else { return Vec::new() };
        let dropped = self.pages.split_off(&pages);
        let subjects = dropped.into_values().flat_map(|held| held.votes).map(|vote| vote.subject);
        let subjects: Vec<Subject> = subjects.collect();
        subjects.into_iter().map(|subject| self.vote_or_withdrawal(subject, now)).collect()
    }

    fn holds(&self, number: u32, subject: Subject) -> bool {
        self.pages.get(&number).is_some_and(|held| held.vote(subject).is_some())
    }

    /// The vote on what has left a page: that of another page where it stands now, or none.
    fn vote_or_withdrawal(&self, subject: Subject, now: Tick) -> Vote {
        let found = self.pages.values().rev().find_map(|held| {
            let vote = held.vote(subject)?;
            Some(Vote { held: vote.held + now.since(held.received), ..*vote })
        });
        found.unwrap_or_else(|| withdrawal(subject))
    }
}

impl Held {
    fn vote(&self, subject: Subject) -> Option<&Vote> {
        let at = self.votes.binary_search_by_key(&subject, |vote| vote.subject).ok()?;
        self.votes.get(at)
    }
}

/// The votes of a new version of a page that differ from those held.
fn changes(held: &Held, page: &Page, now: Tick) -> Vec<Vote> {
    let since_then = now.since(held.received);
    let is_new = |vote: &&Vote| {
        held.vote(vote.subject).is_none_or(|before| {
            let moved = (before.held + since_then).abs_diff(vote.held);
            before.verdict != vote.verdict || before.kind != vote.kind || moved > HELD_SLACK
        })
    };
    page.votes.iter().filter(is_new).copied().collect()
}

fn withdrawal(subject: Subject) -> Vote {
    Vote { subject, verdict: Verdict::Unknown, kind: None, held: Duration::ZERO }
}
