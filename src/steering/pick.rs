//! The last stage: one or several of the tied candidates, per query and without allocation.

use std::net::IpAddr;

use super::eligible::{Candidate, Target};
use super::{Contest, View, affinity, rotate, weighted};
use crate::model::Method;
use crate::prefix::{Prefix, embedded_ipv4, native_length};

/// Most records of one answer: 64 A records fill the 1,232 octets that reach everyone in one
/// datagram (RFC 9715).
pub const PICKS_MAX: usize = 64;

/// How candidates are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pick {
    /// At random, by weight.
    Weighted,
    /// By hash of the client's prefix of this many bits.
    Affinity {
        /// Bits of an IPv4 client.
        v4: u8,
        /// Bits of an IPv6 client.
        v6: u8,
    },
    /// All, in rotation.
    Rotate,
}

/// The tied candidates, ready to be picked from.
#[derive(Clone, Debug, Default)]
pub struct Contenders {
    weights: Vec<u64>,
    /// Sum of the weights up to and including each.
    cumulative: Vec<u64>,
    /// Hash of each one's address or name.
    keys: Vec<u64>,
    /// Hash and configured weight of each one's region.
    regions: Vec<(u64, u64)>,
    /// Failure domains, numbered from 1; 0: none.
    groups: Vec<u32>,
}

/// The candidates picked, by index, in the order of the answer.
#[derive(Clone, Debug)]
pub struct Chosen {
    indexes: [u16; PICKS_MAX],
    count: usize,
}

impl Pick {
    /// The way of picking that a method stands for, if it picks.
    pub fn of(method: &Method) -> Option<Self> {
        match method {
            Method::Weighted => Some(Self::Weighted),
            Method::Affinity { v4, v6 } => Some(Self::Affinity { v4: *v4, v6: *v6 }),
            Method::Rotate => Some(Self::Rotate),
            _ => None,
        }
    }

    /// Bits of the client's address that the pick depends on; 0: none.
    ///
    /// Clients who carry an IPv4 address are hashed by it, so the prefix of another holds none.
    pub fn scope(self, client: IpAddr) -> u8 {
        match (self, client) {
            (Self::Affinity { v4, .. }, IpAddr::V4(_)) => v4,
            (Self::Affinity { v4, v6 }, IpAddr::V6(address)) => match embedded_ipv4(address) {
                Some(inner) => inner.offset + v4,
                None => v6.max(native_length(address)),
            },
            _ => 0,
        }
    }

    /// Picks up to `want` candidates. `client` matters to `affinity` alone and `random` to the
    /// others; equal arguments give an equal choice.
    pub fn choose(self, from: &Contenders, client: IpAddr, random: u64, want: usize) -> Chosen {
        let mut chosen = Chosen::default();
        let want = want.min(PICKS_MAX).min(from.len());
        match self {
            _ if want == 0 => {}
            Self::Weighted => weighted::pick(from, random, want, &mut chosen),
            Self::Affinity { v4, v6 } => {
                affinity::pick(from, hash_client(client, v4, v6), want, &mut chosen);
            }
            Self::Rotate => rotate::pick(from, random, want, &mut chosen),
        }
        chosen
    }
}

