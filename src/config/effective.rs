//! The values in force and where each comes from, as `meridian check --effective` prints them.

use std::fmt;

use serde::{Serialize, Serializer};

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The file the key belongs to, as the operator would write it.
    pub file: String,
    /// The key with all tables around it, with dots.
    pub key: String,
    /// The value as it is or would be written.
    pub value: String,
    /// Where it comes from.
    pub from: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing is written, so the default holds.
    Default,
    /// This line of [`Effective::file`].
    Line(String, u32),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(file, line) => write!(f, "{file}:{line}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
