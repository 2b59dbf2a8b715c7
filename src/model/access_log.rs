//! The access log of the proxy: which requests are written down, and where to.

use std::path::PathBuf;

/// The access log.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where it goes: a file, appended to, or a named pipe; `None`: standard error.
    pub file: Option<PathBuf>,
    /// Share of the requests that is logged, from 0 to 1.
    pub sample: f64,
    /// Whether replies of 500 and above are logged beside the share.
    pub errors: bool,
}
