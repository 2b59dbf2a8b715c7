//! A drill file as written.

use serde::Deserialize;

use super::{DurationText, Field, List, Table};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct DrillFile {
    /// Version of the language.
    pub version: Field<i64>,
    /// What is done.
    pub drill: Field<Table<DrillTable>>,
    /// What is to hold.
    pub expect: Field<Table<ExpectTable>>,
    /// What ends it early.
    pub abort: Field<Table<AbortTable>>,
}

/// `[drill]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct DrillTable {
    /// What it is called.
    pub name: Field<String>,
    /// What is taken out.
    pub fail: List<String>,
    /// health or drain.
    pub how: Field<String>,
    /// For how long.
    #[serde(rename = "for")]
    pub lasts: Field<DurationText>,
    /// The services that are looked at.
    pub services: List<String>,
    /// When it is to begin.
    pub at: Field<String>,
    /// Where the nodes answer.
    pub nodes: List<String>,
    /// The clients that are asked for.
    pub clients: List<String>,
    /// How often all of them are asked.
    pub every: Field<DurationText>,
}

/// `[expect]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ExpectTable {
    /// Every node answers without it.
    pub moved_within: Field<DurationText>,
    /// No node answers with an error or nothing.
    pub no_errors: Field<bool>,
    /// No surviving region has more load.
    pub survivor_load: Field<f64>,
    /// Answers are as before.
    pub back_within: Field<DurationText>,
}

/// `[abort]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AbortTable {
    /// A surviving region has this load.
    pub survivor_load: Field<f64>,
    /// One of these regions no longer serves.
    pub down: List<String>,
}
