//! What must never happen, looked for at every step.

use meridian::clock::Tick;
use meridian::dns::Transport;
use meridian::health::{Level, LocalVotes, PeerEvent, Standing, Verdict};
use meridian::snapshot::Snapshot;

use super::letter::{Letter, PLACES, Sort};
use super::node::Turn;
use super::scale::{PROBERS, SimFleet};
use crate::dns_support::{Query, ask, decode};

/// How long a vote that was taken back may still be held by somebody: a refresh, the longest time
/// that a node is held still, and the way.
const STALE_MS: u64 = 110_000;
/// Says down now.
const NOW: u64 = u64::MAX;

/// Looks for what must never happen, and writes down what does.
pub(crate) struct Witness {
    /// The first violation.
    pub(crate) violation: Option<String>,
    /// Depends on all that happened, in its order.
    pub(crate) digest: u64,
    /// Per prober and what it watches: until when it said that it is down; 0: it never did.
    said_down: Vec<Vec<u64>>,
    /// Per node and place: the newest message that it took in.
    newest: Vec<Vec<u64>>,
    /// What was counted.
    pub(crate) deliveries: u64,
    pub(crate) answers: u64,
    pub(crate) turns: u64,
}

impl Witness {
    /// Of a fleet that begins.
    pub(crate) fn new(fleet: &SimFleet) -> Self {
        let nodes = fleet.scale.regions * fleet.scale.nodes;
        let places = fleet.scale.regions * PROBERS * PLACES;
        Self {
            violation: None,
            digest: 0,
            said_down: fleet.watched.iter().map(|watched| vec![0; watched.len()]).collect(),
            newest: vec![vec![0; places]; nodes],
            deliveries: 0,
            answers: 0,
            turns: 0,
        }
    }

    /// Takes down that something must not be.
    pub(crate) fn object(&mut self, now: Tick, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let seconds = now.since(Tick::START).as_secs_f64();
            self.violation = Some(format!("after {seconds:.3} s: {}", what()));
        }
    }

    /// Takes a step into the digest.
    pub(crate) fn trace(&mut self, now: Tick, what: u64, more: u64) {
        for part in [now.0, what, more] {
            self.digest = (self.digest ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }

    /// A node knows nothing any more of what it heard.
    pub(crate) fn forgets(&mut self, node: usize) {
        self.newest[node].fill(0);
    }

    /// A node has taken in a message, and concludes this.
    pub(crate) fn heard(&mut self, node: usize, letter: &Letter, events: &[PeerEvent], now: Tick) {
        self.deliveries += 1;
        let Sort::Kept { place, age, beat } = letter.kind else { return };
        self.trace(now, node as u64, place as u64 ^ age << 16);
        let newest = &mut self.newest[node][place];
        if age >= *newest {
            *newest = age;
            return;
        }
        let goes_back = events.iter().any(|event| match event {
            PeerEvent::Votes { .. } => true,
            PeerEvent::Standing { standing, .. } => beat && *standing == Standing::Live,
            PeerEvent::Link { .. } => false,
        });
        if goes_back {
            self.object(now, || format!("node {node} goes back to an older {}", letter.subject));
        }
    }

    /// A prober tells others.
    pub(crate) fn said(&mut self, fleet: &SimFleet, prober: usize, votes: &LocalVotes, now: Tick) {
        for (_, vote) in &votes.votes {
            let Some(endpoint) = fleet.subjects.get(&vote.subject) else { continue };
            let watchers = &fleet.watchers[*endpoint as usize];
            let Some((_, at)) = watchers.iter().find(|(other, _)| *other == prober) else {
                continue;
            };
            let until = &mut self.said_down[prober][*at];
            if vote.verdict == Verdict::Down {
                *until = NOW;
            } else if *until == NOW {
                *until = now.0;
            }
        }
    }

    /// A prober falls silent.
    pub(crate) fn silent(&mut self, prober: usize, now: Tick) {
        self.said_down[prober].iter_mut().filter(|until| **until == NOW).for_each(|u| *u = now.0);
    }

    /// Endpoints have come to other levels at a node, by health alone.
    pub(crate) fn turned(&mut self, fleet: &SimFleet, node: usize, turns: &[Turn], now: Tick) {
        for turn in turns {
            self.turns += 1;
            self.trace(now, node as u64 ^ u64::from(turn.endpoint) << 20, turn.to as u64);
            if turn.to != Level::Down {
                continue;
            }
            let watchers = fleet.watchers[turn.endpoint as usize].iter();
            let down = watchers.filter(|(prober, at)| {
                let until = self.said_down[*prober][*at];
                until == NOW || (until > 0 && until + STALE_MS > now.0)
            });
            let mut regions: Vec<usize> = down.map(|(prober, _)| prober / PROBERS).collect();
            regions.sort_unstable();
            regions.dedup();
            if regions.len() < 2 {
                self.object(now, || {
                    let endpoint = turn.endpoint;
                    format!("node {node} takes endpoint {endpoint} down by regions {regions:?}")
                });
            }
        }
    }

    /// Looks at the answer of a service under this snapshot.
    pub(crate) fn look(&mut self, fleet: &SimFleet, node: usize, snapshot: &Snapshot, pool: usize) {
        self.answers += 1;
        let name = format!("s{pool:02}.a.test.");
        let query = Query::new(&name, 1).edns(1232, &[]).wire();
        let reply = decode(&ask(snapshot, &query, Transport::Udp).0.unwrap());
        let health = &snapshot.state.as_ref().unwrap().health;
        let level = |endpoint: u32| health[endpoint as usize].level;
        let answered: Vec<u32> = reply
            .answers
            .iter()
            .filter_map(|record| fleet.addresses.get(&record.data.ip_addr()?).copied())
            .collect();
        let range = fleet.fleet().pools[pool].endpoints.clone();
        let serves = |endpoint| matches!(level(endpoint), Level::Up | Level::Unknown);
        let down = answered.iter().find(|endpoint| level(**endpoint) == Level::Down);
        let now = Tick::START;
        if answered.is_empty() {
            self.object(now, || format!("node {node} gives no answer for {name}"));
        } else if let Some(down) = down
            && range.clone().any(serves)
        {
            self.object(now, || {
                let up = range.filter(|endpoint| serves(*endpoint)).count();
                format!("node {node} answers endpoint {down}, which is down, {up} serve")
            });
        }
    }
}
