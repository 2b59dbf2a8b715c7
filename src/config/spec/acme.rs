//! `[proxy.acme]` as written.

use serde::Deserialize;

use super::{Field, List, Table};

/// `[proxy.acme]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AcmeTable {
    /// URL of the authority's directory.
    pub directory: Field<String>,
    /// PEM file of whom the directory's certificate is to be of.
    pub authority: Field<String>,
    /// Whether the authority's terms of service are agreed to.
    pub agree_terms: Field<bool>,
    /// Mail addresses.
    pub contact: List<String>,
    /// What is ordered.
    pub certificates: List<Table<OrderedTable>>,
}

/// One item of `proxy.acme.certificates`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct OrderedTable {
    /// The names it is for.
    pub names: List<String>,
    /// http-01 or dns-01.
    pub challenge: Field<String>,
}
