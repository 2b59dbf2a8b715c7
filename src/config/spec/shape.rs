//! What a route does with heads and bodies, as written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{DurationText, Field, List};

/// `request_headers` or `response_headers` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct EditsTable {
    /// In place of what was there.
    pub set: Field<BTreeMap<Spanned<String>, Spanned<String>>>,
    /// Beside what was there.
    pub add: Field<BTreeMap<Spanned<String>, Spanned<String>>>,
    /// Taken out.
    pub remove: List<String>,
}

/// `redirect` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RedirectTable {
    /// URL or path.
    pub to: Field<String>,
    /// 301, 302, 303, 307 or 308.
    pub status: Field<i64>,
}

/// `respond` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RespondTable {
    /// Status of the reply.
    pub status: Field<i64>,
    /// Text of the reply.
    pub body: Field<String>,
    /// File with the body.
    pub body_file: Field<String>,
    /// What the body is.
    pub content_type: Field<String>,
}

/// `rewrite` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RewriteTable {
    /// In place of the route's prefix.
    pub prefix: Field<String>,
    /// In place of the whole path.
    pub path: Field<String>,
}

/// `sticky` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct StickyTable {
    /// Name of the cookie.
    pub cookie: Field<String>,
    /// File of the secrets that sign it.
    pub secret_file: Field<String>,
}

/// `unavailable` of a route
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct UnavailableTable {
    /// Status of the reply.
    pub status: Field<i64>,
    /// When to ask again.
    pub retry_after: Field<DurationText>,
    /// Whether the reply says why.
    pub cause_header: Field<bool>,
    /// Text of the reply.
    pub body: Field<String>,
    /// File with the body.
    pub body_file: Field<String>,
    /// What the body is.
    pub content_type: Field<String>,
}

/// `compress` of a route, when it is a table
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct CompressTable {
    /// Encodings in order of preference.
    pub encodings: List<String>,
    /// Media types.
    pub types: List<String>,
    /// Shorter bodies stay as they are.
    pub min_size: Field<String>,
}
