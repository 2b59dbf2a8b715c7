//! Pages of challenges: what the authorities that a node has asked look for, so that every node
//! answers them.
//!
//! They are of the moment: said again every second while they are under way, and forgotten soon
//! after they were said last. So they need no order, and nothing is kept of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mesh::Outgoing;
use super::subject::{Channel, Subjects};
use super::wire::{self, Dropped, Kind};
use crate::acme::{CHALLENGES_MAX, Challenge};
use crate::health::Prober;
use crate::name::{NAME_MAX, Name};

/// Challenges on a page, which then fits into a message however long the names are.
const PAGE: usize = 10;
/// Pages of one writer.
const PAGES_MAX: u32 = CHALLENGES_MAX.div_ceil(PAGE) as u32;
/// What a peer says is answered for this long after it has said it last.
pub(super) const HELD: Duration = Duration::from_secs(10);
/// Longest text of a TXT record: one string (RFC 1035 section 3.3).
const TEXT_MAX: usize = 255;

/// A page of the challenges of its writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengePage {
    /// Who ordered.
    pub writer: Prober,
    /// What is looked for.
    pub challenges: Vec<Challenge>,
}

/// What stands before the challenges.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    region: &'a str,
    node: &'a str,
}

/// One challenge. Its form never changes.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    /// 0: a TXT record, 1: a file.
    kind: u8,
    /// The owner in wire form, or the token.
    #[serde(borrow)]
    place: &'a [u8],
    content: &'a str,
}

impl ChallengePage {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let Prober { region, node } = &self.writer;
        let records: Vec<Record<'_>> = self.challenges.iter().map(Record::of).collect();
        wire::seal(Kind::Challenge, &(Head { region, node }, records))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn decode(message: &[u8]) -> Result<Self, Dropped> {
        let mut body = wire::open(Kind::Challenge, message)?;
        let head: Head<'_> = wire::take(&mut body)?;
        if ![head.region, head.node].into_iter().all(wire::is_name) {
            return Err(Dropped::Malformed);
        }
        let count = wire::take_length(&mut body, PAGE)?;
        let mut challenges = Vec::with_capacity(count);
        for _ in 0..count {
            challenges.push(wire::take::<Record<'_>>(&mut body)?.challenge()?);
        }
        let writer = Prober { region: head.region.to_owned(), node: head.node.to_owned() };
        Ok(Self { writer, challenges })
    }
}

impl<'a> Record<'a> {
    fn of(challenge: &'a Challenge) -> Self {
        match challenge {
            Challenge::Dns { owner, text } => {
                Self { kind: 0, place: owner.as_wire(), content: text }
            }
            Challenge::Http { token, content } => {
                Self { kind: 1, place: token.as_bytes(), content }
            }
        }
    }

    fn challenge(&self) -> Result<Challenge, Dropped> {
        // RFC 8555 section 8.1: base64 without padding, and a dot between both parts.
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let is_plain = |octets: &[u8]| {
            (1..=TEXT_MAX).contains(&octets.len()) && octets.iter().all(|c| plain(*c))
        };
        if !is_plain(self.content.as_bytes()) || self.place.len() > NAME_MAX {
            return Err(Dropped::Malformed);
        }
        let content = self.content.to_owned();
        match self.kind {
            0 => {
                let owner = Name::from_wire(self.place).ok_or(Dropped::Malformed)?;
                // A peer may answer authorities, and say nothing else in a zone.
                let first = owner.labels().next();
                if first != Some(b"_acme-challenge".as_slice()) {
                    return Err(Dropped::Malformed);
                }
                Ok(Challenge::Dns { owner, text: content })
            }
            1 if is_plain(self.place) => {
                let token = String::from_utf8_lossy(self.place).into_owned();
                Ok(Challenge::Http { token, content })
            }
            _ => Err(Dropped::Malformed),
        }
    }
}

/// What a node says and hears of challenges.
#[derive(Debug)]
pub struct ChallengeSharing {
    me: Prober,
    subjects: Subjects,
}

impl ChallengeSharing {
    /// That of a node.
    pub fn new(me: Prober, prefix: &str) -> Self {
        Self { me, subjects: Subjects::new(prefix) }
    }

    /// The subjects that this node listens to.
    pub fn listened(&self) -> String {
        self.subjects.challenges()
    }

    /// The messages that say what this node is asked for; none while that is nothing.
    pub fn said(&self, own: &[Challenge]) -> Vec<Outgoing> {
        let pages = (0..PAGES_MAX).zip(own.chunks(PAGE));
        let message = |(page, challenges): (u32, &[Challenge])| {
            let (writer, challenges) = (self.me.clone(), challenges.to_vec());
            let channel = Channel::Challenge { writer: writer.clone(), page };
            let (kind, subject) = (channel.kind(), self.subjects.subject(&channel));
            let payload = ChallengePage { writer, challenges }.encode();
            Outgoing { kind, subject, payload }
        };
        pages.map(message).collect()
    }

