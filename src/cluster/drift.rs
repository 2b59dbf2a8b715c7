//! Peers that serve another configuration than this node: pure, without clock or network.

use std::collections::BTreeMap;
use std::time::Duration;

use super::beat::Beat;
use super::peer::DEAD;
use super::subject::{Channel, Subjects};
use crate::clock::Tick;
use crate::health::Prober;

/// For so long a peer may have another configuration: files reach nodes one after the other.
const AFTER: Duration = Duration::from_secs(30);
/// Peers that are remembered; the largest fleet planned for has 150.
const PEERS_MAX: usize = 4_096;

/// A peer that has had another configuration for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drifted {
    /// The peer.
    pub peer: Prober,
    /// The first 48 bits of the digest of its configuration.
    pub config: u64,
}

/// What one peer serves.
#[derive(Debug)]
struct Seen {
    config: u64,
    heard: Tick,
    /// Since when it differs from this node's; `None`: it does not.
    since: Option<Tick>,
}

/// What the others serve, by their signs of life.
#[derive(Debug)]
pub struct Drift {
    me: Prober,
    subjects: Subjects,
    /// `None`: this node serves nothing yet.
    own: Option<u64>,
    peers: BTreeMap<Prober, Seen>,
}

impl Drift {
    /// Nothing was heard yet.
    pub fn new(me: Prober, prefix: &str) -> Self {
        Self { me, subjects: Subjects::new(prefix), own: None, peers: BTreeMap::new() }
    }

    /// Takes in what this node serves now: the first 48 bits of its digest.
    pub fn serve(&mut self, own: Option<u64>, now: Tick) {
        if self.own == own {
            return;
        }
        self.own = own;
        for seen in self.peers.values_mut() {
            let differs = own.is_some_and(|own| own != seen.config);
            // A peer may be ahead of this node, which is followed by the rest.
            seen.since = differs.then_some(now);
        }
    }

    /// Takes in a message, if it is a sign of life that says what its writer serves. What is wrong
    /// with it is counted elsewhere.
    pub fn hear(&mut self, subject: &str, message: &[u8], now: Tick) {
        let Some(Channel::Beat { writer }) = self.subjects.channel(subject) else { return };
        let Ok(Beat { writer: named, config: Some(config), .. }) = Beat::decode(message) else {
            return;
        };
        if named != writer || writer == self.me {
            return;
        }
        self.peers.retain(|_, seen| now.since(seen.heard) < DEAD);
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&writer) {
            return;
        }
        let differs = self.own.is_some_and(|own| own != config);
        let before = self.peers.get(&writer).and_then(|seen| seen.since);
        let since = differs.then(|| before.unwrap_or(now));
        self.peers.insert(writer, Seen { config, heard: now, since });
    }

    /// The peers that are heard and have differed for long enough, by region and name.
    pub fn drifted(&self, now: Tick) -> Vec<Drifted> {
        let lasting = |seen: &Seen| {
            let long = seen.since.is_some_and(|since| now.since(since) >= AFTER);
            long && now.since(seen.heard) < DEAD
        };
        let drifted = self.peers.iter().filter(|(_, seen)| lasting(seen));
        drifted.map(|(peer, seen)| Drifted { peer: peer.clone(), config: seen.config }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prober(node: &str) -> Prober {
        Prober { region: "eu".into(), node: node.into() }
    }

    fn at(seconds: u64) -> Tick {
        Tick::START + Duration::from_secs(seconds)
    }

    /// The subject and the sign of life of a node that serves this.
    fn beat(node: &str, config: Option<u64>) -> (String, Vec<u8>) {
        let (writer, impaired, pages, digest) = (prober(node), false, 0, 0);
        let beat = Beat { writer, epoch: 1, number: 1, impaired, pages, digest, config };
        (format!("gslb.v1.beat.eu.{node}"), beat.encode())
    }

    #[test]
    fn a_peer_drifts_when_it_has_differed_for_a_while_and_is_heard() {
        let mut drift = Drift::new(prober("me"), "gslb");
        let hear = |drift: &mut Drift, node: &str, config: Option<u64>, second: u64| {
            let (subject, message) = beat(node, config);
            drift.hear(&subject, &message, at(second));
        };
        let names = |drift: &Drift, second: u64| -> Vec<String> {
            drift.drifted(at(second)).into_iter().map(|one| one.peer.node).collect()
        };
        // Before this node serves anything, nobody differs from it.
        hear(&mut drift, "b", Some(2), 0);
        assert_eq!(names(&drift, 100), [""; 0]);
        drift.serve(Some(1), at(100));
        for second in [100, 110, 120, 130] {
            hear(&mut drift, "a", Some(1), second);
            hear(&mut drift, "b", Some(2), second);
            hear(&mut drift, "old", None, second);
            hear(&mut drift, "me", Some(3), second);
        }
        assert_eq!(names(&drift, 129), [""; 0], "it may be on its way");
        assert_eq!(names(&drift, 130), ["b"]);
        assert_eq!(drift.drifted(at(130))[0].config, 2);
        // It goes on to drift with a third configuration, and no longer when it is silent.
        hear(&mut drift, "b", Some(9), 140);
        assert_eq!(names(&drift, 141), ["b"]);
        assert_eq!(names(&drift, 161), [""; 0]);
        // This node follows the other one, and the rest is then behind.
        hear(&mut drift, "a", Some(1), 165);
        hear(&mut drift, "b", Some(9), 165);
        drift.serve(Some(9), at(165));
        hear(&mut drift, "a", Some(1), 180);
        hear(&mut drift, "a", Some(1), 195);
        hear(&mut drift, "b", Some(9), 195);
        assert_eq!(names(&drift, 195), ["a"]);
        drift.serve(Some(1), at(196));
        hear(&mut drift, "a", Some(1), 200);
        assert_eq!(names(&drift, 205), [""; 0]);
    }

    #[test]
    fn only_writers_speak_for_themselves() {
        let mut drift = Drift::new(prober("me"), "gslb");
        drift.serve(Some(1), at(0));
        let (_, message) = beat("b", Some(2));
        for subject in ["gslb.v1.beat.eu.c", "gslb.v1.load.eu.b", "x"] {
            drift.hear(subject, &message, at(0));
            drift.hear(subject, b"", at(0));
        }
        assert_eq!(drift.peers.len(), 0);
    }
}
