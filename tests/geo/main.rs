//! Geo databases, operator networks and prefix tables, from files to answers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Test.
#![allow(clippy::print_stdout)] // Figures, shown on demand.

mod hostile;
mod layouts;
mod oracle;
mod reload;
mod sample;
mod tables;
mod writer;
