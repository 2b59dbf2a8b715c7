//! What operators tell the fleet: a small table that all nodes see, changed by compare-and-set.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::ledger::Ledger;
use super::nats::NatsControl;

/// Longest key in octets.
const KEY_MAX: usize = 256;
/// Longest value in octets.
const VALUE_MAX: usize = 64 << 10;
/// Keys there may be.
pub(super) const ENTRIES_MAX: usize = 10_000;

/// A value and its revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was put there.
    pub value: String,
    /// Which change of the table it was.
    pub revision: u64,
}

/// The table at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// By key.
    pub entries: BTreeMap<String, Entry>,
    /// Whether this is from the engine, rather than from the state folder.
    pub current: bool,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// The key is at another revision than expected.
    Conflict,
    /// Key or value cannot be: what is wrong.
    Invalid(String),
    /// The engine did not take it: why. Whether it was made is not known.
    Unavailable(String),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("somebody else has changed it meanwhile"),
            Self::Invalid(why) => f.write_str(why),
            Self::Unavailable(why) => write!(f, "the cluster engine did not take it: {why}"),
        }
    }
}

impl std::error::Error for ControlError {}

/// The table of an engine; clones are the same table.
#[derive(Clone, Debug)]
pub enum Control {
    /// In the state folder of this node.
    Embedded(Arc<Ledger>),
    /// In a bucket of the bus, with a copy in the state folder.
    Nats(Arc<NatsControl>),
}

impl Control {
    /// Puts a value under a key that is at revision `expected`, 0 for one that is not there, and
    /// gives the new revision.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn put(&self, key: &str, value: &str, expected: u64) -> Result<u64, ControlError> {
        check_key(key)?;
        if value.len() > VALUE_MAX {
            let why = format!("the value has {} octets, {VALUE_MAX} at most", value.len());
            return Err(ControlError::Invalid(why));
        }
        match self {
            Self::Embedded(ledger) => ledger.put(key, value, expected).await,
            Self::Nats(bucket) => bucket.put(key, value, expected).await,
        }
    }

    /// Takes away a key that is at revision `expected`.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn delete(&self, key: &str, expected: u64) -> Result<(), ControlError> {
        check_key(key)?;
        match self {
            Self::Embedded(ledger) => ledger.delete(key, expected).await,
            Self::Nats(bucket) => bucket.delete(key, expected).await,
        }
    }

    /// The table as it is and as it changes. Changes that follow each other closely may be seen
    /// as one.
    pub fn watch(&self) -> watch::Receiver<Arc<Entries>> {
        match self {
            Self::Embedded(ledger) => ledger.watch(),
            Self::Nats(bucket) => bucket.watch(),
        }
    }
}

fn check_key(key: &str) -> Result<(), ControlError> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'/' | b'=');
    let dots = key.starts_with('.') || key.ends_with('.') || key.contains("..");
    if (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(plain) && !dots {
        return Ok(());
    }
    let why = "expected letters, digits, `-`, `_`, `/`, `=` and single dots within";
    Err(ControlError::Invalid(format!("`{key}` is not a valid key, {why}")))
}
