//! Who else is there, and who of them serves another configuration: pure, without clock or network.

use std::collections::BTreeMap;
use std::time::Duration;

use super::mesh::Outgoing;
use super::peer::{FORGET, standing};
use super::presence::{Presence, Roles};
use super::subject::{Channel, Subjects};
use super::wire::Dropped;
use crate::clock::Tick;
use crate::health::{Prober, Standing};

/// A node says this often that it is there, and at once when it serves something else.
const EVERY: Duration = Duration::from_secs(5);
/// For so long a peer may have another configuration: files reach nodes one after the other.
const AFTER: Duration = Duration::from_secs(30);
/// Peers that are remembered; the largest fleet planned for has 1,000.
const PEERS_MAX: usize = 4_096;

/// A peer, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendant {
    /// The peer.
    pub peer: Prober,
    /// What it does.
    pub roles: Roles,
    /// The version of its program.
    pub version: String,
    /// The first 48 bits of the digest of its configuration; `None`: it serves nothing yet.
    pub config: Option<u64>,
    /// When it was heard last.
    pub heard: Tick,
    /// live, late or dead.
    pub standing: Standing,
    /// Whether it is heard, and has had another configuration than this node for a while.
    pub drifted: bool,
}

/// What one peer has said last.
#[derive(Debug)]
struct Seen {
    said: Presence,
    heard: Tick,
    /// Since when it differs from this node; `None`: it does not.
    since: Option<Tick>,
}

/// What a node says of itself, and has heard of the others.
#[derive(Debug)]
pub struct Attendance {
    subjects: Subjects,
    /// What this node says; its configuration is `None` while it serves nothing yet.
    own: Presence,
    next: Tick,
    peers: BTreeMap<Prober, Seen>,
}

impl Attendance {
    /// A node with these roles that has heard nothing yet.
    pub fn new(me: Prober, roles: Roles, prefix: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let own = Presence { writer: me, roles, version, config: None };
        Self { subjects: Subjects::new(prefix), own, next: Tick::START, peers: BTreeMap::new() }
    }

    /// The subjects that this node listens to.
    pub fn listened(&self) -> String {
        self.subjects.presences()
    }

    /// Takes in what this node serves now: the first 48 bits of its digest.
    pub fn serve(&mut self, config: Option<u64>, now: Tick) {
        if self.own.config == config {
            return;
        }
        (self.own.config, self.next) = (config, now);
        for seen in self.peers.values_mut() {
            // A peer may be ahead of this node, which is followed by the rest.
            seen.since = differs(config, seen.said.config).then_some(now);
        }
    }

    /// The message that says that this node is there, when that is due.
    pub fn due(&mut self, now: Tick) -> Option<Outgoing> {
        if now < self.next {
            return None;
        }
        self.next = now + EVERY;
        let channel = Channel::Presence { writer: self.own.writer.clone() };
        let (kind, subject) = (channel.kind(), self.subjects.subject(&channel));
        Some(Outgoing { kind, subject, payload: self.own.encode() })
    }

    /// Takes in a message; `None`: it is none of presence.
    pub fn take_in(
        &mut self,
        subject: &str,
        message: &[u8],
        now: Tick,
    ) -> Option<Result<(), Dropped>> {
        let Some(Channel::Presence { writer }) = self.subjects.channel(subject) else {
            return None;
        };
        // An empty one says nothing: who sends it wants to know whether it may.
        if message.is_empty() {
            return None;
        }
        Some(self.hear(writer, message, now))
    }

    fn hear(&mut self, writer: Prober, message: &[u8], now: Tick) -> Result<(), Dropped> {
        let said = Presence::decode(message)?;
        if said.writer != writer {
            return Err(Dropped::Forged);
        }
        // Its own words may come back.
        if writer == self.own.writer {
            return Err(Dropped::Stale);
        }
        self.peers.retain(|_, seen| now.since(seen.heard) < FORGET);
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&writer) {
            return Err(Dropped::Full);
        }
        let before = self.peers.get(&writer);
        // Who was not heard for long may have missed a change that all others had.
        let before = before
            .filter(|seen| standing(now.since(seen.heard)) != Standing::Dead)
            .and_then(|seen| seen.since);
        let differs = differs(self.own.config, said.config);
        let since = differs.then(|| before.unwrap_or(now));
        self.peers.insert(writer, Seen { said, heard: now, since });
        Ok(())
    }

    /// The peers that were heard in the last 20 minutes, by region and name.
    pub fn list(&self, now: Tick) -> Vec<Attendant> {
        let kept = self.peers.iter().filter(|(_, seen)| now.since(seen.heard) < FORGET);
        let attendant = |(peer, seen): (&Prober, &Seen)| {
            let Seen { said, heard, since } = seen;
            let standing = standing(now.since(*heard));
            let long = since.is_some_and(|since| now.since(since) >= AFTER);
            Attendant {
                peer: peer.clone(),
                roles: said.roles,
                version: said.version.clone(),
                config: said.config,
                heard: *heard,
                standing,
                drifted: long && standing != Standing::Dead,
            }
        };
        kept.map(attendant).collect()
    }
}

