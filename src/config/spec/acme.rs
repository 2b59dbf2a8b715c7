//! `[proxy.acme]` as written.

use serde::Deserialize;

use super::{EnvTable, Field, List, Table, TextOr};

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
    /// Who the authority knows already.
    pub external_account: Field<Table<ExternalAccountTable>>,
    /// What is ordered.
    pub certificates: List<Table<OrderedTable>>,
}

/// `[proxy.acme.external_account]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ExternalAccountTable {
    /// What the authority calls the account that it knows.
    pub key_id: Field<String>,
    /// File of the key that belongs to it, in base64.
    pub secret_file: Field<String>,
    /// The same from the environment.
    pub secret: Field<TextOr<EnvTable>>,
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
