//! `tokens.toml` as written.

use serde::Deserialize;

use super::{Field, Named};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TokensFile {
    /// Version of the language.
    pub version: Field<i64>,
    /// Tokens by name.
    pub token: Named<TokenTable>,
}

/// `[token.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct TokenTable {
    /// read or operate.
    pub role: Field<String>,
    /// Digest of the token.
    pub hash: Field<String>,
}