/// Whether both serve something, and not the same.
fn differs(own: Option<u64>, other: Option<u64>) -> bool {
    own.zip(other).is_some_and(|(own, other)| own != other)
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

    fn attendance(node: &str) -> Attendance {
        Attendance::new(prober(node), Roles { dns: true, ..Roles::default() }, "gslb")
    }

    /// What a node says that serves this.
    fn said(node: &str, config: Option<u64>) -> Outgoing {
        let mut attendance = attendance(node);
        attendance.serve(config, at(0));
        attendance.due(at(0)).unwrap()
    }

    fn hear(attendance: &mut Attendance, node: &str, config: Option<u64>, second: u64) {
        let message = said(node, config);
        let taken = attendance.take_in(&message.subject, &message.payload, at(second));
        assert_eq!(taken, Some(Ok(())));
    }

    fn drifted(attendance: &Attendance, second: u64) -> Vec<String> {
        let list = attendance.list(at(second));
        list.into_iter().filter(|one| one.drifted).map(|one| one.peer.node).collect()
    }

    #[test]
    fn a_node_says_that_it_is_there_every_few_seconds_and_when_it_serves_something_else() {
        let mut own = attendance("me");
        own.serve(Some(1), at(0));
        let message = own.due(at(0)).unwrap();
        assert_eq!((message.kind, &*message.subject), ("presence", "gslb.v1.presence.eu.me"));
        let presence = Presence::decode(&message.payload).unwrap();
        assert_eq!((presence.config, presence.roles.names()), (Some(1), vec!["dns"]));
        assert_eq!(own.due(at(4)), None);
        assert!(own.due(at(5)).is_some());
        own.serve(Some(1), at(6));
        assert_eq!(own.due(at(6)), None);
        own.serve(Some(2), at(7));
        assert!(own.due(at(7)).is_some());
    }

    #[test]
    fn a_peer_drifts_when_it_has_differed_for_a_while_and_is_heard() {
        let mut own = attendance("me");
        // Before this node serves anything, nobody differs from it.
        hear(&mut own, "b", Some(2), 0);
        assert_eq!(drifted(&own, 100), [""; 0]);
        own.serve(Some(1), at(100));
        for second in [100, 110, 120, 130] {
            hear(&mut own, "a", Some(1), second);
            hear(&mut own, "b", Some(2), second);
            hear(&mut own, "fresh", None, second);
        }
        assert_eq!(drifted(&own, 129), [""; 0], "it may be on its way");
        assert_eq!(drifted(&own, 130), ["b"]);
        // It goes on to drift with a third configuration, and no longer when it is silent.
        hear(&mut own, "b", Some(9), 140);
        assert_eq!(drifted(&own, 141), ["b"]);
        assert_eq!(drifted(&own, 161), [""; 0]);
        // This node follows the other one, and the rest is then behind.
        hear(&mut own, "a", Some(1), 165);
        hear(&mut own, "b", Some(9), 165);
        own.serve(Some(9), at(165));
        for second in [180, 195] {
            hear(&mut own, "a", Some(1), second);
            hear(&mut own, "b", Some(9), second);
        }
        assert_eq!(drifted(&own, 195), ["a"]);
        own.serve(Some(1), at(196));
        hear(&mut own, "a", Some(1), 200);
        assert_eq!(drifted(&own, 205), [""; 0]);
    }

    #[test]
    fn a_peer_is_late_then_dead_and_at_last_forgotten() {
        let mut own = attendance("me");
        hear(&mut own, "a", Some(1), 0);
        let standing = |second: u64| own.list(at(second)).first().map(|one| one.standing);
        for (second, expected) in [
            (9, Some(Standing::Live)),
            (10, Some(Standing::Late)),
            (19, Some(Standing::Late)),
            (20, Some(Standing::Dead)),
            (1_199, Some(Standing::Dead)),
            (1_200, None),
        ] {
            assert_eq!(standing(second), expected, "after {second} s");
        }
    }

    #[test]
    fn only_nodes_speak_for_themselves() {
        let mut own = attendance("me");
        let message = said("b", Some(2)).payload;
        for (subject, message, taken) in [
            ("gslb.v1.presence.eu.c", &message[..], Some(Err(Dropped::Forged))),
            ("gslb.v1.presence.eu.me", &said("me", None).payload, Some(Err(Dropped::Stale))),
            ("gslb.v1.presence.eu.b", b"x", Some(Err(Dropped::Malformed))),
            ("gslb.v1.presence.eu.b", b"", None),
            ("gslb.v1.load.eu.b", &message, None),
            ("x", &message, None),
        ] {
            assert_eq!(own.take_in(subject, message, at(0)), taken, "{subject}");
        }
        assert_eq!(own.list(at(0)), []);
    }
}
