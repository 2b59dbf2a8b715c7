//! Zones: the master-file reader, the checks of a zone's content, and the tree that is served.

mod check;
mod duplicates;
mod files;
mod findings;
mod generate;
mod head;
pub mod kept;
mod load;
mod mistake;
pub mod rdata;
mod reader;
mod records;
pub mod schedule;
pub mod serial;
mod token;
mod tree;
mod ttl;

pub use check::{Content, Steered, check};
pub use files::{Files, Open};
pub use load::{load, load_from};
pub use mistake::Mistake;
pub use reader::{read, read_from};
pub use records::{Record, Records};
pub use tree::{
    Found, NameTable, NegativeSoa, Node, QueryName, Rrset, SteeredOwner, TooLarge, Zone, hash,
    rtype,
};
