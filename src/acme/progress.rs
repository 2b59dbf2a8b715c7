//! How the orders of this node stand, for those who look.

use std::sync::{Mutex, PoisonError};

use super::plan::Outcome;

/// How the orders stand; written by their keeper alone.
#[derive(Debug, Default)]
pub struct Progress {
    // Held for as long as it takes to copy a few names.
    stages: Mutex<Vec<Stage>>,
}

/// How one certificate stands. Times are seconds since 1970-01-01 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The names that are wanted.
    pub names: Vec<String>,
    /// http-01 or dns-01.
    pub challenge: &'static str,
    /// When the certificate ends that is there; `None`: there is none of these names.
    pub ends: Option<i64>,
    /// When it is ordered next.
    pub next: u64,
    /// Orders in a row that failed.
    pub failures: u32,
    /// How the last order ended; `None`: there was none.
    pub last: Option<Outcome>,
    /// Why the last order failed; empty where it did not, and after a restart.
    pub error: String,
}

impl Progress {
    /// All certificates, in the order of the file.
    pub fn stages(&self) -> Vec<Stage> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces them.
    pub(super) fn show(&self, stages: Vec<Stage>) {
        *self.stages.lock().unwrap_or_else(PoisonError::into_inner) = stages;
    }
}
