//! The kinds of happenings, and what is told of each.

use schemars::JsonSchema;
use serde::Serialize;

use crate::health::overrides::Override;

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Happening {
    /// The health of an endpoint has changed.
    Flip {
        /// Name of its pool.
        pool: String,
        /// Name of its region.
        region: String,
        /// Its address or hostname.
        endpoint: String,
        /// What it was: up, unknown, drained or down.
        from: String,
        /// What it is.
        to: String,
        /// Why.
        cause: String,
    },
    /// The last endpoint of a region that served has gone, or the first has come back.
    Region {
        /// Name of the region.
        region: String,
        /// What it is now.
        state: RegionState,
    },
    /// How far this node can rely on its peers has changed.
    Mode {
        /// alone, live, degraded or isolated.
        mode: String,
    },
    /// The files were read anew.
    Reload {
        /// ok, partial or refused.
        outcome: String,
    },
    /// An override was set, here or on another node.
    OverrideSet {
        /// It.
        #[serde(rename = "override")]
        what: Override,
    },
    /// An override was cleared.
    OverrideCleared {
        /// It.
        #[serde(rename = "override")]
        what: Override,
    },
    /// The time of an override is up.
    OverrideEnded {
        /// It.
        #[serde(rename = "override")]
        what: Override,
    },
    /// The first override of a drill is in force.
    DrillStarted {
        /// Its name.
        drill: String,
        /// Who runs it.
        author: String,
    },
    /// No override of a drill is in force any more.
    DrillEnded {
        /// Its name.
        drill: String,
    },
    /// Whoever ran a drill says what came of it.
    DrillReported {
        /// Its name.
        drill: String,
        /// passed, failed or aborted.
        outcome: String,
        /// Why it was aborted.
        reason: Option<String>,
    },
    /// A certificate of this node ends soon, or has ended.
    Certificate {
        /// What shows it: dns, admin or proxy.
        place: String,
        /// The names in it.
        names: Vec<String>,
        /// Whole days that are left; negative: since it has ended.
        days_left: i64,
    },
    /// An order of a certificate has failed; what there is serves on.
    CertificateFailed {
        /// The names that were asked for.
        names: Vec<String>,
        /// unreached, refused or limited.
        outcome: String,
        /// Why, in the authority's words where it gave any.
        error: String,
        /// Orders in a row that failed.
        failures: u32,
        /// When the certificate there is ends, in seconds since 1970-01-01 UTC; null: there is
        /// none.
        ends: Option<i64>,
        /// When it is ordered again, in seconds since 1970-01-01 UTC.
        next: u64,
    },
    /// A peer serves another configuration than this node, or no longer does.
    Drift {
        /// Region of the peer.
        region: String,
        /// Name of the peer.
        peer: String,
        /// Whether it differs now.
        drifted: bool,
        /// The first twelve digits of the digest of what it serves, as `status` shows it; null: it
        /// is as this node's, or the peer is silent.
        digest: Option<String>,
    },
    /// A geo database is older than `geo.max_age`.
    GeoAge {
        /// Its file.
        database: String,
        /// Its age in days.
        days: u64,
    },
}

/// Whether a region serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RegionState {
    /// It has an endpoint that is up or not judged yet.
    Up,
    /// It has none.
    Down,
}

impl Happening {
    /// The word for what it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flip { .. } => "flip",
            Self::Region { .. } => "region",
            Self::Mode { .. } => "mode",
            Self::Reload { .. } => "reload",
            Self::OverrideSet { .. } => "override.set",
            Self::OverrideCleared { .. } => "override.cleared",
            Self::OverrideEnded { .. } => "override.ended",
            Self::DrillStarted { .. } => "drill.started",
            Self::DrillEnded { .. } => "drill.ended",
            Self::DrillReported { .. } => "drill.reported",
            Self::Certificate { .. } => "certificate",
            Self::CertificateFailed { .. } => "certificate.failed",
            Self::GeoAge { .. } => "geo",
            Self::Drift { .. } => "drift",
        }
    }

    /// What may change again and again; `None`: each is news.
    pub(in crate::admin) fn subject(&self) -> Option<String> {
        match self {
            Self::Flip { pool, region, endpoint, .. } => {
                Some(format!("flip {pool} {region} {endpoint}"))
            }
            Self::Region { region, .. } => Some(format!("region {region}")),
            Self::CertificateFailed { names, .. } => {
                Some(format!("certificate.failed {}", names.join(" ")))
            }
            Self::Drift { region, peer, .. } => Some(format!("drift {region} {peer}")),
            Self::Mode { .. } | Self::Reload { .. } => Some(self.kind().to_owned()),
            _ => None,
        }
    }
}
