//! The immutable snapshot a query is answered from, and the publisher that makes it.

mod answers;
mod labels;
mod zones;

pub use answers::{Family, Located, ServiceAnswers, Steered, SteeredKind};
pub use labels::{Labels, OTHER};
pub use zones::{ServedZone, ZoneEntry, ZoneSet};

use crate::model::ClientSubnet;

/// All that one answer may see.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts the snapshots of this process; never goes back.
    pub generation: u64,
    /// The zones.
    pub zones: ZoneSet,
    /// How to answer.
    pub options: AnswerOptions,
    /// The number under which each region's answers are counted (see [`Labels`]), by region.
    pub region_labels: Vec<u32>,
}

/// The node's settings that shape answers.
#[derive(Clone, Debug)]
pub struct AnswerOptions {
    /// Whose EDNS client subnet is believed.
    pub client_subnet: ClientSubnet,
    /// Largest UDP answer, in octets.
    pub udp_payload: u16,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        // RFC 9715 section 3.1 advises 1400 at most; 1232 also passes every IPv6 path.
        Self { client_subnet: ClientSubnet::On, udp_payload: 1232 }
    }
}
