//! Balances: the ways in which a route chooses an endpoint.

/// How one of the endpoints that are eligible for a request is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Balance {
    /// Each in turn, whatever its weight.
    #[default]
    RoundRobin,
    /// In turn by weight, the turns of each spread evenly.
    WeightedRoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastConnections,
    /// The better of two drawn by weight: by response time, and requests in flight for its weight.
    LeastResponseTime,
    /// The better of two drawn by weight: by requests in flight for its weight.
    RandomTwo,
    /// By rendezvous hash of the client's address, by weight.
    IpHash,
    /// By the next point on a ring, by weight.
    RingHash,
    /// By a table in which each has its share of places, by weight.
    Maglev,
}

impl Balance {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnections,
        Self::LeastResponseTime,
        Self::RandomTwo,
        Self::IpHash,
        Self::RingHash,
        Self::Maglev,
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin => "weighted-round-robin",
            Self::LeastConnections => "least-connections",
            Self::LeastResponseTime => "least-response-time",
            Self::RandomTwo => "random-two",
            Self::IpHash => "ip-hash",
            Self::RingHash => "ring-hash",
            Self::Maglev => "maglev",
        }
    }

    /// Whether the choice follows from the request, so that equal requests meet the same endpoint.
    pub fn is_by_hash(self) -> bool {
        matches!(self, Self::IpHash | Self::RingHash | Self::Maglev)
    }
}
