//! Round trips that other nodes report: which page is newer, and what waits for the map.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::report::Report;
use super::wire::Dropped;
use crate::health::Prober;

/// Pages that wait for the map; more are dropped, and come again with the next refresh.
const WAITING_MAX: usize = 1_024;
/// While so many wait, none is read that the engine has kept.
const ROOM: usize = 256;
/// Writers that are listened to.
const WRITERS_MAX: usize = 4_096;

/// What is known of the pages of others.
#[derive(Debug, Default)]
pub(super) struct Reports {
    writers: BTreeMap<Prober, Writer>,
    waiting: VecDeque<Report>,
}

/// The pages of one writer.
#[derive(Debug, Default)]
struct Writer {
    epoch: u64,
    /// The latest sequence of each page.
    seqs: HashMap<u32, u64>,
}

impl Reports {
    /// Takes in a page. One that was seen before counts again: its ages are newer.
    pub(super) fn take_in(&mut self, page: u32, report: Report) -> Result<(), Dropped> {
        let is_new = !self.writers.contains_key(&report.writer);
        if self.waiting.len() >= WAITING_MAX || is_new && self.writers.len() >= WRITERS_MAX {
            return Err(Dropped::Full);
        }
        let writer = self.writers.entry(report.writer.clone()).or_default();
        if report.epoch < writer.epoch {
            return Err(Dropped::Stale);
        }
        if report.epoch > writer.epoch {
            *writer = Writer { epoch: report.epoch, seqs: HashMap::new() };
        }
        let seq = writer.seqs.entry(page).or_default();
        if report.seq < *seq {
            return Err(Dropped::Stale);
        }
        *seq = report.seq;
        self.waiting.push_back(report);
        Ok(())
    }

    /// What came first, so many at most.
    pub(super) fn take(&mut self, most: usize) -> Vec<Report> {
        self.waiting.drain(..most.min(self.waiting.len())).collect()
    }

    /// Pages that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether those may come that could as well come later.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < ROOM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_page_wins_whatever_the_order_of_arrival() {
        let mut reports = Reports::default();
        let page = |epoch, seq| Report {
            writer: Prober { region: "eu".into(), node: "fra-1".into() },
            epoch,
            seq,
            ways: Vec::new(),
            measured: Vec::new(),
        };
        for (what, number, epoch, seq, expected) in [
            ("the first", 8, 5, 2, Ok(())),
            ("an older one", 8, 5, 1, Err(Dropped::Stale)),
            ("the same again", 8, 5, 2, Ok(())),
            ("another page", 9, 5, 1, Ok(())),
            ("after a restart", 8, 6, 1, Ok(())),
            ("of before it", 9, 5, 9, Err(Dropped::Stale)),
        ] {
            assert_eq!(reports.take_in(number, page(epoch, seq)), expected, "{what}");
        }
        assert_eq!(reports.take(1)[0].seq, 2, "in order");
        assert_eq!((reports.take(9).len(), reports.take(9).len()), (3, 0));
        assert!(reports.has_room());
        let all = (1..=1_100).filter(|seq| reports.take_in(8, page(7, *seq)).is_ok()).count();
        assert_eq!((all, reports.len()), (WAITING_MAX, WAITING_MAX), "bounded");
        assert!(!reports.has_room());
    }
}
