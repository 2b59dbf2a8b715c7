//! The query log: what is sampled, in which form, and where it goes.

use std::path::PathBuf;

/// The query log.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryLog {
    /// Share of the queries that is logged, from 0 to 1.
    pub sample: f64,
    /// Where it goes.
    pub target: LogTarget,
    /// How it is written.
    pub format: QueryLogFormat,
}

/// Where the query log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// A file, appended to, or a named pipe.
    File(PathBuf),
    /// A unix stream socket that somebody listens on.
    Socket(PathBuf),
}

/// The form of the query log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryLogFormat {
    /// One JSON object a line.
    Json,
    /// Dnstap messages in a frame stream.
    Dnstap,
}
