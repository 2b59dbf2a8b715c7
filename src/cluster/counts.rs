//! What a mesh counts.

use std::collections::BTreeMap;

use super::wire::Dropped;

/// What was counted since the counts were last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were understood, by kind.
    pub received: BTreeMap<&'static str, u64>,
    /// Messages that were dropped.
    pub dropped: BTreeMap<Dropped, u64>,
    /// Votes of this node for which it had no page.
    pub overflow: u64,
}
