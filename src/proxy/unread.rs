//! Replies over HTTP/2 that their client has no window for: nothing is written then, so that no
//! socket tells of it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Parts into which the time is cut that a reply may go unread.
pub(super) const PARTS: u32 = 4;
/// One place more than parts have passed when a reply has been there for all of them.
const PLACES: usize = PARTS as usize + 1;

/// The replies of one connection that have been handed over and not been asked for more since, by
/// the part of the time in which that was. Only the connection's own thread changes it.
#[derive(Debug, Default)]
pub(super) struct Unread {
    counts: [AtomicUsize; PLACES],
    newest: AtomicUsize,
}

/// Where a reply is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted(usize);

impl Unread {
    /// A reply has something for its client; `before` is where it was counted until now.
    pub(super) fn waits(&self, before: Option<Counted>) -> Counted {
        let newest = self.newest.load(Ordering::Relaxed);
        if before != Some(Counted(newest)) {
            self.leaves(before);
            self.change(newest, |count| count + 1);
        }
        Counted(newest)
    }

    /// A reply has nothing for its client now, or is over.
    pub(super) fn leaves(&self, before: Option<Counted>) {
        if let Some(Counted(place)) = before {
            self.change(place, |count| count.saturating_sub(1));
        }
    }

    /// A part of the time is over; whether a reply has gone unread for all parts.
    pub(super) fn turn(&self) -> bool {
        let next = (self.newest.load(Ordering::Relaxed) + 1) % PLACES;
        let stale = self.counts.get(next).is_some_and(|count| count.load(Ordering::Relaxed) > 0);
        if !stale {
            self.newest.store(next, Ordering::Relaxed);
        }
        stale
    }

    fn change(&self, place: usize, change: impl FnOnce(usize) -> usize) {
        if let Some(count) = self.counts.get(place) {
            count.store(change(count.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_stale_when_nobody_asked_for_more_of_it_for_all_parts() {
        let unread = Unread::default();
        let turns = || (0..).take_while(|_| !unread.turn()).take(20).count();
        assert_eq!(turns(), 20, "there are none");
        let (first, second) = (unread.waits(None), unread.waits(None));
        assert!(!unread.turn() && !unread.turn());
        let first = unread.waits(Some(first));
        assert_eq!(unread.waits(Some(first)), first, "in the same part");
        assert_eq!(turns(), PARTS as usize - 2, "the second one is stale, whatever the first does");
        unread.leaves(Some(second));
        assert_eq!(turns(), 2, "the first one is");
        unread.leaves(Some(first));
        assert_eq!(turns(), 20, "both are over");
    }
}
