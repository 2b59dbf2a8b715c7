//! Steering: which endpoints a client is answered with, and why. Pure functions throughout.
//!
//! A policy is worked off in three stages, so that almost all of it can be done ahead of queries:
//!
//! 1. [`Contest::opinions`]: what a client's whereabouts say about the regions, once per place.
//!    Clients of whom the same can be said, as far as it matters, form a [`Class`].
//! 2. [`Contest::decide`]: with the health of the moment, the endpoints tied for a class, once per
//!    class and change of health. `explain` shows the steps of this very function.
//! 3. [`Pick`]: one or several of the tied endpoints, per query.

mod affinity;
mod contest;
mod decision;
mod eligible;
mod explore;
mod failback;
mod fence;
mod latency;
mod line;
mod nearest;
mod network;
mod opinion;
mod order;
mod pick;
mod proximity;
mod ranking;
mod relevance;
mod rotate;
mod sluice;
mod spill;
mod spilled;
#[cfg(test)]
mod tests;
mod weighted;

pub use contest::Contest;
pub use decision::{Decision, NoData, Outcome, View};
pub use eligible::{Candidate, Eligible, Grade, Target, WEIGHT_UNIT};
pub use failback::{Comeback, FULL, Presence};
pub use opinion::{Bands, Class, Opinion, Opinions};
pub use pick::{Chosen, Contenders, PICKS_MAX, Pick, mix, mixed};
pub use ranking::Step;
pub use sluice::{Seen, Sluice, Spread};
pub use spill::{HARD, Shares, Site, Stance, spill};

/// The address family a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// Index of a region among those that a service has endpoints in.
pub type Local = u16;
