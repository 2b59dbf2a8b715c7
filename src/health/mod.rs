//! The only judge of what is up: probe results become verdicts, verdicts become health.

mod calculated;
mod damper;
mod forced;
mod hosts;
mod identity;
mod impaired;
mod machine;
mod merge;
mod mode;
mod needs;
mod outcome;
pub mod overrides;
mod roster;
mod saved;
mod store;
mod table;
mod velocity;
mod vote;

use std::sync::Arc;
use std::time::Duration;

pub use calculated::calculate;
pub use forced::{Action, Forced};
pub use hosts::{HostAddresses, Resolved};
pub use identity::EndpointIdentity;
pub use machine::{Machine, Rules, Verdict};
pub use merge::{Merged, Poll, Quorum, merged, regional};
pub use mode::{Mode, Situation, mode};
pub(crate) use needs::burdened;
pub use needs::region_level;
pub use outcome::{CauseKind, Outcome};
pub use roster::{Council, KNOWN_FOR, Seat};
pub use saved::{SAVED_AGE_MAX, SavedHealth, SavedProber, SavedVerdict};
pub use store::{HealthStore, StoreError};
use table::TRAFFIC;
pub use table::{Change, Flip, HealthTable, Source, TableEntry};
pub use vote::{LocalVotes, PeerEvent, Prober, Standing, Subject, Vote};

use crate::clock::Tick;
use crate::model::RegionId;

/// What is known of an endpoint after all monitors and vantages are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Answered first.
    Up,
    /// Never judged yet, or doubted: eligible, but ranked after up.
    Unknown,
    /// Taken out by an operator: answered when nothing up or unknown is left.
    Drained,
    /// Answered only by the rule for all down.
    Down,
}

impl Level {
    /// The word in logs, metrics and command output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Drained => "drained",
            Self::Down => "down",
        }
    }

    /// Whether it is answered while all is well: not taken out, and not known to be down.
    pub fn serves(self) -> bool {
        self <= Self::Unknown
    }
}

/// The health of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Up, unknown, drained or down.
    pub level: Level,
    /// Why, in words: `monitor ready: connection refused`.
    pub cause: Arc<str>,
    /// The sort of failure behind `cause`; `None` unless down.
    pub kind: Option<CauseKind>,
    /// Since when.
    pub since: Tick,
    /// Shortest time in which `level` could change; `None`: it cannot (no monitors).
    pub earliest_change: Option<Duration>,
    /// Whether an operator forces it up.
    pub is_forced_up: bool,
    /// Whether it is down by proxied requests alone, and all its monitors succeed.
    pub is_down_by_traffic: bool,
    /// What each known probing region says; empty without monitors. Shared, since every snapshot
    /// holds it.
    pub votes: Arc<[RegionVote]>,
}

/// What one region says of an endpoint, by all monitors together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionVote {
    /// The region.
    pub region: RegionId,
    /// What it says; unknown: it has no vote, or not on every monitor yet.
    pub verdict: Verdict,
    /// The sort of failure that it saw; `None` unless it says down, and where it told none.
    pub kind: Option<CauseKind>,
    /// Since when this node has known it to say so.
    pub since: Tick,
}
