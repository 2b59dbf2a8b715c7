//! Where a message belongs: the subjects of the bus, one writer each.

use super::wire::is_name;
use crate::health::Prober;

/// Last number of a page: 4,096 pages of 64 votes are far more than one prober can probe.
pub(super) const PAGES_MAX: u32 = 4_096;

/// What a subject carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A page of votes.
    Health {
        /// Whose.
        writer: Prober,
        /// Its number, from 0.
        page: u32,
    },
    /// A page of round trips.
    Latency {
        /// Whose.
        writer: Prober,
        /// Its number, from 0.
        page: u32,
    },
    /// Signs of life.
    Beat {
        /// Whose.
        writer: Prober,
    },
    /// Requests to send pages again.
    Need {
        /// Who is asked.
        writer: Prober,
    },
    /// Loads of the pools in its writer's region.
    Load {
        /// Whose.
        writer: Prober,
    },
    /// What authorities ask for.
    Challenge {
        /// Of whom.
        writer: Prober,
        /// Its number, from 0.
        page: u32,
    },
    /// That a node is there.
    Presence {
        /// Which.
        writer: Prober,
    },
}

impl Channel {
    /// The word for it in subjects and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Health { .. } => "health",
            Self::Latency { .. } => "latency",
            Self::Beat { .. } => "beat",
            Self::Need { .. } => "need",
            Self::Load { .. } => "load",
            Self::Challenge { .. } => "challenge",
            Self::Presence { .. } => "presence",
        }
    }
}

/// The subjects below one prefix: `PREFIX.v1.KIND.REGION.NODE[.PAGE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    /// With the version of the subjects and a final dot.
    stem: String,
}

impl Subjects {
    /// Those below `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self { stem: format!("{prefix}.v1.") }
    }

    /// The subject of a channel.
    pub fn subject(&self, channel: &Channel) -> String {
        let (stem, kind) = (&self.stem, channel.kind());
        match channel {
            Channel::Health { writer: Prober { region, node }, page }
            | Channel::Latency { writer: Prober { region, node }, page }
            | Channel::Challenge { writer: Prober { region, node }, page } => {
                format!("{stem}{kind}.{region}.{node}.{page}")
            }
            Channel::Beat { writer: Prober { region, node } }
            | Channel::Need { writer: Prober { region, node } }
            | Channel::Load { writer: Prober { region, node } }
            | Channel::Presence { writer: Prober { region, node } } => {
                format!("{stem}{kind}.{region}.{node}")
            }
        }
    }

    /// The channel of a subject; `None`: it is none of ours.
    pub fn channel(&self, subject: &str) -> Option<Channel> {
        let mut parts = subject.strip_prefix(&self.stem)?.split('.');
        let (kind, region, node) = (parts.next()?, parts.next()?, parts.next()?);
        if !is_name(region) || !is_name(node) {
            return None;
        }
        let writer = Prober { region: region.to_owned(), node: node.to_owned() };
        let channel = match kind {
            "health" | "latency" | "challenge" => {
                let text = parts.next()?;
                let page = text.parse::<u32>().ok().filter(|page| *page < PAGES_MAX)?;
                // One spelling for each number, or one page would have several subjects.
                if page.to_string() != text {
                    return None;
                }
                match kind {
                    "health" => Channel::Health { writer, page },
                    "challenge" => Channel::Challenge { writer, page },
                    _ => Channel::Latency { writer, page },
                }
            }
            "beat" => Channel::Beat { writer },
            "need" => Channel::Need { writer },
            "load" => Channel::Load { writer },
            "presence" => Channel::Presence { writer },
            _ => return None,
        };
        parts.next().is_none().then_some(channel)
    }

    /// What a node that goes by load listens to.
    pub(super) fn loads(&self) -> String {
        format!("{}load.>", self.stem)
    }

    /// What a node that answers authorities listens to.
    pub(super) fn challenges(&self) -> String {
        format!("{}challenge.>", self.stem)
    }

    /// What every node listens to, to know who else is there.
    pub(super) fn presences(&self) -> String {
        format!("{}presence.>", self.stem)
    }

    /// What a node listens to: all pages and signs of life, and what it is asked for itself.
    pub fn listened(&self, me: &Prober) -> [String; 4] {
        let stem = &self.stem;
        let asked = self.subject(&Channel::Need { writer: me.clone() });
        let [health, beat, latency] =
            ["health", "beat", "latency"].map(|kind| format!("{stem}{kind}.>"));
        [health, beat, latency, asked]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_and_channels_turn_into_each_other() {
        let subjects = Subjects::new("gslb");
        let writer = Prober { region: "eu-1".into(), node: "fra_2".into() };
        for (channel, subject) in [
            (Channel::Health { writer: writer.clone(), page: 12 }, "gslb.v1.health.eu-1.fra_2.12"),
            (Channel::Latency { writer: writer.clone(), page: 9 }, "gslb.v1.latency.eu-1.fra_2.9"),
            (Channel::Beat { writer: writer.clone() }, "gslb.v1.beat.eu-1.fra_2"),
            (Channel::Need { writer: writer.clone() }, "gslb.v1.need.eu-1.fra_2"),
            (Channel::Load { writer: writer.clone() }, "gslb.v1.load.eu-1.fra_2"),
            (Channel::Presence { writer: writer.clone() }, "gslb.v1.presence.eu-1.fra_2"),
            (
                Channel::Challenge { writer: writer.clone(), page: 0 },
                "gslb.v1.challenge.eu-1.fra_2.0",
            ),
        ] {
            assert_eq!(subjects.subject(&channel), subject);
            assert_eq!(subjects.channel(subject), Some(channel));
        }
        for foreign in [
            "",
            "gslb",
            "other.v1.beat.eu.a",
            "gslb.v2.beat.eu.a",
            "gslb.v1.loads.eu.a",
            "gslb.v1.load.eu.a.0",
            "gslb.v1.beat.eu",
            "gslb.v1.beat.eu.a.b",
            "gslb.v1.beat.EU.a",
            "gslb.v1.beat..a",
            "gslb.v1.health.eu.a",
            "gslb.v1.health.eu.a.",
            "gslb.v1.health.eu.a.-1",
            "gslb.v1.health.eu.a.+1",
            "gslb.v1.health.eu.a.01",
            "gslb.v1.health.eu.a.4096",
            "gslb.v1.health.eu.a.1.2",
        ] {
            assert_eq!(subjects.channel(foreign), None, "{foreign}");
        }
    }
}
