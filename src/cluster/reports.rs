//! Round trips that other nodes report: which page is newer, and what waits for the map.

use std::collections::{BTreeMap, HashMap};

use super::report::Report;
use super::wire::Dropped;
use crate::health::Prober;

/// Pages that wait for the map; more are dropped, and come again with the next refresh.
const WAITING_MAX: usize = 1_024;
/// Writers that are listened to.
const WRITERS_MAX: usize = 4_096;

/// What is known of the pages of others.
#[derive(Debug, Default)]
pub(super) struct Reports {
    writers: BTreeMap<Prober, Writer>,
    waiting: Vec<Report>,
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
        self.waiting.push(report);
        Ok(())
    }

    /// What came since this was last asked.
    pub(super) fn take(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.waiting)
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
        assert_eq!((reports.take().len(), reports.take().len()), (4, 0));
        let all = (1..=1_100).filter(|seq| reports.take_in(8, page(7, *seq)).is_ok()).count();
        assert_eq!(all, WAITING_MAX, "bounded");
    }
}
