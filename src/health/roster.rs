//! Who probes: this node and the probers it has heard of, and whose votes count.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::mode::{Mode, Situation, mode};
use super::{Prober, Quorum, Standing};
use crate::clock::Tick;
use crate::model::{Fleet, Node, RegionId};

/// A prober that was not heard for this long is forgotten, and so is its region when it had no
/// other: whoever is left decides without it.
pub const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// Losses within this time count as one.
const LOSS_WINDOW: Duration = Duration::from_secs(30);

/// Most probers that are remembered; others are not heard.
const PROBERS_MAX: usize = 4096;

/// Place of a prober in the roster, for as long as it is known.
pub(super) type Slot = u16;

/// All probers.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    own: RegionId,
    /// Whether this node probes.
    probes: bool,
    /// Whether this node sees most of the fleet fail at once.
    pub(super) suspect: bool,
    link: bool,
    /// Names of the fleet's regions, by id.
    regions: Vec<Arc<str>>,
    peers: BTreeMap<Prober, Peer>,
    /// Slots that were given back.
    free: Vec<Slot>,
    /// The lowest slot that was never given out.
    next: Slot,
}

/// Another prober.
#[derive(Clone, Debug)]
struct Peer {
    slot: Slot,
    /// Its region; `None`: the fleet has none of this name, so that it has no vote.
    region: Option<RegionId>,
    standing: Standing,
    /// When it was last heard, while dead.
    heard: Tick,
    /// When it was lost, while dead; `None` also when that was before a restart.
    lost: Option<Tick>,
}

/// Why a region votes or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Seat {
    /// A prober of it is live.
    Live,
    /// None is, but one was within 20 s.
    Late,
    /// All that are heard say themselves that they cannot judge.
    Impaired,
    /// None was heard for 20 s.
    Dead,
}

impl Seat {
    /// All of them, for metrics.
    pub const ALL: [Self; 4] = [Self::Live, Self::Late, Self::Impaired, Self::Dead];

    /// The word in metrics and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Late => "late",
            Self::Impaired => "impaired",
            Self::Dead => "dead",
        }
    }

    /// Whether the region has a vote.
    pub fn votes(self) -> bool {
        matches!(self, Self::Live | Self::Late)
    }
}

impl From<Standing> for Seat {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Live => Self::Live,
            Standing::Late => Self::Late,
            Standing::Impaired => Self::Impaired,
            Standing::Dead => Self::Dead,
        }
    }
}

/// Who votes at one time, and what may come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Council {
    /// How far this node can rely on its peers.
    pub mode: Mode,
    /// What a vote may come to.
    pub quorum: Quorum,
    /// The region of this node.
    pub own: RegionId,
    /// Whether this node's verdicts count.
    pub own_votes: bool,
    /// Whether this node judges though most of the fleet seems to fail to it: nobody else can.
    pub suspect: bool,
    /// The known probing regions.
    pub seats: Vec<(RegionId, Seat)>,
    /// By slot: the region a prober votes for; `None`: it has no vote.
    pub(super) voters: Vec<Option<RegionId>>,
    /// When time alone changes this; `None`: it does not.
    pub(super) until: Option<Tick>,
}

impl Roster {
    /// A roster of this node alone, in the fleet's first region and probing.
    pub(super) fn new(fleet: &Fleet) -> Self {
        Self {
            own: RegionId(0),
            probes: true,
            suspect: false,
            link: true,
            regions: fleet.regions.iter().map(|region| region.name.as_str().into()).collect(),
            peers: BTreeMap::new(),
            free: Vec::new(),
            next: 0,
        }
    }

    /// Says who this node is.
    pub(super) fn settle(&mut self, node: &Node) {
        (self.own, self.probes) = (node.region, node.probe.is_some());
    }

