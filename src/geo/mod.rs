//! Where clients are: geo databases and operator networks, compiled into prefix tables.
//!
//! [`Databases`] reads files, [`Ground`] lays them and the operator's networks over the address
//! space, and [`Ground::compile`] makes the [`PrefixTable`] of one policy from it.

mod address;
mod compile;
mod database;
mod error;
mod lists;
mod ranges;
mod record;
mod table;

pub use compile::{Client, Ground};
pub use database::{Database, Databases};
pub use error::GeoError;
pub use table::PrefixTable;
