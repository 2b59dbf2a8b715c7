//! Verdicts in the form that survives a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EndpointIdentity, Machine, Prober, Verdict};
use crate::clock::Tick;

/// Verdicts older than this say nothing about now: the endpoints start as unknown.
pub const SAVED_AGE_MAX: Duration = Duration::from_secs(3600);

/// The form that is written. Form 1, before nodes shared verdicts, lacks what was merged.
const VERSION: u32 = 2;

/// The verdicts of all endpoints and monitors at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedHealth {
    /// The form, for versions to come.
    version: u32,
    /// Seconds since 1970-01-01 UTC.
    pub(super) saved_at: u64,
    /// Those that are known.
    pub(super) verdicts: Vec<SavedVerdict>,
    /// The other probers of the fleet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) probers: Vec<SavedProber>,
}

impl SavedHealth {
    /// What is known at `saved_at`.
    pub(super) fn new(
        saved_at: u64,
        verdicts: Vec<SavedVerdict>,
        probers: Vec<SavedProber>,
    ) -> Self {
        Self { version: VERSION, saved_at, verdicts, probers }
    }

    /// Seconds since 1970-01-01 UTC when it was saved.
    pub fn saved_at(&self) -> u64 {
        self.saved_at
    }

    /// How long ago it was saved; the error says why it tells nothing about now.
    pub fn age(&self, unix_now: u64) -> Result<Duration, String> {
        let seconds = unix_now.checked_sub(self.saved_at);
        let age = seconds.map(Duration::from_secs).ok_or("the clock was set back since")?;
        if age > SAVED_AGE_MAX {
            return Err(format!("it is {} minutes old", age.as_secs() / 60));
        }
        Ok(age)
    }

    /// Whether it tells what was merged; in form 1 each verdict was all there was.
    pub(super) fn tells_merged(&self) -> bool {
        self.version > 1
    }

    /// Number of verdicts.
    pub fn len(&self) -> usize {
        self.verdicts.len()
    }

    /// Whether nothing was known.
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
    }

    /// Reads what [`Self::to_json`] wrote; the text says what is wrong.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let saved: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !(1..=VERSION).contains(&saved.version) {
            return Err(format!(
                "version `{}` is not known, expected 1 or {VERSION}",
                saved.version
            ));
        }
        Ok(saved)
    }

    /// One JSON document.
    pub fn to_json(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }
}

/// One verdict, with everything named as in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedVerdict {
    pool: String,
    region: String,
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probe: Option<String>,
    monitor: String,
    /// What this node says by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Word>,
    /// What the last vote with a quorum came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merged: Option<Word>,
    /// In words.
    pub(super) cause: String,
    /// For how long it had been so when it was saved.
    pub(super) held_seconds: u64,
}

/// A verdict worth saving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Up,
    Down,
}

/// What a saved verdict is about: pool, region, address, probe address, monitor.
pub(super) type Place = (String, String, String, Option<String>, String);

impl SavedVerdict {
    /// The verdict of a machine, and what was settled.
    pub(super) fn new(
        identity: &EndpointIdentity,
        monitor: &str,
        machine: &Machine,
        settled: Verdict,
        now: Tick,
    ) -> Self {
        let (pool, region, address, probe, monitor) = Self::place_of(identity, monitor);
        let (verdict, merged) = (Word::of(machine.verdict()), Word::of(settled));
        let (cause, held) = (machine.cause().to_string(), now.since(machine.since()));
        let held_seconds = held.as_secs();
        Self { pool, region, address, probe, monitor, verdict, merged, cause, held_seconds }
    }

    /// What it is about.
    pub(super) fn place(&self) -> Place {
        let Self { pool, region, address, probe, monitor, .. } = self.clone();
        (pool, region, address, probe, monitor)
    }

    /// What a verdict on this endpoint and monitor is filed under.
    pub(super) fn place_of(identity: &EndpointIdentity, monitor: &str) -> Place {
        let (pool, region) = (identity.pool.clone(), identity.region.clone());
        (pool, region, identity.address.to_string(), identity.probe_text(), monitor.to_owned())
    }

    /// What it says.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.map_or(Verdict::Unknown, Verdict::from)
    }

    /// What was settled; `None`: nothing.
    pub(super) fn merged(&self) -> Option<Verdict> {
        self.merged.map(Verdict::from)
    }
}

impl Word {
    fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Unknown => None,
            Verdict::Up => Some(Self::Up),
            Verdict::Down => Some(Self::Down),
        }
    }
}

impl From<Word> for Verdict {
    fn from(word: Word) -> Self {
        match word {
            Word::Up => Self::Up,
            Word::Down => Self::Down,
        }
    }
}

/// Another prober of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedProber {
    region: String,
    node: String,
    /// How long before it was saved it had been heard.
    pub(super) age_seconds: u64,
}

impl SavedProber {
    /// A prober that was heard so long ago.
    pub(super) fn new(prober: &Prober, age: Duration) -> Self {
        let Prober { region, node } = prober.clone();
        Self { region, node, age_seconds: age.as_secs() }
    }

    /// Its names.
    pub(super) fn prober(&self) -> Prober {
        Prober { region: self.region.clone(), node: self.node.clone() }
    }
}
