//! Certificates by ACME (RFC 8555): what is asked of this node, when to order, and who orders.

mod challenges;
mod client;
mod keeper;
mod order;
mod plan;
mod progress;
mod store;

pub use challenges::{Answers, CHALLENGES_MAX, Challenge, Challenges};
pub use keeper::{Surroundings, keep};
pub use plan::{Outcome, Record, due};
pub use progress::{Progress, Stage};

/// What the parts of a node share about certificates by ACME; it goes on to change.
#[derive(Debug, Default)]
pub struct Issuance {
    /// What authorities ask for, here and at peers.
    pub challenges: Challenges,
    /// How the orders of this node stand.
    pub progress: Progress,
}
