//! A difference in words.

use std::fmt;

use super::{CountryDifference, Difference, MoveDifference, ServiceDifference};
use crate::cli::output::percent;
use crate::diagnostic::count;

/// Moves of a service that are shown; the values for programs have all.
const MOVES_MAX: usize = 8;
/// Countries of a service that are shown.
const COUNTRIES_MAX: usize = 10;
/// Static records that are shown.
const RECORDS_MAX: usize = 10;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, prefixes, gone, new, records, services } = self;
        write!(f, "{} in {prefixes} prefixes, ", count(*clients as usize, "client"))?;
        f.write_str("while everything is up; round trips by distance")?;
        for name in gone {
            write!(f, "\n{name} is gone: its clients are answered by no service")?;
        }
        for name in new {
            write!(f, "\n{name} is new")?;
        }
        for record in records.iter().take(RECORDS_MAX) {
            write!(f, "\n{record}: other records")?;
        }
        if let Some(more @ 1..) = records.len().checked_sub(RECORDS_MAX) {
            write!(f, "\nand other records of {more} more names and types")?;
        }
        for service in services {
            write!(f, "\n\n{service}")?;
        }
        if self.is_empty() {
            f.write_str("\nno client gets another answer")?;
        }
        Ok(())
    }
}

impl fmt::Display for ServiceDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, changed, moved, moves, countries } = self;
        let (changed, moved) = (percent(*changed), percent(*moved));
        write!(f, "{service}\n  {changed} of the clients get another answer, {moved} move")?;
        for one in moves.iter().take(MOVES_MAX) {
            write!(f, "\n    {one}")?;
        }
        if let Some(more @ 1..) = moves.len().checked_sub(MOVES_MAX) {
            write!(f, "\n    and {more} more moves")?;
        }
        write!(f, "\n  {:<10} {:>7} {:>13}  round trip", "country", "share", "other answer")?;
        for country in countries.iter().take(COUNTRIES_MAX) {
            write!(f, "\n  {country}")?;
        }
        if let Some(more @ 1..) = countries.len().checked_sub(COUNTRIES_MAX) {
            write!(f, "\n  and {more} more countries")?;
        }
        Ok(())
    }
}

impl fmt::Display for MoveDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, share, added_ms } = self;
        write!(f, "{:>7} ", percent(*share))?;
        match (from, to) {
            (Some(from), Some(to)) if from == to => return write!(f, "within {from}"),
            (Some(from), Some(to)) => write!(f, "from {from} to {to}")?,
            (Some(from), None) => write!(f, "from {from} to no answer")?,
            (None, Some(to)) => write!(f, "from no answer to {to}")?,
            (None, None) => f.write_str("from no answer to none")?,
        }
        added_ms.map_or(Ok(()), |ms| write!(f, ", {ms:+.0} ms"))
    }
}

impl fmt::Display for CountryDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { country, share, changed, lost, added_ms } = self;
        let (share, changed) = (percent(*share), percent(*changed));
        let added = added_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:+.0} ms"));
        write!(f, "{country:<10} {share:>7} {changed:>13}  {added}")?;
        if *lost > 0.0 {
            write!(f, ", {} get no answer", percent(*lost))?;
        }
        Ok(())
    }
}
