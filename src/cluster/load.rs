//! Pages of load: what the proxy of a node says of the pools in its own region.
//!
//! A page names no region beside its writer's, so that nobody can speak for another region.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mesh::Outgoing;
use super::subject::{Channel, Subjects};
use super::wire::{self, Dropped, Head, Kind};
use crate::clock::Tick;
use crate::health::Prober;
use crate::load::Sample;

/// Pools on a page, which then fits into one packet; more are left out and counted.
const POOLS_MAX: usize = 32;
/// A page goes out this often, changed or not: six times within the life of a report.
const EVERY: Duration = Duration::from_secs(5);
/// And this soon when a load has changed.
const SOON: Duration = Duration::from_secs(1);
/// Share by which it has then changed.
const CHANGE: f64 = 0.05;
/// Writers that are listened to: as many as of votes.
const WRITERS_MAX: usize = 4_096;
/// A writer that was silent for this long may begin anew: its clock may have been set back.
const SILENT: Duration = Duration::from_secs(60);

/// The load of pools in the region of its writer.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadPage {
    /// Whose proxy says so.
    pub writer: Prober,
    /// Grows with each start of the writer.
    pub epoch: u64,
    /// Grows with each page.
    pub seq: u64,
    /// By name of the pool.
    pub loads: Vec<(String, Sample)>,
}

/// One load, in thousandths a second. Its form never changes.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    pool: &'a str,
    requests: u64,
    errors: u64,
    in_flight: u64,
    queue: u64,
    /// 0: unknown.
    capacity: u64,
}

impl LoadPage {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let head = Head::of(&self.writer, self.epoch, self.seq);
        let records: Vec<Record<'_>> = self.loads.iter().map(Record::of).collect();
        wire::seal(Kind::Load, &(head, records))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn decode(message: &[u8]) -> Result<Self, Dropped> {
        let mut body = wire::open(Kind::Load, message)?;
        let (writer, epoch, seq) = Head::take(&mut body)?.read()?;
        let count = wire::take_length(&mut body, POOLS_MAX)?;
        let mut loads: Vec<(String, Sample)> = Vec::with_capacity(count);
        for _ in 0..count {
            let load = wire::take::<Record<'_>>(&mut body)?.load()?;
            // In order, so that none is there twice.
            if loads.last().is_some_and(|(last, _)| *last >= load.0) {
                return Err(Dropped::Malformed);
            }
            loads.push(load);
        }
        Ok(Self { writer, epoch, seq, loads })
    }
}

impl<'a> Record<'a> {
    fn of((pool, sample): &'a (String, Sample)) -> Self {
        let milli = |rate: f64| (rate * 1_000.0).round().max(0.0) as u64;
        Self {
            pool,
            requests: milli(sample.requests),
            errors: milli(sample.errors),
            in_flight: sample.in_flight,
            queue: sample.queue,
            capacity: sample.capacity.map_or(0, milli),
        }
    }

    fn load(&self) -> Result<(String, Sample), Dropped> {
        let rate = |milli: u64| milli as f64 / 1_000.0;
        let sample = Sample {
            requests: rate(self.requests),
            errors: rate(self.errors),
            in_flight: self.in_flight,
            queue: self.queue,
            capacity: (self.capacity > 0).then(|| rate(self.capacity)),
        };
        if !wire::is_name(self.pool) || !sample.is_sound() {
            return Err(Dropped::Malformed);
        }
        Ok((self.pool.to_owned(), sample))
    }
}

/// What a node says of its load, and what it has heard of others.
#[derive(Debug)]
pub struct LoadSharing {
    me: Prober,
    subjects: Subjects,
    /// `None`: this node has no proxy, and only listens.
    epoch: Option<u64>,
    seq: u64,
    /// What was said last, and when.
    said: Option<(Vec<(String, Sample)>, Tick)>,
    /// The last page of each writer, and when it came.
    heard: BTreeMap<Prober, (u64, u64, Tick)>,
    /// Loads for which there was no room on a page, since this was last taken.
    pub(super) overflow: u64,
}

