//! `keys.toml` as written.

use serde::Deserialize;

use super::fleet::EnvTable;
use super::{Field, Named, TextOr};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct KeysFile {
    /// Version of the language.
    pub version: Field<i64>,
    /// Keys by name.
    pub key: Named<KeyTable>,
}

/// `[key."NAME"]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct KeyTable {
    /// hmac-sha256, hmac-sha384 or hmac-sha512.
    pub algorithm: Field<String>,
    /// File that holds the secret.
    pub secret_file: Field<String>,
    /// Environment variable that holds the secret.
    pub secret: Field<TextOr<EnvTable>>,
}
