//! Drills: whether one may run, what it sees while it runs, and what is told of it afterwards.
//!
//! All of this is without clock or network: [`preflight()`] judges a state of the world, [`Run`]
//! takes in what was heard when, [`Report`] is what came of it.

mod preflight;
mod report;
mod run;

pub use preflight::{Burden, Finding, Intent, Preflight, Survivor, World, preflight};
pub use report::{
    Checked, ErrorSeen, Mark, NodeReport, Outcome, RegionLoad, Report, Slot, Timeline, html, junit,
};
pub use run::{Demand, Heard, Place, Run, Seen, Setup};
