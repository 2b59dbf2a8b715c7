//! The number of a configuration, by which an older one is told from a newer one.

use std::fmt;

/// What a fleet's configuration says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanMark {
    /// Its number.
    pub number: PlanNumber,
    /// Whether it is meant to be empty or much smaller than the one before.
    pub shrink: bool,
}

/// The number of a plan; the greater is the newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanNumber {
    /// Goes up when versions begin anew, as after the loss of what made them.
    pub epoch: u32,
    /// Goes up with every plan.
    pub version: u32,
}

impl fmt::Display for PlanNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.epoch, self.version)
    }
}
