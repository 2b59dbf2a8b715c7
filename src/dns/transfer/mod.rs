//! Zone transfers: what is sent to secondaries, and what is fetched from primaries.

mod compose;
mod difference;
mod fetch;
mod fetcher;
mod incoming;
mod notify;
mod outgoing;
mod reader;
mod sending;

pub use fetcher::{Assignment, Surroundings, run as keep_fresh};
pub use incoming::{Broken, Incoming, Outcome};
pub use notify::Notifier;
pub(super) use sending::Sender;
