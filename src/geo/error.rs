//! Why a geo database cannot be used.

use std::fmt;

/// A geo database that cannot be used; all of these are the operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeoError {
    /// The file cannot be read.
    Read {
        /// The path as written in the configuration.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// The file is no sound database.
    Invalid {
        /// The path as written in the configuration.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl GeoError {
    /// The path as written in the configuration.
    pub fn file(&self) -> &str {
        match self {
            Self::Read { file, .. } | Self::Invalid { file, .. } => file,
        }
    }

    /// What is wrong, for messages that name the file themselves.
    pub fn what(&self) -> String {
        match self {
            Self::Read { reason, .. } => format!("cannot read the geo database: {reason}"),
            Self::Invalid { reason, .. } => format!("no sound geo database: {reason}"),
        }
    }
}

impl fmt::Display for GeoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, reason } => write!(f, "cannot read `{file}`: {reason}"),
            Self::Invalid { file, reason } => {
                write!(f, "`{file}` is no sound geo database: {reason}")
            }
        }
    }
}

impl std::error::Error for GeoError {}
