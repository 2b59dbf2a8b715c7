//! A request over which its thread panics, so that tests see what a panic costs. Part of a build
//! only with the feature `failpoints`, which nothing but tests should have.

use std::panic::panic_any;

use http::Uri;

/// The path of such a request.
const PATH: &str = "/failpoint";

/// Panics over a request for the path `/failpoint`.
#[allow(clippy::panic)] // Its purpose.
pub(super) fn reach(target: &Uri) {
    if target.path() == PATH {
        panic_any("a request reached the failpoint");
    }
}