    /// The same probers in another fleet.
    pub(super) fn carried_to(&self, fleet: &Fleet) -> Self {
        let old = self.regions.get(usize::from(self.own.0)).cloned();
        let mut new = Self { regions: Self::new(fleet).regions, ..self.clone() };
        let ids: BTreeMap<&str, RegionId> =
            (0..).map(RegionId).zip(&new.regions).map(|(id, name)| (&**name, id)).collect();
        new.own = old.and_then(|name| ids.get(&*name).copied()).unwrap_or(RegionId(0));
        for (prober, peer) in &mut new.peers {
            peer.region = ids.get(&*prober.region).copied();
        }
        new
    }

    /// The name of a region.
    pub(super) fn region_name(&self, id: RegionId) -> &Arc<str> {
        static NONE: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| "".into());
        self.regions.get(usize::from(id.0)).unwrap_or(&NONE)
    }

    /// Whether a prober was heard of.
    pub(super) fn knows(&self, prober: &Prober) -> bool {
        self.peers.contains_key(prober)
    }

    /// The slot of a prober, who joins if it is new; `None`: there is no room for it.
    pub(super) fn slot(&mut self, prober: &Prober, now: Tick) -> Option<Slot> {
        if let Some(peer) = self.peers.get(prober) {
            return Some(peer.slot);
        }
        if self.peers.len() >= PROBERS_MAX {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        let named = |name: &Arc<str>| **name == *prober.region;
        let region = self.regions.iter().position(named).map(|at| RegionId(at as u16));
        let standing = Standing::Live;
        let peer = Peer { slot, region, standing, heard: now, lost: None };
        self.peers.insert(prober.clone(), peer);
        Some(slot)
    }

    /// Takes note of a standing. `false`: there is no room for the prober.
    pub(super) fn stands(&mut self, prober: &Prober, standing: Standing, now: Tick) -> bool {
        let new = !self.peers.contains_key(prober);
        if self.slot(prober, now).is_none() {
            return false;
        }
        if let Some(peer) = self.peers.get_mut(prober) {
            let dies = standing == Standing::Dead && peer.standing != Standing::Dead;
            if dies {
                // Of one that is first heard of as dead nothing was lost.
                (peer.heard, peer.lost) = (now, (!new).then_some(now));
            }
            peer.standing = standing;
        }
        true
    }

    /// Takes note of a prober of before a restart, last heard at `heard`.
    pub(super) fn remember(&mut self, prober: &Prober, heard: Tick) {
        if self.slot(prober, heard).is_some()
            && let Some(peer) = self.peers.get_mut(prober)
        {
            (peer.standing, peer.heard, peer.lost) = (Standing::Dead, heard, None);
        }
    }

    /// The engine can be reached, or not.
    pub(super) fn linked(&mut self, up: bool) {
        self.link = up;
    }

    /// Forgets who was not heard for long, and gives back their slots.
    pub(super) fn forget(&mut self, now: Tick) -> Vec<Slot> {
        let mut gone = Vec::new();
        self.peers.retain(|_, peer| {
            let known = peer.standing != Standing::Dead || now.since(peer.heard) < KNOWN_FOR;
            if !known {
                gone.push(peer.slot);
            }
            known
        });
        self.free.extend(&gone);
        gone
    }

    /// The probers with the time since they were heard.
    pub(super) fn heard(&self, now: Tick) -> impl Iterator<Item = (&Prober, Duration)> {
        self.peers.iter().map(move |(prober, peer)| {
            let dead = peer.standing == Standing::Dead;
            (prober, if dead { now.since(peer.heard) } else { Duration::ZERO })
        })
    }

    /// Whether any other prober of a region of this fleet is known.
    fn has_others(&self) -> bool {
        self.peers.values().any(|peer| peer.region.is_some())
    }

    /// Whether this node's own verdicts are not to be trusted; with nobody else, somebody must.
    pub(super) fn is_impaired(&self) -> bool {
        self.suspect && self.probes && self.has_others()
    }

    /// Who votes at `now`.
    pub(super) fn council(&self, now: Tick) -> Council {
        let own_votes = self.probes && !self.is_impaired();
        let mut seats: BTreeMap<RegionId, Seat> = BTreeMap::new();
        if self.probes {
            seats.insert(self.own, if own_votes { Seat::Live } else { Seat::Impaired });
        }
        let mut voters = vec![None; usize::from(self.next)];
        for peer in self.peers.values() {
            let Some(region) = peer.region else { continue };
            let seat = Seat::from(peer.standing);
            seats.entry(region).and_modify(|best| *best = seat.min(*best)).or_insert(seat);
            if let Some(voter) = voters.get_mut(usize::from(peer.slot)) {
                *voter = seat.votes().then_some(region);
            }
        }
        let count = |wanted: &[Seat]| seats.values().filter(|seat| wanted.contains(seat)).count();
        let (mode, quorum) = mode(Situation {
            link: self.link,
            others: self.peers.values().filter(|peer| peer.region.is_some()).count(),
            known: seats.len(),
            fresh: count(&[Seat::Live, Seat::Impaired]),
            voting: count(&[Seat::Live, Seat::Late]),
            losses: self.loses_many(now),
        });
        Council {
            mode,
            quorum,
            own: self.own,
            own_votes,
            suspect: self.suspect,
            seats: seats.into_iter().collect(),
            voters,
            until: self.until(now),
        }
    }

    /// Whether more than 30 % of the probers, of two regions or more, were lost within the window:
    /// one region may die with all that is in it, which says nothing of the ways between others.
    fn loses_many(&self, now: Tick) -> bool {
        let lost = || self.peers.values().filter(|peer| peer.is_lost(now));
        let regions: BTreeSet<_> = lost().map(|peer| peer.region).collect();
        let left = self.peers.values().filter(|peer| peer.standing != Standing::Dead).count();
        let (lost, left) = (lost().count(), left + usize::from(self.probes));
        regions.len() > 1 && lost * 10 > (lost + left) * 3
    }

    /// When the next loss is old, or the next prober forgotten.
    fn until(&self, now: Tick) -> Option<Tick> {
        let dead = self.peers.values().filter(|peer| peer.standing == Standing::Dead);
        let times = dead.map(|peer| match peer.lost {
            Some(lost) if peer.is_lost(now) => lost + LOSS_WINDOW,
            _ => peer.heard + KNOWN_FOR,
        });
        times.min()
    }
}

