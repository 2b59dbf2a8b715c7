//! The mesh of nodes as one of them sees it: pure, without clock or network.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::beat::Beat;
use super::counts::Counts;
use super::need::Need;
use super::page::Page;
use super::peer::Peer;
use super::report::Report;
use super::reports::Reports;
use super::subject::{Channel, Subjects};
use super::wire::Dropped;
use super::writer::{BATCH_PAUSE, Writer};
use crate::clock::Tick;
use crate::health::{LocalVotes, PeerEvent, Prober, Standing, Subject, Vote};

/// A writer gives a sign of life this often.
const BEAT: Duration = Duration::from_secs(5);
/// Every page is sent again this often, so that whatever was lost heals by itself.
const REFRESH: Duration = Duration::from_secs(60);
/// An engine away for less than this is not told to the judge: the others' votes are as fresh as
/// those of a writer that is not late.
const GRACE: Duration = Duration::from_secs(10);
/// The engine back for this long is told to the judge: every live writer has beaten by then.
const SETTLE: Duration = Duration::from_secs(6);
/// Writers that are listened to; the largest fleet planned for has 150.
const PEERS_MAX: usize = 4_096;
/// Pages held of all of them, about 70 MiB; the largest fleet planned for has 10,940.
const HELD_MAX: usize = 32_768;
/// Further away than anything that is due.
const NEVER: Tick = Tick(u64::MAX);

/// Who a node is on the mesh.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its region and name.
    pub me: Prober,
    /// Grows with each start; `None`: the node does not probe, and only listens.
    pub epoch: Option<u64>,
    /// What all subjects begin with.
    pub prefix: String,
}

/// How fast a mesh works.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Every page is sent again after this long.
    pub refresh: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { refresh: REFRESH }
    }
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What it is.
    pub kind: &'static str,
    /// Where it belongs.
    pub subject: String,
    /// At most [`super::LENGTH_MAX`] octets.
    pub payload: Vec<u8>,
}

/// What became due.
#[derive(Debug, Default)]
pub struct Step {
    /// To be sent.
    pub outgoing: Vec<Outgoing>,
    /// To be told to the judge of health, in this order.
    pub events: Vec<PeerEvent>,
}

/// How much of the fleet a node sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every region that was heard is heard.
    Live,
    /// Some region is late or silent.
    Degraded,
    /// The engine is away, or fewer than half of the regions are heard.
    Isolated,
}

/// Whether the engine can be reached.
struct Link {
    up: bool,
    changed: Tick,
    /// What the judge was told.
    told: Option<bool>,
}

/// The mesh as one node sees it.
pub struct Mesh {
    me: Prober,
    subjects: Subjects,
    epoch: u64,
    /// `None`: this node does not write, or no longer since it met its double.
    writer: Option<Writer>,
    impaired: bool,
    /// Number of the last beat.
    number: u64,
    next_beat: Tick,
    peers: BTreeMap<Prober, Peer>,
    link: Link,
    /// The epoch of another node that goes by the name of this one.
    cloned: Option<u64>,
    reports: Reports,
    counts: Counts,
    rng: fastrand::Rng,
}

impl Mesh {
    /// A node that has heard nothing yet and whose engine is not there yet.
    pub fn new(identity: Identity, pace: Pace, now: Tick, rng: fastrand::Rng) -> Self {
        let Identity { me, epoch, prefix } = identity;
        Self {
            me,
            subjects: Subjects::new(&prefix),
            epoch: epoch.unwrap_or_default(),
            writer: epoch.map(|epoch| Writer::new(epoch, pace.refresh)),
            impaired: false,
            number: 0,
            next_beat: now,
            peers: BTreeMap::new(),
            link: Link { up: false, changed: now, told: None },
            cloned: None,
            reports: Reports::default(),
            counts: Counts::default(),
            rng,
        }
    }

    /// The subjects that this node listens to.
    pub fn listened(&self) -> [String; 4] {
        self.subjects.listened(&self.me)
    }

