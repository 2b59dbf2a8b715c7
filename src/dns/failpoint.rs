//! A query that makes its worker panic, so that tests see what a panic costs. Part of a build only
//! with the feature `failpoints`, which nothing but tests should have.

use std::panic::panic_any;

/// The first label of such a query, with its length before it.
const LABEL: &[u8] = b"\x09failpoint";

/// Panics over a query whose first label is `failpoint`.
#[allow(clippy::panic)] // Its purpose.
pub(super) fn reach(query: &[u8]) {
    if query.get(super::wire::HEADER..).is_some_and(|question| question.starts_with(LABEL)) {
        panic_any("a query reached the failpoint");
    }
}
