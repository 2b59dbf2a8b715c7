//! The only judge of what is up: probe results become verdicts, verdicts become health.

mod calculated;
mod forced;
mod hosts;
mod identity;
mod machine;
mod merge;
mod outcome;
mod saved;
mod store;
mod table;
mod vote;

use std::sync::Arc;
use std::time::Duration;

pub use calculated::calculate;
pub use forced::{Action, Forced};
pub use hosts::{HostAddresses, Resolved};
pub use identity::EndpointIdentity;
pub use machine::{Machine, Rules, Verdict};
pub use merge::merge;
pub use outcome::{CauseKind, Outcome};
pub use saved::{SAVED_AGE_MAX, SavedHealth, SavedVerdict};
pub use store::{HealthStore, StoreError};
pub use table::{Flip, HealthTable, Observed, TableEntry};
pub use vote::{LocalVotes, PeerEvent, Prober, Standing, Subject, Vote};

use crate::clock::Tick;

/// What is known of an endpoint after all monitors and vantages are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Answered first.
    Up,
    /// Never judged yet: eligible, but ranked after up.
    Unknown,
    /// Answered only by the rule for all down.
    Down,
}

impl Level {
    /// The word in logs, metrics and command output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Down => "down",
        }
    }
}

/// The health of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Up, unknown or down.
    pub level: Level,
    /// Why, in words: `monitor ready: connection refused`.
    pub cause: Arc<str>,
    /// The sort of failure behind `cause`; `None` unless down.
    pub kind: Option<CauseKind>,
    /// Since when.
    pub since: Tick,
    /// Shortest time in which `level` could change; `None`: it cannot (no monitors).
    pub earliest_change: Option<Duration>,
}
