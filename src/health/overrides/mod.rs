//! Operator overrides: who has decided what about which endpoints, and until when.

mod ledger;
mod resolve;
mod safety;
mod saved;
mod set;
mod store;
mod target;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use resolve::resolve;
pub use safety::{Loss, Rule, losses, losses_of_reload, rules};
pub use saved::SavedOverrides;
pub use set::{Draft, Entry, FLEET_MAX, LOCAL_MAX, Mistake, OverrideSet};
pub use store::OverrideStore;
pub use target::{Target, TargetError};

use super::Action;
use crate::clock;

/// One override: what is done to what, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Override {
    /// Unique in the fleet; never holds a colon, so that it cannot be taken for a target.
    pub id: String,
    /// What it does.
    #[serde(with = "action_word")]
    #[schemars(with = "Action")]
    pub action: Action,
    /// To what.
    #[schemars(with = "String")]
    pub target: Target,
    /// Why, in the words of its author.
    pub reason: String,
    /// Who decided it.
    pub author: String,
    /// When, in seconds since 1970-01-01 UTC.
    pub created: u64,
    /// Its end by the clock of the node that took it in; `None`: it lasts until it is cleared.
    pub until: Option<u64>,
    /// Where it holds.
    #[serde(default)]
    pub scope: Scope,
    /// Whether it was set although it broke a rule of `[safety]`.
    #[serde(default)]
    pub anyway: bool,
    /// The drill that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
}

/// Where an override holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// On every node.
    #[default]
    Fleet,
    /// On the node that it was given to alone; it goes before those of the fleet.
    Node,
}

impl Override {
    /// Who, why and until when, as causes of health and the log say it.
    pub fn words(&self) -> Arc<str> {
        let done = match self.action {
            Action::Up => "forced up",
            Action::Down => "forced down",
            Action::Drain => "drained",
        };
        let end = match self.until {
            Some(until) => format!("until {}", clock::utc(until)),
            None => "until cleared".to_owned(),
        };
        let here = if self.scope == Scope::Node { " on this node" } else { "" };
        format!("{done}{here} by {}, {end}: {}", self.author, self.reason).into()
    }
}

/// [`Action`] as its word.
mod action_word {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Action;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(action: &Action, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(action.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Action, D::Error> {
        let word = String::deserialize(from)?;
        super::action(&word).ok_or_else(|| {
            D::Error::custom(format!("unknown action `{word}`, expected up, down or drain"))
        })
    }
}

/// The action of this word.
pub fn action(word: &str) -> Option<Action> {
    [Action::Up, Action::Down, Action::Drain].into_iter().find(|action| action.as_str() == word)
}

#[cfg(test)]
mod tests;
