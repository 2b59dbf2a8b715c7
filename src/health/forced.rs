//! What an operator has decided about an endpoint.

use std::sync::Arc;

use schemars::JsonSchema;

/// What an override does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Action {
    /// It counts as up, whatever probes say.
    Up,
    /// It counts as down, whatever probes say.
    Down,
    /// It is answered only when nothing else is left that serves.
    Drain,
}

impl Action {
    /// The word in commands, files and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
        }
    }
}

/// The override in force on an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forced {
    /// What it does.
    pub action: Action,
    /// Who, why and until when, in words.
    pub words: Arc<str>,
}
