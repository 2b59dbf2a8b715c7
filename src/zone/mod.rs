//! Zones: the master-file reader, the checks of a zone's content, and the tree that is served.

mod records;

pub use records::{Record, Records};
