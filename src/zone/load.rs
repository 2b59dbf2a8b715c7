//! A zone from its files, read and checked.

use std::path::Path;

use super::check::{Content, Steered, check};
use super::files::{Files, Open, open};
use super::reader::{read, read_from, with_master};
use super::records::Records;
use crate::diagnostic::Diagnostics;
use crate::name::Name;

/// Reads the master file at `path`, named `shown` in diagnostics, and checks the zone; `steered`
/// is what services answer. The records can be served unless a diagnostic
/// is an error.
pub fn load(
    origin: &Name,
    path: &Path,
    shown: &str,
    steered: &[Steered],
) -> (Records, Files, Diagnostics) {
    let (records, files, mut diagnostics) = read(origin, path, shown);
    let complete = !diagnostics.has_errors();
    let content = Content { origin, records: &records, steered, files: &files, complete };
    diagnostics.extend(check(&content, &mut open));
    (records, files, diagnostics)
}

/// As [`load`], from memory: `text` is the master file and `open` gives what it includes.
pub fn load_from(
    origin: &Name,
    shown: &str,
    text: &[u8],
    steered: &[Steered],
    open: &mut Open<'_>,
) -> (Records, Files, Diagnostics) {
    let (records, files, mut diagnostics) = read_from(origin, shown, text, open);
    let complete = !diagnostics.has_errors();
    let content = Content { origin, records: &records, steered, files: &files, complete };
    let master = Path::new(shown);
    diagnostics.extend(check(&content, &mut with_master(master, text, open)));
    (records, files, diagnostics)
}
