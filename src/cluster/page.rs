//! A page: votes of one prober on endpoints of one region, in the form that travels.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::{self, Dropped, Head, Kind};
use crate::health::{CauseKind, Prober, Subject, Verdict, Vote};

/// Votes on a page: it fits into one packet, and an endpoint that flaps costs one page.
pub const VOTES_MAX: usize = 64;

/// Names of the sorts of failure by their number on the wire, from 1. Only ever appended to.
const CAUSES: [&str; 11] = [
    "resolve",
    "denied",
    "refused",
    "connect",
    "timeout",
    "protocol",
    "tls",
    "certificate",
    "expiry",
    "status",
    "body",
];

/// Votes of one prober on endpoints of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whose votes these are.
    pub writer: Prober,
    /// Grows with each start of the writer.
    pub epoch: u64,
    /// Grows with each change of the page.
    pub seq: u64,
    /// Name of the region whose endpoints are voted on.
    pub target: String,
    /// At most [`VOTES_MAX`], by subject.
    pub votes: Vec<Vote>,
}

/// One vote. Its form never changes: what is to be added goes into a list of its own behind the
/// votes.
#[derive(Serialize, Deserialize)]
struct Record {
    subject: [u8; 8],
    verdict: u8,
    /// 0: none.
    cause: u8,
    held_seconds: u32,
}

impl Page {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let head = Head::of(&self.writer, self.epoch, self.seq);
        let records: Vec<Record> = self.votes.iter().map(Record::of).collect();
        wire::seal(Kind::Health, &(head, &self.target, records))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn decode(message: &[u8]) -> Result<Self, Dropped> {
        let mut body = wire::open(Kind::Health, message)?;
        let (writer, epoch, seq) = Head::take(&mut body)?.read()?;
        let target: &str = wire::take(&mut body)?;
        if !wire::is_name(target) {
            return Err(Dropped::Malformed);
        }
        let count = wire::take_length(&mut body, VOTES_MAX)?;
        let mut votes: Vec<Vote> = Vec::with_capacity(count);
        for _ in 0..count {
            let vote = wire::take::<Record>(&mut body)?.vote()?;
            // In order, so that none is there twice.
            if votes.last().is_some_and(|last| last.subject >= vote.subject) {
                return Err(Dropped::Malformed);
            }
            votes.push(vote);
        }
        Ok(Self { writer, epoch, seq, target: target.to_owned(), votes })
    }
}

impl Record {
    fn of(vote: &Vote) -> Self {
        let cause = vote.kind.and_then(|kind| CAUSES.iter().position(|c| *c == kind.as_str()));
        Self {
            subject: vote.subject.0.to_be_bytes(),
            verdict: match vote.verdict {
                Verdict::Unknown => 0,
                Verdict::Up => 1,
                Verdict::Down => 2,
            },
            cause: cause.map_or(0, |at| at as u8 + 1),
            held_seconds: u32::try_from(vote.held.as_secs()).unwrap_or(u32::MAX),
        }
    }

    fn vote(&self) -> Result<Vote, Dropped> {
        let verdict = match self.verdict {
            0 => Verdict::Unknown,
            1 => Verdict::Up,
            2 => Verdict::Down,
            _ => return Err(Dropped::Malformed),
        };
        // A newer writer may know causes that we do not; its verdict counts all the same.
        let name = usize::from(self.cause).checked_sub(1).and_then(|at| CAUSES.get(at));
        let kind = CauseKind::ALL.into_iter().find(|kind| name == Some(&kind.as_str()));
        Ok(Vote {
            subject: Subject(u64::from_be_bytes(self.subject)),
            verdict,
            kind: kind.filter(|_| verdict == Verdict::Down),
            held: Duration::from_secs(u64::from(self.held_seconds)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(subject: u64, verdict: Verdict) -> Vote {
        let kind = (verdict == Verdict::Down).then_some(CauseKind::Timeout);
        Vote { subject: Subject(subject), verdict, kind, held: Duration::from_secs(70) }
    }

    fn page(votes: Vec<Vote>) -> Page {
        let writer = Prober { region: "eu".into(), node: "fra-1".into() };
        Page { writer, epoch: 1_790_000_000_000, seq: 3, target: "us".into(), votes }
    }

    #[test]
    fn a_page_comes_out_as_it_went_in() {
        let votes =
            [vote(1, Verdict::Up), vote(2, Verdict::Down), vote(u64::MAX, Verdict::Unknown)];
        let sent = page(votes.to_vec());
        assert_eq!(Page::decode(&sent.encode()), Ok(sent.clone()));
        let mut later = sent.encode();
        later.extend([9, 9, 9]);
        assert_eq!(Page::decode(&later), Ok(sent), "fields to come are ignored");
    }

    #[test]
    fn a_full_page_fits_into_a_packet_whatever_it_says() {
        let full = |verdict| page((0..64).map(|n| vote(n << 56 | n, verdict)).collect());
        let [up, down] = [Verdict::Up, Verdict::Down].map(|verdict| full(verdict).encode().len());
        assert_eq!(up, down);
        assert!(up < 1_000, "{up} octets");
    }

    #[test]
    fn what_is_out_of_bounds_is_dropped() {
        let good = page(vec![vote(1, Verdict::Up)]);
        let twice = page(vec![vote(1, Verdict::Up), vote(1, Verdict::Down)]);
        let many = page((0..65).map(|n| vote(n, Verdict::Up)).collect());
        let cut = |page: &Page| page.encode()[..page.encode().len() - 1].to_vec();
        for (what, message) in [
            ("cut short", cut(&good)),
            ("a subject twice", twice.encode()),
            ("a vote too many", many.encode()),
            ("no sequence", Page { seq: 0, ..good.clone() }.encode()),
            ("no epoch", Page { epoch: 0, ..good.clone() }.encode()),
            ("an epoch at the end of time", Page { epoch: u64::MAX, ..good.clone() }.encode()),
            ("a target that is no name", Page { target: "a.b".into(), ..good }.encode()),
        ] {
            assert_eq!(Page::decode(&message), Err(Dropped::Malformed), "{what}");
        }
    }

    #[test]
    fn every_sort_of_failure_has_a_number_or_travels_without() {
        for kind in CauseKind::ALL {
            let sent = Vote { kind: Some(kind), ..vote(1, Verdict::Down) };
            let known = CAUSES.contains(&kind.as_str());
            let found = Page::decode(&page(vec![sent]).encode()).unwrap();
            assert_eq!(found.votes[0].kind, known.then_some(kind));
        }
        let mut unknown = page(vec![vote(1, Verdict::Down)]).encode();
        let at = unknown.len() - 2;
        unknown[at] = 200;
        assert_eq!(Page::decode(&unknown).unwrap().votes[0].kind, None);
    }
}
