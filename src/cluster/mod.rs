//! Sharing verdicts between nodes: what is said, who is believed, and the engines that carry it.

mod beat;
#[cfg(test)]
mod golden;
mod mesh;
mod need;
mod page;
mod peer;
mod subject;
mod wire;
mod writer;

pub use beat::Beat;
pub use mesh::{Counts, Identity, Mesh, Mode, Outgoing, Pace, Step};
pub use need::Need;
pub use page::{Page, VOTES_MAX};
pub use subject::{Channel, Subjects};
pub use wire::{Dropped, LENGTH_MAX};
