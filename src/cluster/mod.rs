//! Sharing verdicts and round trips between nodes: what is said, who is believed, and the engines
//! that carry it.

mod attendance;
mod beat;
mod challenge;
mod control;
mod counts;
mod embedded;
mod engine;
mod epoch;
#[cfg(test)]
mod golden;
mod ledger;
mod load;
mod mesh;
mod nats;
mod need;
mod open;
mod page;
mod peer;
mod presence;
mod report;
mod reporter;
mod reports;
mod share;
mod subject;
mod version;
mod wire;
mod writer;

pub use attendance::{Attendance, Attendant};
pub use beat::Beat;
pub use challenge::{ChallengePage, ChallengeSharing};
pub use control::{Control, ControlError, Entries, Entry};
pub use counts::Counts;
pub use embedded::{Attached, Hub};
pub use engine::{Engine, Signal};
pub use epoch::next_epoch;
pub use ledger::Ledger;
pub use load::{LoadPage, LoadSharing};
pub use mesh::{Identity, Mesh, Mode, Outgoing, Pace, Step};
pub use nats::{Bus, Create, Examined, Grade, NatsControl, bucket_name, examine, view_name};
pub use need::Need;
pub use open::{Opened, open};
pub use page::{Page, VOTES_MAX};
pub use presence::{Presence, Roles};
pub use report::Report;
pub use reporter::ReportWriter;
pub use share::Share;
pub use subject::{Channel, Subjects};
pub use wire::{Dropped, LENGTH_MAX};