impl Peer {
    /// Whether it was lost a short time ago.
    fn is_lost(&self, now: Tick) -> bool {
        self.standing == Standing::Dead
            && self.lost.is_some_and(|lost| now.since(lost) < LOSS_WINDOW)
    }
}

impl Council {
    /// Whether this node decides without hearing anyone.
    pub fn is_alone(&self) -> bool {
        self.mode == Mode::Alone
    }

    /// Whether it makes the same of the same votes as `other`, and knows the same regions.
    pub(super) fn counts_alike(&self, other: &Self) -> bool {
        let rule =
            |council: &Self| (council.is_alone(), council.quorum, council.own, council.own_votes);
        let same = |(one, other): (&(RegionId, Seat), &(RegionId, Seat))| one.0 == other.0;
        rule(self) == rule(other)
            && self.seats.len() == other.seats.len()
            && self.seats.iter().zip(&other.seats).all(same)
    }

    /// By slot: whether the prober votes and did not under `other`, or the other way round.
    pub(super) fn turned(&self, other: &Self) -> Vec<bool> {
        let voter = |council: &Self, slot: usize| council.voters.get(slot).copied().flatten();
        let slots = 0..self.voters.len().max(other.voters.len());
        slots.map(|slot| voter(self, slot) != voter(other, slot)).collect()
    }

    /// Why a region votes or does not; `None`: it is not known to probe.
    pub fn seat(&self, region: RegionId) -> Option<Seat> {
        self.seats.iter().find(|(other, _)| *other == region).map(|(_, seat)| *seat)
    }
}
