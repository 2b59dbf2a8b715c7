//! Policies: ordered lists of methods.

use super::{NetworkId, RegionId};

/// One step of a policy: it ranks what the steps before left tied.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// The regions of the operator network the client is in, in their order, then all others.
    Network,
    /// Regions within the client's fence before all others.
    Fence {
        /// What the fence is.
        by: Fence,
        /// Whether regions outside are never answered.
        strict: bool,
    },
    /// By great-circle distance to the client.
    Proximity {
        /// Per region, -99 to 99: positive draws clients in, negative pushes them away.
        bias: Vec<(RegionId, i8)>,
        /// Share by which a region may be farther than the nearest and still tie with it.
        tolerance: f64,
    },
    /// By measured round trip to the client.
    Latency {
        /// Share by which a round trip may be longer than the shortest and still tie with it.
        tolerance: f64,
        /// Share of answers that go to the runner-up; `None`: that of the fleet.
        explore: Option<f64>,
    },
    /// In the order given; regions not named come last, tied.
    Order {
        /// Best first.
        regions: Vec<RegionId>,
    },
    /// Keeps the best regions and ties them.
    Nearest {
        /// How many to keep, at least 1.
        count: u16,
        /// Share by which a region may be farther than the last one kept and still be kept.
        tolerance: f64,
    },
    /// Clients leave regions that are full, or gone, for others by headroom.
    Spill(Spill),
    /// One endpoint at random, by weight.
    Weighted,
    /// One endpoint by rendezvous hash of the client's prefix, by weight.
    Affinity {
        /// Bits of an IPv4 client that are hashed, 1 to 32.
        v4: u8,
        /// Bits of an IPv6 client that are hashed, 1 to 128.
        v6: u8,
    },
    /// All that remain, starting at another one each time.
    Rotate,
}

impl Method {
    /// The name of [`Method::Spill`].
    pub const SPILL: &'static str = "spill";

    /// The name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Fence { .. } => "fence",
            Self::Proximity { .. } => "proximity",
            Self::Latency { .. } => "latency",
            Self::Order { .. } => "order",
            Self::Nearest { .. } => "nearest",
            Self::Spill(_) => Self::SPILL,
            Self::Weighted => "weighted",
            Self::Affinity { .. } => "affinity",
            Self::Rotate => "rotate",
        }
    }

    /// Whether it picks endpoints, so that no later method has anything left to rank.
    pub fn picks(&self) -> bool {
        matches!(self, Self::Weighted | Self::Affinity { .. } | Self::Rotate)
    }
}

/// How `spill` goes about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spill {
    /// Share of a region's capacity above which clients leave it, while others are below theirs.
    pub target: f64,
    /// Largest share of a region's clients that moves within a minute, but for failures.
    pub ramp: f64,
    /// Share of all answers that goes to regions of weight 0, to keep them warm.
    pub standby: f64,
}

/// What makes a region near in the sense of a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The same country.
    Country,
    /// The same continent.
    Continent,
    /// For clients in this network: its regions. Other clients are not fenced.
    Network(NetworkId),
}
