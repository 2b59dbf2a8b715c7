//! Geo databases, operator networks and prefix tables, from files to answers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)] // tests

mod hostile;
mod layouts;
mod oracle;
mod sample;
mod tables;
mod writer;
