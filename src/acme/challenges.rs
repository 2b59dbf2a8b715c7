//! Challenges of certificate authorities that are under way, here or at a peer, and their answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::clock::Tick;
use crate::name::Name;

/// Challenges of one writer at a time: as many as one certificate may have names.
pub const CHALLENGES_MAX: usize = 100;
/// Peers whose challenges are held; a fleet has fewer nodes that order.
const WRITERS_MAX: usize = 256;

/// What an authority looks for, to see that a name is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A TXT record (RFC 8555 section 8.4).
    Dns {
        /// Its owner, `_acme-challenge` below the name.
        owner: Name,
        /// Its text, 255 octets at most.
        text: String,
    },
    /// A file below `/.well-known/acme-challenge/` (RFC 8555 section 8.3).
    Http {
        /// Its name.
        token: String,
        /// Its content.
        content: String,
    },
}

/// The answers to all challenges that are under way.
#[derive(Debug, Default)]
pub struct Answers {
    /// By owner in wire form.
    texts: HashMap<Box<[u8]>, Vec<Box<[u8]>>>,
    /// By token.
    files: HashMap<String, String>,
}

impl Answers {
    /// The texts of TXT records of a name in wire form and lower case; mostly none.
    pub fn texts(&self, owner: &[u8]) -> &[Box<[u8]>] {
        self.texts.get(owner).map_or(&[], Vec::as_slice)
    }

    /// The content of the file of this token.
    pub fn file(&self, token: &str) -> Option<&str> {
        self.files.get(token).map(String::as_str)
    }
}

/// All challenges, by who has to answer them.
#[derive(Debug, Default)]
pub struct Challenges {
    // Held for as long as it takes to copy a few names; no query waits for it.
    held: Mutex<Held>,
    answers: ArcSwap<Answers>,
    /// Whether there are answers, so that queries need not look while there are none.
    busy: AtomicBool,
}

#[derive(Debug, Default)]
struct Held {
    own: Vec<Challenge>,
    /// Those of peers, and until when they hold unless they are told again.
    peers: BTreeMap<String, (Vec<Challenge>, Tick)>,
}

impl Challenges {
    /// The answers; `None`: nothing is under way.
    #[inline]
    pub fn answers(&self) -> Option<Guard<Arc<Answers>>> {
        self.busy.load(Ordering::Acquire).then(|| self.answers.load())
    }

    /// Replaces what this node has to answer; nothing ends it but the next call.
    pub fn set_own(&self, own: Vec<Challenge>) {
        let mut held = self.lock();
        held.own = own;
        self.publish(&held);
    }

    /// What this node has to answer.
    pub fn own(&self) -> Vec<Challenge> {
        self.lock().own.clone()
    }

    /// Replaces what a peer has to answer, until `until`; `false`: there is no room for it.
    pub fn hear(&self, peer: &str, challenges: Vec<Challenge>, until: Tick) -> bool {
        let mut held = self.lock();
        if held.peers.len() >= WRITERS_MAX && !held.peers.contains_key(peer) {
            return false;
        }
        let same = held.peers.get(peer).is_some_and(|(known, _)| *known == challenges);
        held.peers.insert(peer.to_owned(), (challenges, until));
        if !same {
            self.publish(&held);
        }
        true
    }

    /// Forgets what peers have not told again in time.
    pub fn expire(&self, now: Tick) {
        let mut held = self.lock();
        let before = held.peers.len();
        held.peers.retain(|_, (_, until)| *until > now);
        if held.peers.len() != before {
            self.publish(&held);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, held: &Held) {
        let mut answers = Answers::default();
        let peers = held.peers.values().flat_map(|(challenges, _)| challenges);
        for challenge in held.own.iter().chain(peers) {
            match challenge {
                Challenge::Dns { owner, text } => {
                    let texts = answers.texts.entry(owner.as_wire().into()).or_default();
                    texts.push(text.as_bytes().into());
                }
                Challenge::Http { token, content } => {
                    answers.files.insert(token.clone(), content.clone());
                }
            }
        }
        let busy = !answers.texts.is_empty() || !answers.files.is_empty();
        self.answers.store(Arc::new(answers));
        self.busy.store(busy, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(owner: &str, text: &str) -> Challenge {
        Challenge::Dns { owner: Name::parse(owner, &Name::root()).unwrap(), text: text.to_owned() }
    }

    fn file(token: &str, content: &str) -> Challenge {
        Challenge::Http { token: token.to_owned(), content: content.to_owned() }
    }

    #[test]
    fn what_is_under_way_here_and_at_peers_is_answered_until_its_end() {
        let challenges = Challenges::default();
        let wire = Name::parse("_acme-challenge.a.test", &Name::root()).unwrap();
        let texts = || {
            let answers = challenges.answers();
            let texts = answers.as_ref().map(|answers| answers.texts(wire.as_wire()).to_vec());
            let texts = texts.unwrap_or_default();
            texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>()
        };
        assert!(challenges.answers().is_none());
        challenges.set_own(vec![text("_acme-challenge.A.test", "own"), file("t", "t.key")]);
        assert!(challenges.hear("b", vec![text("_acme-challenge.a.test", "b")], Tick(10)));
        assert_eq!(texts(), ["own", "b"]);
        assert_eq!(challenges.answers().unwrap().file("t"), Some("t.key"));
        assert_eq!(challenges.answers().unwrap().file("u"), None);
        assert!(challenges.hear("b", vec![text("_acme-challenge.a.test", "c")], Tick(20)));
        challenges.expire(Tick(19));
        assert_eq!(texts(), ["own", "c"]);
        challenges.expire(Tick(20));
        assert_eq!(texts(), ["own"]);
        challenges.set_own(Vec::new());
        assert!(challenges.answers().is_none());
    }

    #[test]
    fn peers_without_number_find_no_room() {
        let challenges = Challenges::default();
        for peer in 0..WRITERS_MAX {
            assert!(challenges.hear(&peer.to_string(), vec![file("t", "x")], Tick(9)));
        }
        assert!(!challenges.hear("late", Vec::new(), Tick(9)));
        assert!(challenges.hear("0", Vec::new(), Tick(9)));
    }
}
