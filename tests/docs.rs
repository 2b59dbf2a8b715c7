//! Holds the documents to the code: keys, defaults, ranges, examples, warnings, metrics, links.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.
#![allow(clippy::indexing_slicing, clippy::disallowed_methods)] // As above.

#[path = "docs/alerts.rs"]
mod alerts;
#[path = "docs/drills.rs"]
mod drills;
#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/exposition.rs"]
mod exposition;
#[path = "docs/keys.rs"]
mod keys;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/man.rs"]
mod man;
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "docs/metrics.rs"]
mod metrics;
#[path = "docs/openapi.rs"]
mod openapi;
mod support;
#[path = "docs/values.rs"]
mod values;
#[path = "docs/warnings.rs"]
mod warnings;