    /// Takes in a message: what it says, and what that is held under; `None`: it is none of
    /// challenges.
    pub fn take_in(
        &self,
        subject: &str,
        message: &[u8],
    ) -> Option<Result<(String, Vec<Challenge>), Dropped>> {
        let Some(Channel::Challenge { writer, page }) = self.subjects.channel(subject) else {
            return None;
        };
        // An empty one says nothing: who sends it wants to know whether it may.
        if message.is_empty() {
            return None;
        }
        Some(ChallengePage::decode(message).and_then(|found| {
            if found.writer != writer || page >= PAGES_MAX {
                return Err(Dropped::Forged);
            }
            // Its own words may come back.
            if writer == self.me {
                return Err(Dropped::Stale);
            }
            let Prober { region, node } = writer;
            Ok((format!("{region}.{node}.{page}"), found.challenges))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(node: &str) -> Prober {
        Prober { region: "eu".into(), node: node.into() }
    }

    fn text(owner: &str, text: &str) -> Challenge {
        let owner = Name::parse(owner, &Name::root()).unwrap();
        Challenge::Dns { owner, text: text.into() }
    }

    fn file(token: &str, content: &str) -> Challenge {
        Challenge::Http { token: token.into(), content: content.into() }
    }

    #[test]
    fn a_page_comes_out_as_it_went_in() {
        let challenges = vec![text("_acme-challenge.a.test", "x_Y-9"), file("t-_0", "t-_0.key")];
        let sent = ChallengePage { writer: writer("a"), challenges };
        assert_eq!(ChallengePage::decode(&sent.encode()), Ok(sent.clone()));
        let mut later = sent.encode();
        later.extend([9, 9]);
        assert_eq!(ChallengePage::decode(&later), Ok(sent), "fields to come are ignored");
        let label = "a".repeat(56);
        let long = format!("_acme-challenge.{label}.{label}.{label}.{label}.test");
        let full = vec![text(&long, &"x".repeat(43)); PAGE];
        let full = ChallengePage { writer: writer(&"n".repeat(63)), challenges: full }.encode();
        assert!(full.len() < wire::LENGTH_MAX, "{}", full.len());
        assert!(ChallengePage::decode(&full).is_ok());
    }

    #[test]
    fn what_no_authority_asks_for_is_dropped() {
        let page = |challenge| ChallengePage { writer: writer("a"), challenges: vec![challenge] };
        let good = page(file("t", "t.k")).encode();
        for (what, message) in [
            ("another name of the zone", page(text("www.a.test", "x")).encode()),
            ("the zone itself", page(text("a.test", "x")).encode()),
            ("a text that is none", page(text("_acme-challenge.a.test", "a b")).encode()),
            ("no text", page(text("_acme-challenge.a.test", "")).encode()),
            ("a path", page(file("../x", "x")).encode()),
            ("markup", page(file("t", "<script>")).encode()),
            ("too long a text", page(file("t", &"x".repeat(256))).encode()),
            (
                "too many",
                ChallengePage { writer: writer("a"), challenges: vec![file("t", "x"); PAGE + 1] }
                    .encode(),
            ),
            (
                "a writer that is no name",
                ChallengePage { writer: writer("A"), challenges: vec![] }.encode(),
            ),
            ("cut short", good[..good.len() - 1].to_vec()),
        ] {
            assert_eq!(ChallengePage::decode(&message), Err(Dropped::Malformed), "{what}");
        }
    }

    #[test]
    fn what_one_node_is_asked_for_the_others_hear() {
        let one = ChallengeSharing::new(writer("a"), "gslb");
        let other = ChallengeSharing::new(writer("b"), "gslb");
        assert!(one.said(&[]).is_empty());
        let all: Vec<Challenge> = (0..CHALLENGES_MAX).map(|n| file(&n.to_string(), "x")).collect();
        let said = one.said(&all);
        assert_eq!(said.len(), 10);
        let mut heard = Vec::new();
        for (page, message) in said.iter().enumerate() {
            assert_eq!(message.subject, format!("gslb.v1.challenge.eu.a.{page}"));
            let taken = other.take_in(&message.subject, &message.payload).unwrap().unwrap();
            assert_eq!(taken.0, format!("eu.a.{page}"));
            heard.extend(taken.1);
            let again = one.take_in(&message.subject, &message.payload);
            assert_eq!(again, Some(Err(Dropped::Stale)));
        }
        assert_eq!(heard, all);
        let forged = other.take_in("gslb.v1.challenge.eu.c.0", &said[0].payload);
        assert_eq!(forged, Some(Err(Dropped::Forged)));
        let beyond = other.take_in("gslb.v1.challenge.eu.a.10", &said[0].payload);
        assert_eq!(beyond, Some(Err(Dropped::Forged)));
        assert_eq!(other.take_in("gslb.v1.challenge.eu.a.0", b""), None);
        assert_eq!(other.take_in("gslb.v1.load.eu.a", &said[0].payload), None);
    }
}