    /// Takes over what this node says now.
    pub fn local(&mut self, local: &LocalVotes, now: Tick) {
        if let Some(writer) = &mut self.writer {
            writer.update(&local.votes, now, &mut self.rng);
            self.counts.overflow += std::mem::take(&mut writer.overflow);
            if self.impaired != local.impaired {
                self.next_beat = now;
            }
            self.impaired = local.impaired;
        }
    }

    /// Takes in that the engine can be reached, or cannot.
    pub fn link(&mut self, up: bool, now: Tick) {
        if self.link.up != up {
            (self.link.up, self.link.changed) = (up, now);
        }
        if up {
            self.resync(now);
        }
    }

    /// Takes in that messages were lost in unknown number.
    pub fn resync(&mut self, now: Tick) {
        self.next_beat = now;
        self.peers.values_mut().for_each(Peer::ask_anew);
    }

    /// Takes in a message as it comes.
    pub fn receive(&mut self, subject: &str, message: &[u8], now: Tick) -> Vec<PeerEvent> {
        self.take_in(subject, message, true, now)
    }

    /// Takes in a message that was kept by the engine: it says what was, not that its writer lives.
    pub fn recall(&mut self, subject: &str, message: &[u8], now: Tick) -> Vec<PeerEvent> {
        self.take_in(subject, message, false, now)
    }

    /// What is due now.
    pub fn tick(&mut self, now: Tick) -> Step {
        let mut step = Step::default();
        if self.link.up {
            self.write(now, &mut step.outgoing);
            for (writer, peer) in &mut self.peers {
                if let Some(need) = peer.need(now, &mut self.rng) {
                    let channel = Channel::Need { writer: writer.clone() };
                    step.outgoing.push(outgoing(&self.subjects, &channel, need.encode()));
                }
            }
        }
        // Cut off comes before the standings that follow from it, and back comes after them.
        if self.is_cut_off(now) && self.link.told != Some(false) {
            self.link.told = Some(false);
            step.events.push(PeerEvent::Link { up: false });
        }
        for (prober, peer) in &mut self.peers {
            tell_standing(prober, peer, now, &mut step.events);
        }
        self.forget(now, &mut step.events);
        if self.is_settled(now) && self.link.told != Some(true) {
            self.link.told = Some(true);
            step.events.push(PeerEvent::Link { up: true });
        }
        step
    }

    /// When [`Self::tick`] has something to do again, unless a message comes before.
    pub fn next_due(&self, now: Tick) -> Tick {
        let up = self.link.up;
        let link = self.link.changed + if up { SETTLE } else { GRACE };
        let mut due = if link > now { link } else { NEVER };
        if let Some(writer) = self.writer.as_ref().filter(|_| up) {
            let pages = writer.next_due().map(|due| due.max(now + BATCH_PAUSE));
            due = due.min(self.next_beat).min(pages.unwrap_or(NEVER));
        }
        let peers = self.peers.values().map(|peer| peer.next_due(now, up));
        peers.fold(due, Tick::min)
    }

    /// How much of the fleet is seen.
    pub fn mode(&self, now: Tick) -> Mode {
        let (regions, heard, live) = self.regions(now);
        if !self.link.up || heard * 2 < regions {
            Mode::Isolated
        } else if live < regions {
            Mode::Degraded
        } else {
            Mode::Live
        }
    }

    /// The probers that were heard of, and how they stand.
    pub fn standings(&self, now: Tick) -> impl Iterator<Item = (&Prober, Standing)> {
        self.peers.iter().map(move |(prober, peer)| (prober, peer.standing(now)))
    }

    /// What all others say, as it is held.
    pub fn view(&self, now: Tick) -> BTreeMap<&Prober, BTreeMap<Subject, Vote>> {
        self.peers.iter().map(|(prober, peer)| (prober, peer.votes(now))).collect()
    }

    /// Whether the engine can be reached.
    pub fn is_linked(&self) -> bool {
        self.link.up
    }

    /// The epoch of another node that goes by this one's name, which has made this one fall silent.
    pub fn cloned(&self) -> Option<u64> {
        self.cloned
    }

