//! What probers tell each other: votes, and how far a prober can be trusted to vote.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::{CauseKind, EndpointIdentity, TRAFFIC, Verdict};

/// What a vote is about: one endpoint and one monitor, the same number on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(pub u64);

impl Subject {
    /// The number of an endpoint and a monitor as they are named in the configuration: SipHash-2-4
    /// under the zero key over the names, each behind its length. Part of the format on the wire.
    pub fn of(identity: &EndpointIdentity, monitor: &str) -> Self {
        let address = identity.address.to_string();
        let probe = identity.probe_text().unwrap_or_default();
        let mut hasher = SipHasher24::new();
        for part in [&*identity.pool, &*identity.region, &*address, &*probe, monitor] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        Self(hasher.finish())
    }

    /// The number of an endpoint and its proxied requests.
    pub fn of_traffic(identity: &EndpointIdentity) -> Self {
        Self::of(identity, TRAFFIC)
    }
}

/// What one prober says of one endpoint by one monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// What it is about.
    pub subject: Subject,
    /// Up or down; unknown withdraws what was said before.
    pub verdict: Verdict,
    /// The sort of failure while down.
    pub kind: Option<CauseKind>,
    /// For how long it has been so.
    pub held: Duration,
}

/// A prober: a node with the role `[probe]`, as the fleet knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prober {
    /// Name of its region: the vantage.
    pub region: String,
    /// Name of its node.
    pub node: String,
}

/// Whether a prober's votes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It was heard within 10 s.
    Live,
    /// It was not, though within 20 s; its votes count on.
    Late,
    /// It was not for 20 s; its votes are out of the quorum.
    Dead,
    /// It is live and says itself that it cannot judge; its votes are out of the quorum.
    Impaired,
}

impl Standing {
    /// The word in metrics, logs and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Late => "late",
            Self::Dead => "dead",
            Self::Impaired => "impaired",
        }
    }
}

/// What this node says to its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalVotes {
    /// Whether it cannot judge at the moment.
    pub impaired: bool,
    /// Its votes, each with the name of the target's region.
    pub votes: Vec<(Arc<str>, Vote)>,
}

/// What the sharing of verdicts tells the judge of health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// Votes that are new or differ from the ones before.
    Votes {
        /// Whose they are.
        prober: Prober,
        /// Each replaces the prober's vote on the same subject.
        votes: Vec<Vote>,
    },
    /// A prober's standing has changed, or it is heard of for the first time.
    Standing {
        /// The prober.
        prober: Prober,
        /// What it is now.
        standing: Standing,
    },
    /// The engine that carries the pages can be reached or not.
    Link {
        /// Whether it can.
        up: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Address, ProbeAddress};

    #[test]
    fn subjects_are_the_same_on_every_node_and_tell_all_parts_apart() {
        let plain = EndpointIdentity {
            pool: "web".into(),
            region: "eu".into(),
            address: Address::Ip([192, 0, 2, 1].into()),
            probe: None,
        };
        // Written down: another build must find the same number.
        assert_eq!(Subject::of(&plain, "ready"), Subject(10_637_517_992_121_125_262));
        let probe = ProbeAddress { address: Address::Ip([10, 0, 0, 1].into()), port: Some(80) };
        let others = [
            EndpointIdentity { pool: "we".into(), ..plain.clone() },
            EndpointIdentity { region: "us".into(), ..plain.clone() },
            EndpointIdentity { address: Address::Ip([192, 0, 2, 2].into()), ..plain.clone() },
            EndpointIdentity { probe: Some(probe), ..plain.clone() },
        ];
        let mut subjects: Vec<Subject> = others.iter().map(|o| Subject::of(o, "ready")).collect();
        subjects.extend([Subject::of(&plain, "ready"), Subject::of(&plain, "live")]);
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), 6);
    }
}
