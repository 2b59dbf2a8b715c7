//! Webhooks as written in `node.toml`.

use serde::Deserialize;

use super::{DurationText, EnvTable, Field, List, TextOr};

/// `[webhook.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct WebhookTable {
    /// Where messages are sent.
    pub url: Field<String>,
    /// File of the secret that they are signed with.
    pub secret_file: Field<String>,
    /// The secret in the environment.
    pub secret: Field<TextOr<EnvTable>>,
    /// Kinds of happenings.
    pub events: List<String>,
    /// Time in which they are collected.
    pub group: Field<DurationText>,
}