impl Contenders {
    /// Prepares candidates that tie. When all have weight 0 they share alike.
    pub fn new(candidates: &[Candidate], contest: &Contest, view: &View<'_>) -> Self {
        let level = u64::from(candidates.iter().all(|candidate| candidate.weight == 0));
        let weights: Vec<u64> = candidates.iter().map(|c| c.weight + level).collect();
        let cumulative = weights.iter().scan(0u64, |sum, weight| {
            *sum = sum.saturating_add(*weight);
            Some(*sum)
        });
        let mut names: Vec<&str> = candidates.iter().filter_map(|c| c.group.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        let group = |candidate: &Candidate| {
            let name = candidate.group.as_deref();
            let at = name.and_then(|name| names.binary_search(&name).ok());
            at.map_or(0, |at| at as u32 + 1)
        };
        Self {
            cumulative: cumulative.collect(),
            keys: candidates.iter().map(|candidate| hash_target(&candidate.target)).collect(),
            regions: candidates.iter().map(|c| region_draw(c, contest, view)).collect(),
            groups: candidates.iter().map(group).collect(),
            weights,
        }
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Sum of all weights.
    pub(super) fn total(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }

    pub(super) fn weight(&self, at: usize) -> u64 {
        self.weights.get(at).copied().unwrap_or(0)
    }

    pub(super) fn key(&self, at: usize) -> u64 {
        self.keys.get(at).copied().unwrap_or(0)
    }

    pub(super) fn region(&self, at: usize) -> (u64, u64) {
        self.regions.get(at).copied().unwrap_or((0, 0))
    }

    fn group(&self, at: usize) -> u32 {
        self.groups.get(at).copied().unwrap_or(0)
    }

    /// The candidate whose share of the total holds `point`.
    pub(super) fn holding(&self, point: u64) -> usize {
        let at = self.cumulative.partition_point(|sum| *sum <= point);
        at.min(self.len().saturating_sub(1))
    }
}

impl Default for Chosen {
    fn default() -> Self {
        Self { indexes: [0; PICKS_MAX], count: 0 }
    }
}

impl Chosen {
    /// The indexes, in the order of the answer.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.indexes.iter().take(self.count).map(|index| usize::from(*index))
    }

    /// Number of candidates picked.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none was picked.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, at: usize) {
        if let Some(slot) = self.indexes.get_mut(self.count) {
            *slot = at as u16;
            self.count += 1;
        }
    }

    /// Whether `at` is picked already, or another of its group is.
    pub(super) fn excludes(&self, from: &Contenders, at: usize) -> bool {
        let group = from.group(at);
        self.iter().any(|picked| picked == at || (group != 0 && from.group(picked) == group))
    }
}

/// Hash of a region's name, and the weight it draws with: that of all its endpoints of the same
/// pool that give addresses of the family, up or not.
fn region_draw(candidate: &Candidate, contest: &Contest, view: &View<'_>) -> (u64, u64) {
    let Some(region) = contest.regions().get(usize::from(candidate.region)) else { return (0, 1) };
    let of_family = |address: &crate::model::Address| match (address, &candidate.target) {
        (crate::model::Address::Ip(ip), Target::Ip(own)) => ip.is_ipv4() == own.is_ipv4(),
        _ => true,
    };
    let pool = view.fleet.endpoint(candidate.endpoint).pool;
    let weight: u64 = contest
        .members(pool)
        .iter()
        .filter(|(other, _)| *other == candidate.region)
        .map(|(_, id)| view.fleet.endpoint(*id))
        .filter(|endpoint| of_family(&endpoint.address))
        .map(|endpoint| u64::from(endpoint.weight))
        .sum();
    (hash(view.fleet.region(*region).name.as_bytes()), weight.max(1))
}

/// Hash of the client's prefix; an IPv4 client inside IPv6 hashes as that IPv4 client.
fn hash_client(client: IpAddr, v4: u8, v6: u8) -> u64 {
    let client = match client {
        IpAddr::V6(address) => embedded_ipv4(address).map_or(client, |e| IpAddr::V4(e.address)),
        IpAddr::V4(_) => client,
    };
    let length = if client.is_ipv4() { v4 } else { v6 };
    match Prefix::holding(client, length).address() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()),
    }
}

fn hash_target(target: &Target) -> u64 {
    match target {
        Target::Ip(IpAddr::V4(address)) => hash(&address.octets()),
        Target::Ip(IpAddr::V6(address)) => hash(&address.octets()),
        Target::Alias(name) => hash(name.as_wire()),
    }
}

/// FNV-1a over the octets, then mixed. Spelt out here since every node and every version must
/// hash alike.
fn hash(octets: &[u8]) -> u64 {
    let folded = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(folded, octets.len() as u64)
}

/// Mixes two numbers so that every bit of both bears on every bit of the result (the finaliser of
/// `SplitMix64` over their combination).
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The next of a sequence of random numbers.
pub(super) fn next(random: u64) -> u64 {
    mix(random, 1)
}