    /// Round trips that others report, so many pages at most, the oldest first.
    pub fn take_reports(&mut self, most: usize) -> Vec<Report> {
        self.reports.take(most)
    }

    /// Whether any wait to be taken.
    pub fn has_reports(&self) -> bool {
        self.reports.len() > 0
    }

    /// Whether there is room for pages that could as well come later.
    pub fn has_room(&self) -> bool {
        self.reports.has_room()
    }

    /// The message that carries a page of round trips.
    pub fn report(&self, page: u32, report: &Report) -> Outgoing {
        let channel = Channel::Latency { writer: report.writer.clone(), page };
        outgoing(&self.subjects, &channel, report.encode())
    }

    /// What was counted since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn take_in(&mut self, subject: &str, message: &[u8], live: bool, now: Tick) -> Vec<PeerEvent> {
        let mut events = Vec::new();
        // An empty one says nothing: who sends it wants to know whether it may.
        if message.is_empty() {
            return events;
        }
        let result = match self.subjects.channel(subject) {
            None => Err(Dropped::Foreign),
            Some(channel) => {
                let taken = self.take_in_channel(&channel, message, live, now, &mut events);
                taken.map(|()| channel.kind())
            }
        };
        match result {
            Ok(kind) => *self.counts.received.entry(kind).or_default() += 1,
            Err(why) => *self.counts.dropped.entry(why).or_default() += 1,
        }
        events
    }

    fn take_in_channel(
        &mut self,
        channel: &Channel,
        message: &[u8],
        live: bool,
        now: Tick,
        events: &mut Vec<PeerEvent>,
    ) -> Result<(), Dropped> {
        match channel {
            Channel::Need { writer } => {
                let need = Need::decode(message)?;
                if *writer != self.me || need.epoch != self.epoch {
                    return Err(Dropped::Stale);
                }
                if let Some(own) = &mut self.writer {
                    own.want(&need.pages);
                }
                Ok(())
            }
            Channel::Health { writer, page: number } => {
                let page = Page::decode(message)?;
                if page.writer != *writer {
                    return Err(Dropped::Forged);
                }
                if *writer == self.me {
                    let own = self.writer.as_ref().map_or(0, |own| own.seq(*number));
                    return self.meet_self((page.epoch, page.seq), own);
                }
                if self.peer(writer, now)?.lacks(*number) && self.held() >= HELD_MAX {
                    return Err(Dropped::Full);
                }
                let peer = self.peer(writer, now)?;
                tell_standing(writer, peer, now, events);
                let votes = peer.take_page(*number, page, now)?;
                tell_votes(writer, votes, events);
                Ok(())
            }
            Channel::Latency { writer, page } => {
                let report = Report::decode(message)?;
                if report.writer != *writer {
                    return Err(Dropped::Forged);
                }
                if *writer == self.me { Ok(()) } else { self.reports.take_in(*page, report) }
            }
            // These are taken in elsewhere.
            Channel::Load { .. } | Channel::Challenge { .. } | Channel::Presence { .. } => {
                Err(Dropped::Foreign)
            }
            Channel::Beat { writer } => {
                let beat = Beat::decode(message)?;
                if beat.writer != *writer {
                    return Err(Dropped::Forged);
                }
                if *writer == self.me {
                    return self.meet_self((beat.epoch, beat.number), self.number);
                }
                let mut rng = self.rng.fork();
                let peer = self.peer(writer, now)?;
                let votes = peer.take_beat(&beat, live, now, &mut rng)?;
                tell_standing(writer, peer, now, events);
                tell_votes(writer, votes, events);
                Ok(())
            }
        }
    }

    /// Takes in a message under this node's own name: one that is newer than what this node has
    /// written comes from a double, which has the right of the later start.
    fn meet_self(&mut self, (epoch, number): (u64, u64), own: u64) -> Result<(), Dropped> {
        if epoch < self.epoch {
            return Err(Dropped::Stale);
        }
        // Its own words come back from the engine's memory.
        if (epoch, number) <= (self.epoch, own) {
            return Ok(());
        }
        if self.writer.take().is_some() {
            self.cloned = Some(epoch);
        }
        Ok(())
    }

    /// Number of pages held of all writers.
    fn held(&self) -> usize {
        self.peers.values().map(Peer::held).sum()
    }

    fn peer(&mut self, writer: &Prober, now: Tick) -> Result<&mut Peer, Dropped> {
        if !self.peers.contains_key(writer) {
            if self.peers.len() >= PEERS_MAX {
                return Err(Dropped::Full);
            }
            self.peers.insert(writer.clone(), Peer::new(now));
        }
        self.peers.get_mut(writer).ok_or(Dropped::Full)
    }

    /// Pages that are due, then the beat, so that its digest is that of what was sent.
    fn write(&mut self, now: Tick, out: &mut Vec<Outgoing>) {
        let Some(writer) = &mut self.writer else { return };
        for (page, content) in writer.due(&self.me, now) {
            let channel = Channel::Health { writer: self.me.clone(), page };
            out.push(outgoing(&self.subjects, &channel, content.encode()));
        }
        if self.next_beat > now {
            return;
        }
        self.next_beat = now + BEAT;
        self.number += 1;
        let (pages, digest) = writer.contents();
        let (epoch, number, impaired) = (self.epoch, self.number, self.impaired);
        let beat = Beat { writer: self.me.clone(), epoch, number, impaired, pages, digest };
        let channel = Channel::Beat { writer: self.me.clone() };
        out.push(outgoing(&self.subjects, &channel, beat.encode()));
    }

    fn forget(&mut self, now: Tick, events: &mut Vec<PeerEvent>) {
        self.peers.retain(|prober, peer| {
            let forgotten = peer.is_forgotten(now);
            if forgotten {
                tell_votes(prober, peer.withdraw_all(), events);
            }
            !forgotten
        });
    }

    /// Regions that were heard since this node started, those heard now, and those heard in time;
    /// its own is always among them.
    fn regions(&self, now: Tick) -> (usize, usize, usize) {
        let (mut regions, mut heard, mut live) = (1, 1, 1);
        let mut peers = self.peers.iter().filter(|(_, peer)| peer.was_heard()).peekable();
        // The probers of a region follow each other, since its name comes first in theirs.
        while let Some((Prober { region, .. }, peer)) = peers.next() {
            let mut best = rank(peer.standing(now));
            while let Some((_, peer)) = peers.next_if(|(next, _)| next.region == *region) {
                best = best.max(rank(peer.standing(now)));
            }
            if *region != self.me.region {
                regions += 1;
                heard += usize::from(best > 0);
                live += usize::from(best > 1);
            }
        }
        (regions, heard, live)
    }

    fn is_cut_off(&self, now: Tick) -> bool {
        if !self.link.up {
            return now.since(self.link.changed) >= GRACE;
        }
        // Whoever hears fewer than half of the regions had better doubt the way than the regions.
        self.link.told == Some(true) && self.mode(now) == Mode::Isolated
    }

    fn is_settled(&self, now: Tick) -> bool {
        self.link.up && now.since(self.link.changed) >= SETTLE && self.mode(now) != Mode::Isolated
    }
}

/// How much of a writer is heard: nothing, late, or in time.
fn rank(standing: Standing) -> u8 {
    match standing {
        Standing::Dead => 0,
        Standing::Late => 1,
        Standing::Live | Standing::Impaired => 2,
    }
}

fn outgoing(subjects: &Subjects, channel: &Channel, payload: Vec<u8>) -> Outgoing {
    Outgoing { kind: channel.kind(), subject: subjects.subject(channel), payload }
}

fn tell_standing(prober: &Prober, peer: &mut Peer, now: Tick, events: &mut Vec<PeerEvent>) {
    let standing = peer.standing(now);
    if peer.told != Some(standing) {
        peer.told = Some(standing);
        events.push(PeerEvent::Standing { prober: prober.clone(), standing });
    }
}

fn tell_votes(prober: &Prober, votes: Vec<Vote>, events: &mut Vec<PeerEvent>) {
    if !votes.is_empty() {
        events.push(PeerEvent::Votes { prober: prober.clone(), votes });
    }
}