impl LoadSharing {
    /// A node that has heard nothing yet; `epoch` grows with each start.
    pub fn new(me: Prober, epoch: Option<u64>, prefix: &str) -> Self {
        let (subjects, heard) = (Subjects::new(prefix), BTreeMap::new());
        Self { me, subjects, epoch, seq: 0, said: None, heard, overflow: 0 }
    }

    /// The subjects that this node listens to.
    pub fn listened(&self) -> String {
        self.subjects.loads()
    }

    /// The message to send, where one is due; `own` is this node's load by pool.
    pub fn due(&mut self, mut own: Vec<(String, Sample)>, now: Tick) -> Option<Outgoing> {
        let epoch = self.epoch?;
        own.sort_by(|a, b| a.0.cmp(&b.0));
        self.overflow += own.len().saturating_sub(POOLS_MAX) as u64;
        own.truncate(POOLS_MAX);
        let is_due = match &self.said {
            None => !own.is_empty(),
            Some((said, at)) => {
                let since = now.since(*at);
                since >= EVERY || (since >= SOON && changed(said, &own))
            }
        };
        if !is_due {
            return None;
        }
        self.seq += 1;
        let page = LoadPage { writer: self.me.clone(), epoch, seq: self.seq, loads: own.clone() };
        self.said = Some((own, now));
        let channel = Channel::Load { writer: self.me.clone() };
        let (kind, subject) = (channel.kind(), self.subjects.subject(&channel));
        Some(Outgoing { kind, subject, payload: page.encode() })
    }

    /// Takes in a message; `None`: it is none of load.
    pub fn take_in(
        &mut self,
        subject: &str,
        message: &[u8],
        now: Tick,
    ) -> Option<Result<LoadPage, Dropped>> {
        let Some(Channel::Load { writer }) = self.subjects.channel(subject) else { return None };
        // An empty one says nothing: who sends it wants to know whether it may.
        if message.is_empty() {
            return None;
        }
        Some(self.read(writer, message, now))
    }

    fn read(&mut self, writer: Prober, message: &[u8], now: Tick) -> Result<LoadPage, Dropped> {
        let page = LoadPage::decode(message)?;
        if page.writer != writer {
            return Err(Dropped::Forged);
        }
        // Its own words may come back.
        if writer == self.me {
            return Err(Dropped::Stale);
        }
        self.heard.retain(|_, (.., at)| now.since(*at) < SILENT);
        if self.heard.len() >= WRITERS_MAX && !self.heard.contains_key(&writer) {
            return Err(Dropped::Full);
        }
        let last = self.heard.get(&writer).map(|(epoch, seq, _)| (*epoch, *seq));
        if last.is_some_and(|last| (page.epoch, page.seq) <= last) {
            return Err(Dropped::Stale);
        }
        self.heard.insert(writer, (page.epoch, page.seq, now));
        Ok(page)
    }
}

