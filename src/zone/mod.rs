//! Zones: the master-file reader, the checks of a zone's content, and the tree that is served.

mod records;
mod tree;

pub use records::{Record, Records};
pub use tree::{
    Found, NameTable, NegativeSoa, Node, QueryName, Rrset, SteeredOwner, TooLarge, Zone, hash,
    rtype,
};
