//! Webhooks: who is told of what happens.

use std::time::Duration;

use super::Secret;

/// Somebody who is told of what happens, by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The name in the configuration.
    pub name: String,
    /// Where messages are sent.
    pub url: String,
    /// What they are signed with.
    pub secret: Secret,
    /// The kinds of happenings that are told; never empty.
    pub events: Vec<&'static str>,
    /// Happenings within this time are told together.
    pub group: Duration,
}

/// The kinds of happenings.
pub const EVENT_KINDS: [&str; 14] = [
    "flip",
    "region",
    "mode",
    "reload",
    "override.set",
    "override.cleared",
    "override.ended",
    "drill.started",
    "drill.ended",
    "drill.reported",
    "certificate",
    "certificate.failed",
    "geo",
    "drift",
];