/// Whether loads have changed enough to be told at once.
fn changed(said: &[(String, Sample)], own: &[(String, Sample)]) -> bool {
    let near = |(old, new): (&(String, Sample), &(String, Sample))| {
        let (from, to) = (old.1.requests, new.1.requests);
        // A request more or less is no change.
        old.0 == new.0 && (from - to).abs() <= (from.max(to) * CHANGE).max(1.0)
    };
    said.len() != own.len() || !said.iter().zip(own).all(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(node: &str) -> Prober {
        Prober { region: "eu".into(), node: node.into() }
    }

    fn sample(requests: f64) -> Sample {
        Sample { requests, errors: 0.25, in_flight: 7, queue: 1, capacity: Some(800.0) }
    }

    fn page(loads: Vec<(String, Sample)>) -> LoadPage {
        LoadPage { writer: writer("a"), epoch: 1_790_000_000_000, seq: 3, loads }
    }

    #[test]
    fn a_page_comes_out_as_it_went_in() {
        let none = Sample { capacity: None, ..sample(0.0) };
        let sent = page(vec![("api".into(), sample(812.125)), ("web".into(), none)]);
        assert_eq!(LoadPage::decode(&sent.encode()), Ok(sent.clone()));
        let mut later = sent.encode();
        later.extend([9, 9]);
        assert_eq!(LoadPage::decode(&later), Ok(sent), "fields to come are ignored");
        let full = page((0..32).map(|n| (format!("{n:063}"), sample(1e9))).collect());
        assert!(full.encode().len() < wire::LENGTH_MAX, "{}", full.encode().len());
    }

    #[test]
    fn what_is_out_of_bounds_is_dropped() {
        let one = |name: &str, requests| (name.to_owned(), sample(requests));
        let many = page((0..33).map(|n| one(&format!("{n:03}"), 1.0)).collect());
        let good = page(vec![one("web", 1.0)]);
        let cut = good.encode();
        for (what, message) in [
            ("a pool twice", page(vec![one("web", 1.0), one("web", 2.0)]).encode()),
            ("a pool too many", many.encode()),
            ("a pool that is no name", page(vec![one("a.b", 1.0)]).encode()),
            ("a load beyond reason", page(vec![one("web", 1e12)]).encode()),
            ("no sequence", LoadPage { seq: 0, ..good.clone() }.encode()),
            ("no epoch", LoadPage { epoch: 0, ..good.clone() }.encode()),
            ("cut short", cut[..cut.len() - 1].to_vec()),
        ] {
            assert_eq!(LoadPage::decode(&message), Err(Dropped::Malformed), "{what}");
        }
    }

    #[test]
    fn pages_go_out_in_time_and_are_heard_once() {
        let mut one = LoadSharing::new(writer("a"), Some(5), "gslb");
        let mut other = LoadSharing::new(writer("b"), None, "gslb");
        let at = |ms: u64| Tick(1_000_000 + ms);
        let own = |requests| vec![("web".to_owned(), sample(requests))];
        assert_eq!(one.due(Vec::new(), at(0)), None, "there is nothing to say");
        assert_eq!(other.due(own(5.0), at(0)), None, "it has no proxy");
        let first = one.due(own(100.0), at(0)).unwrap();
        assert_eq!((first.kind, first.subject.as_str()), ("load", "gslb.v1.load.eu.a"));
        assert_eq!(one.due(own(200.0), at(900)), None, "too soon");
        let second = one.due(own(110.0), at(1_000)).unwrap();
        assert_eq!(one.due(own(112.0), at(4_000)), None, "hardly changed");
        let third = one.due(own(112.0), at(6_000)).unwrap();
        let mut hear = |message: &Outgoing, now| {
            let taken = other.take_in(&message.subject, &message.payload, now).unwrap();
            taken.map(|page| page.loads[0].1.requests)
        };
        assert_eq!(hear(&second, at(1_001)), Ok(110.0));
        assert_eq!(hear(&first, at(1_002)), Err(Dropped::Stale));
        assert_eq!(hear(&third, at(6_001)), Ok(112.0));
        assert_eq!(hear(&third, at(6_002)), Err(Dropped::Stale));
        assert_eq!(hear(&first, at(70_000)), Ok(100.0), "its clock was set back");
        let forged = Outgoing { subject: "gslb.v1.load.us.a".into(), ..third.clone() };
        assert_eq!(hear(&forged, at(70_001)), Err(Dropped::Forged));
        let own_words = one.take_in(&third.subject, &third.payload, at(70_002));
        assert_eq!(own_words, Some(Err(Dropped::Stale)));
        assert_eq!(one.take_in("gslb.v1.beat.eu.a", &third.payload, at(0)), None);
    }
}
