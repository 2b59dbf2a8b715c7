//! One simulated node: the real mesh and the real judge of health, and what holds them up.

use std::collections::VecDeque;
use std::sync::Arc;

use meridian::clock::Tick;
use meridian::cluster::Mesh;
use meridian::health::overrides::{OverrideSet, SavedOverrides};
use meridian::health::{
    Change, Forced, HealthTable, Level, LocalVotes, Outcome, PeerEvent, Prober, SavedHealth,
};
use meridian::model::{EndpointId, MonitorId};
use meridian::snapshot::{Accepted, Event, Publisher};

use super::letter::Letter;

/// The only monitor.
const READY: MonitorId = MonitorId(0);

/// The judge of a node. All judge; some of them answer queries as well.
pub(crate) enum Judge {
    Table(Box<HealthTable>),
    Publisher(Box<Publisher>),
}

/// An endpoint has come to another level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) endpoint: u32,
    pub(crate) to: Level,
}

impl Judge {
    /// The health of all endpoints.
    pub(crate) fn table(&self) -> &HealthTable {
        match self {
            Self::Table(table) => table,
            Self::Publisher(publisher) => publisher.health(),
        }
    }

    /// Takes in the result of a probe.
    pub(crate) fn observe(&mut self, endpoint: u32, outcome: Outcome, now: Tick) -> Vec<Turn> {
        let endpoint = EndpointId(endpoint);
        match self {
            Self::Table(table) => turns(table.observe(endpoint, READY, &outcome, now)),
            Self::Publisher(publisher) => {
                let generation = publisher.model_generation();
                let event = Event::Probe { generation, endpoint, monitor: READY, outcome };
                apply(publisher, event, now)
            }
        }
    }

    /// Takes in what is known of a peer.
    pub(crate) fn peers(&mut self, event: PeerEvent, now: Tick) -> Vec<Turn> {
        match self {
            Self::Table(table) => turns(table.peers(&event, now)),
            Self::Publisher(publisher) => apply(publisher, Event::Peers(event), now),
        }
    }

    /// Does what has become due.
    pub(crate) fn tick(&mut self, now: Tick) -> Vec<Turn> {
        match self {
            Self::Table(table) if table.next_due().is_some_and(|due| due <= now) => {
                turns(table.tick(now))
            }
            Self::Publisher(publisher) if publisher.next_due().is_some_and(|due| due <= now) => {
                apply(publisher, Event::Tick, now)
            }
            _ => Vec::new(),
        }
    }

    /// Puts overrides in force, of which `forced` is what they come to.
    pub(crate) fn force(&mut self, set: &OverrideSet, forced: &[Option<Forced>], now: Tick) {
        match self {
            Self::Table(table) => drop(table.set_overrides(forced, now)),
            Self::Publisher(publisher) => {
                drop(publisher.apply(Event::Overrides(Arc::new(set.clone())), now));
            }
        }
    }

    /// What the node tells others, if that is new.
    pub(crate) fn take_votes(&mut self, now: Tick) -> Option<LocalVotes> {
        match self {
            Self::Table(table) => table.take_votes(now),
            Self::Publisher(publisher) => publisher.take_votes(now),
        }
    }
}

fn turns(changes: Vec<Change>) -> Vec<Turn> {
    let turn = |change: Change| Some(Turn { endpoint: change.endpoint.0, to: change.flip?.to });
    changes.into_iter().filter_map(turn).collect()
}

fn apply(publisher: &mut Publisher, event: Event, now: Tick) -> Vec<Turn> {
    let flips = publisher.apply(event, now).into_iter();
    flips.map(|flip| Turn { endpoint: flip.endpoint.0, to: flip.flip.to }).collect()
}

/// What a node leaves on its disk.
pub(crate) struct Disk {
    pub(crate) health: SavedHealth,
    pub(crate) overrides: SavedOverrides,
}

/// One node.
pub(crate) struct SimNode {
    pub(crate) region: usize,
    /// The name that it goes by, and the number of the prober of this name, if that probes.
    pub(crate) name: Prober,
    pub(crate) prober: Option<usize>,
    pub(crate) mesh: Mesh,
    pub(crate) judge: Judge,
    /// Counts its starts; what was meant for an earlier life is not done.
    pub(crate) life: u32,
    pub(crate) epoch: u64,
    /// How many faults have stopped it, and how many hold it still.
    pub(crate) stopped: u8,
    pub(crate) paused: u8,
    pub(crate) next_wake: Tick,
    /// What waits while it is held still, and whether some of it found no room.
    pub(crate) backlog: VecDeque<Arc<Letter>>,
    pub(crate) lost: bool,
    /// How far its wall clock is wrong, in seconds.
    pub(crate) wrong: i64,
    /// Whether it has heard of overrides by a wrong clock: they may last their whole time again.
    pub(crate) misled: bool,
    /// Whether it may not ask for pages.
    pub(crate) mute: bool,
    /// Per watched endpoint: successes in a row.
    pub(crate) streaks: Vec<u8>,
    pub(crate) overrides: OverrideSet,
    pub(crate) disk: Option<Disk>,
    /// The plan it serves.
    pub(crate) plan: Option<Accepted>,
}

impl SimNode {
    /// Whether it does anything.
    pub(crate) fn runs(&self) -> bool {
        self.stopped == 0 && self.paused == 0
    }
}
