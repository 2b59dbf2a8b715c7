//! What waits to be told to a webhook: collected, bounded, tried again with growing pauses.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::admin::events::Told;
use crate::clock::{self, Tick};

/// Happenings that wait; more are counted and not told.
const WAITING_MAX: usize = 1_000;
/// Happenings in one message.
const MESSAGE_MAX: usize = 100;
/// Of one subject so many are told within [`REPEATS_WITHIN`]; an endpoint that flaps is no news.
const REPEATS_MAX: u32 = 4;
/// The time in which repeats are counted.
const REPEATS_WITHIN: Duration = Duration::from_secs(300);
/// Subjects that are remembered.
const SUBJECTS_MAX: usize = 10_000;
/// Tries of one message, over about five minutes.
const TRIES_MAX: u32 = 9;
/// The pause after the first failure; each one after is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What waits for one webhook.
#[derive(Debug)]
pub(super) struct Outbox {
    group: Duration,
    waiting: VecDeque<Arc<Told>>,
    suppressed: u64,
    due: Option<Tick>,
    tries: u32,
    subjects: HashMap<String, (Tick, u32)>,
}

/// What becomes of a message that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is tried again.
    Again,
    /// It is not told.
    GivenUp,
}

impl Outbox {
    /// Nothing waits; what comes is collected for this time.
    pub(super) fn new(group: Duration) -> Self {
        let (waiting, subjects) = (VecDeque::new(), HashMap::new());
        Self { group, waiting, suppressed: 0, due: None, tries: 0, subjects }
    }

    /// Takes in a happening; `false`: it is only counted.
    pub(super) fn offer(&mut self, told: Arc<Told>, now: Tick) -> bool {
        if self.is_repeated(&told, now) || self.waiting.len() >= WAITING_MAX {
            self.suppressed += 1;
            return false;
        }
        self.waiting.push_back(told);
        self.due.get_or_insert(now + self.group);
        true
    }

    /// Whether enough was told of this subject lately.
    fn is_repeated(&mut self, told: &Told, now: Tick) -> bool {
        let Some(subject) = told.what.subject() else { return false };
        let fresh = |since: Tick| now.since(since) < REPEATS_WITHIN;
        if self.subjects.len() >= SUBJECTS_MAX && !self.subjects.contains_key(&subject) {
            self.subjects.retain(|_, (since, _)| fresh(*since));
            if self.subjects.len() >= SUBJECTS_MAX {
                self.subjects.clear();
            }
        }
        let (since, count) = self.subjects.entry(subject).or_insert((now, 0));
        if !fresh(*since) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count > REPEATS_MAX
    }

    /// When a message is to be sent; `None`: there is none.
    pub(super) fn due(&self) -> Option<Tick> {
        self.due
    }

    /// What the next message holds, and how many happenings were left out since the last one.
    pub(super) fn message(&self) -> (Vec<Arc<Told>>, u64) {
        (self.waiting.iter().take(MESSAGE_MAX).cloned().collect(), self.suppressed)
    }

    /// The message of so many happenings, with so many left out, has arrived.
    pub(super) fn sent(&mut self, (told, left_out): (usize, u64), now: Tick) {
        self.waiting.drain(..told.min(self.waiting.len()));
        self.suppressed = self.suppressed.saturating_sub(left_out);
        self.tries = 0;
        self.due = (!self.waiting.is_empty()).then(|| now + self.group);
    }

    /// The message of so many happenings has not; `random` is from 0 to 1.
    pub(super) fn failed(&mut self, told: usize, hopeless: bool, now: Tick, random: f64) -> Fate {
        self.tries += 1;
        if hopeless || self.tries >= TRIES_MAX {
            self.suppressed += told as u64;
            self.sent((told, 0), now);
            return Fate::GivenUp;
        }
        let pause = clock::doubled(PAUSE, self.tries - 1, PAUSE_MAX);
        self.due = Some(now + clock::spread(pause, random));
        Fate::Again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::events::Happening;

    fn flip(endpoint: &str) -> Arc<Told> {
        let text = |text: &str| text.to_owned();
        let what = Happening::Flip {
            pool: text("web"),
            region: text("eu"),
            endpoint: text(endpoint),
            from: text("up"),
            to: text("down"),
            cause: text("refused"),
        };
        Arc::new(Told { epoch: 1, number: 1, time: 0, node: "a".into(), what })
    }

    fn at(seconds: u64) -> Tick {
        Tick::START + Duration::from_secs(seconds)
    }

    #[test]
    fn what_happens_together_is_told_together() {
        let mut outbox = Outbox::new(Duration::from_secs(5));
        assert_eq!(outbox.due(), None);
        assert!(outbox.offer(flip("a"), at(0)) && outbox.offer(flip("b"), at(4)));
        assert_eq!(outbox.due(), Some(at(5)), "the first decides");
        assert_eq!(outbox.message().0.len(), 2);
        outbox.offer(flip("c"), at(6));
        outbox.sent((2, 0), at(7));
        assert_eq!((outbox.message().0.len(), outbox.due()), (1, Some(at(12))));
        outbox.sent((1, 0), at(12));
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn what_repeats_itself_and_what_is_too_much_is_counted() {
        let mut outbox = Outbox::new(Duration::ZERO);
        let told = (0..10).filter(|_| outbox.offer(flip("a"), at(0))).count();
        assert_eq!((told, outbox.message().1), (REPEATS_MAX as usize, 6));
        assert!(outbox.offer(flip("b"), at(1)), "another endpoint");
        assert!(outbox.offer(flip("a"), at(300)), "five minutes later");
        let many = (0..2_000).filter(|n| outbox.offer(flip(&n.to_string()), at(301))).count();
        assert_eq!(many, WAITING_MAX - 6);
        let (message, left_out) = outbox.message();
        assert_eq!(message.len(), MESSAGE_MAX);
        outbox.sent((message.len(), left_out), at(302));
        assert_eq!(outbox.message().1, 0);
    }

    #[test]
    fn failures_are_tried_again_with_growing_pauses_and_an_end() {
        let mut outbox = Outbox::new(Duration::ZERO);
        outbox.offer(flip("a"), at(0));
        let mut pauses = Vec::new();
        let mut now = at(0);
        while outbox.failed(1, false, now, 1.0) == Fate::Again {
            let due = outbox.due().unwrap();
            pauses.push(due.since(now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((outbox.message().0.len(), outbox.message().1), (0, 1));
        outbox.offer(flip("b"), now);
        assert_eq!(outbox.failed(1, false, now, 0.0), Fate::Again);
        assert_eq!(outbox.due().unwrap().since(now), PAUSE / 2);
        assert_eq!(outbox.failed(1, true, now, 0.0), Fate::GivenUp, "it will never be taken");
    }
}
