//! The last stage: one or several of the tied candidates, per query and without allocation.

use std::net::IpAddr;

use super::eligible::{Candidate, Target};
use super::line::Line;
use super::{Contest, Local, View, affinity, rotate, weighted};
use crate::model::{Address, Method};
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
    /// Where a random number finds the first one; empty for `affinity`.
    line: Line,
    /// Whether a random number decides between regions.
    parts_regions: bool,
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
    /// Prepares candidates that tie, in order, for one way of picking. When all have weight 0 they
    /// share alike. `twin` are the candidates of the other family for the same clients: a random
    /// number that serves both picks from the same region wherever shares permit.
    pub fn new(
        candidates: &[Candidate],
        twin: &[Candidate],
        pick: Pick,
        contest: &Contest,
        view: &View<'_>,
    ) -> Self {
        let weights = leveled(candidates);
        let shares = |candidates: &[Candidate]| -> Vec<(Local, u64)> {
            let even = pick == Pick::Rotate;
            let weights = leveled(candidates).into_iter().map(|w| if even { 1 } else { w });
            candidates.iter().map(|c| c.region).zip(weights).collect()
        };
        let random = !matches!(pick, Pick::Affinity { .. });
        let line = random.then(|| Line::new(&shares(candidates), &shares(twin)));
        let region = candidates.first().map(|candidate| candidate.region);
        let parted = candidates.iter().any(|candidate| Some(candidate.region) != region);
        let mut names: Vec<&str> = candidates.iter().filter_map(|c| c.group.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        let group = |candidate: &Candidate| {
            let name = candidate.group.as_deref();
            let at = name.and_then(|name| names.binary_search(&name).ok());
            at.map_or(0, |at| at as u32 + 1)
        };
        Self {
            line: line.unwrap_or_default(),
            parts_regions: random && parted,
            keys: candidates.iter().map(|candidate| hash_target(&candidate.target)).collect(),
            regions: candidates.iter().map(|c| region_draw(c, contest, view)).collect(),
            groups: candidates.iter().map(group).collect(),
            weights,
        }
    }

    /// The same, with regions drawn by what their candidates weigh, in place of their full weight.
    #[must_use]
    pub fn by_share(mut self, candidates: &[Candidate]) -> Self {
        for (own, (_, weight)) in candidates.iter().zip(&mut self.regions) {
            let of_region = candidates.iter().filter(|other| other.region == own.region);
            *weight = of_region.map(|candidate| candidate.weight).sum::<u64>().max(1);
        }
        self
    }

    /// Whether the candidate at an index is ever picked: a weight of 0 beside others is not.
    pub fn may_be_picked(&self, index: usize, pick: Pick) -> bool {
        pick == Pick::Rotate || self.weights.get(index).is_some_and(|weight| *weight > 0)
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Whether a random number decides between regions, so that A and AAAA of one client should be
    /// picked by the same.
    pub fn parts_regions(&self) -> bool {
        self.parts_regions
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

    /// The candidate that a random number finds first.
    pub(super) fn holding(&self, random: u64) -> usize {
        self.line.holding(random)
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

    /// The index at this place in the order of the answer.
    pub fn at(&self, place: usize) -> Option<usize> {
        let index = self.indexes.get(place).filter(|_| place < self.count);
        index.map(|index| usize::from(*index))
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

/// The weights of candidates; 1 each when all are 0.
fn leveled(candidates: &[Candidate]) -> Vec<u64> {
    let level = u64::from(candidates.iter().all(|candidate| candidate.weight == 0));
    candidates.iter().map(|candidate| candidate.weight + level).collect()
}

/// Hash of a region's name, and the weight it draws with: that of all its endpoints of the same
/// pool that have IPv4, or of all where none has, up or not. One weight for both families, so that
/// a client's A and AAAA land in the same region also where the weights of the families differ.
fn region_draw(candidate: &Candidate, contest: &Contest, view: &View<'_>) -> (u64, u64) {
    let Some(region) = contest.regions().get(usize::from(candidate.region)) else { return (0, 1) };
    let pool = view.fleet.endpoint(candidate.endpoint).pool;
    let weight = |counts: fn(&Address) -> bool| -> u64 {
        let members = contest.members(pool).iter();
        let local = members.filter(|(other, _)| *other == candidate.region);
        local
            .map(|(_, id)| view.fleet.endpoint(*id))
            .filter(|endpoint| counts(&endpoint.address))
            .map(|endpoint| u64::from(endpoint.weight))
            .sum()
    };
    let weight = match weight(|address| !matches!(address, Address::Ip(IpAddr::V6(_)))) {
        0 => weight(|_| true),
        weight => weight,
    };
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
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A text mixed into a number, so that every bit of both bears on every bit of the result.
pub fn mixed(seed: u64, text: &[u8]) -> u64 {
    let words = text.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(word)
    });
    mix(words.fold(seed, mix), text.len() as u64)
}

/// The next of a sequence of random numbers.
pub(super) fn next(random: u64) -> u64 {
    mix(random, 1)
}
