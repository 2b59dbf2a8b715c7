//! Puts a zone together from the messages of a transfer (RFC 5936 section 2.2, RFC 1995 section 4).
//!
//! ```text
//! Begin ──SOA──▶ Second ──SOA of the copy──▶ Removing ──SOA──▶ Adding ──newest SOA, twice──▶ Done
//!                   │                            ▲                │
//!                   └──anything else──▶ Whole    └──SOA between───┘
//!                                         └──the SOA again──▶ Done
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::reader::{Read, answers};
use crate::name::{Name, is_at_or_below};
use crate::zone::kept::OCTETS_MAX;
use crate::zone::rdata::canonical;
use crate::zone::{Record, Records, rtype};

/// Most records of a zone, and of the changes in one transfer.
const RECORDS_MAX: usize = 10_000_000;
/// What a record takes beside its RDATA, about: owner, type, TTL and length.
const RECORD_OCTETS: usize = 40;

/// Why a transfer is no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A message cannot be read.
    Malformed,
    /// It does not begin with the SOA of the zone.
    Start,
    /// Changes begin at another serial than the copy has.
    Serial,
    /// A record to be removed is not there.
    Absent,
    /// An owner lies outside the zone.
    Outside,
    /// Records follow the end.
    Surplus,
    /// More records or octets than a zone may have.
    TooLarge,
    /// The apex has no NS record.
    NoServers,
    /// It ends before its end.
    CutShort,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "a message is malformed",
            Self::Start => "it does not start with the SOA of the zone",
            Self::Serial => "the changes start at another serial than the one asked for",
            Self::Absent => "a record is to be removed that is not there",
            Self::Outside => "a record lies outside the zone",
            Self::Surplus => "records follow the end of the zone",
            Self::TooLarge => "the zone is larger than 10,000,000 records or 1 GiB",
            Self::NoServers => "the apex has no NS record",
            Self::CutShort => "it ends before the zone does",
        })
    }
}

impl std::error::Error for Broken {}

/// What a transfer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The copy is up to date.
    Unchanged,
    /// The zone, sorted.
    Zone(Records),
}

/// A transfer as far as it has come.
#[derive(Debug)]
pub struct Incoming {
    apex: Name,
    /// The copy that changes apply to; `None`: all of the zone was asked for.
    copy: Option<(u32, Arc<Records>)>,
    state: State,
    /// Whether changes came, not all of the zone.
    incremental: bool,
    /// The newest SOA.
    soa: Option<(u32, Read)>,
    whole: Records,
    /// By owner, type and RDATA: the TTL of what was added; `None`: removed.
    changes: HashMap<Change, Option<(u32, Vec<u8>)>>,
    records: usize,
    octets: u64,
}

/// Owner, type and RDATA in canonical form.
type Change = (Vec<u8>, u16, Vec<u8>);

/// Where a transfer is; serials are those of the last SOA in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begin,
    Second,
    Whole,
    Removing(u32),
    Adding(u32),
    Done,
}

impl Incoming {
    /// Waits for a zone; `copy` is what changes may apply to, sorted, with its serial.
    pub fn new(apex: Name, copy: Option<(u32, Arc<Records>)>) -> Self {
        Self {
            apex,
            copy,
            state: State::Begin,
            incremental: false,
            soa: None,
            whole: Records::default(),
            changes: HashMap::new(),
            records: 0,
            octets: 0,
        }
    }

    /// Takes the next message, whose signature, if any, was verified; `true`: it was the last.
    ///
    /// # Errors
    /// When this becomes no zone.
    pub fn take(&mut self, message: &[u8]) -> Result<bool, Broken> {
        let mut fault = None;
        answers(message, |record| {
            fault = self.record(record).err();
            fault.is_none()
        })
        .ok_or(Broken::Malformed)?;
        match fault {
            Some(fault) => Err(fault),
            // The SOA alone says that there is nothing newer (RFC 1995 section 4); otherwise the
            // rest comes in other messages.
            None if self.state == State::Second && self.is_unchanged() => Ok(true),
            None => Ok(self.state == State::Done),
        }
    }

    fn is_unchanged(&self) -> bool {
        let newest = self.soa.as_ref().map(|(serial, _)| *serial);
        self.state == State::Second && self.copy.as_ref().map(|(serial, _)| *serial) == newest
    }

    /// The zone, when [`Incoming::take`] has said that it is whole.
    ///
    /// # Errors
    /// When it is not whole, or lacks what a zone must have.
    pub fn finish(mut self) -> Result<Outcome, Broken> {
        if self.is_unchanged() {
            return Ok(Outcome::Unchanged);
        }
        if self.state != State::Done {
            return Err(Broken::CutShort);
        }
        let mut records = match self.copy.take().filter(|_| self.incremental) {
            Some((_, copy)) => self.changed(&copy)?,
            None => std::mem::take(&mut self.whole),
        };
        let (_, soa) = self.soa.take().ok_or(Broken::Start)?;
        push(&mut records, &soa)?;
        records.sort();
        // RFC 1034 section 4.2.1.
        let apex = self.apex.as_wire();
        if !records.at_owner(apex).any(|record| record.rtype == rtype::NS) {
            return Err(Broken::NoServers);
        }
        Ok(Outcome::Zone(records))
    }

    fn record(&mut self, record: Read) -> Result<(), Broken> {
        self.records += 1;
        self.octets += (record.rdata.len() + RECORD_OCTETS) as u64;
        if self.records > RECORDS_MAX || self.octets > OCTETS_MAX {
            return Err(Broken::TooLarge);
        }
        if !is_at_or_below(&record.owner, self.apex.as_wire()) {
            return Err(Broken::Outside);
        }
        let serial = (record.rtype == rtype::SOA).then(|| serial(&record)).flatten();
        if serial.is_some() && record.owner != self.apex.as_wire() {
            return Err(Broken::Outside);
        }
        match (self.state, serial) {
            (State::Begin, Some(newest)) => {
                self.soa = Some((newest, record));
                self.state = State::Second;
                Ok(())
            }
            (State::Begin, None) => Err(Broken::Start),
            (State::Done, _) => Err(Broken::Surplus),
            (_, Some(serial)) => self.boundary(serial),
            (State::Second | State::Whole, None) => {
                self.state = State::Whole;
                push(&mut self.whole, &record)
            }
            (State::Removing(_), None) => self.remove(&record),
            (State::Adding(_), None) => {
                let Read { owner, rtype, ttl, rdata } = record;
                let key = (owner, rtype, canonical(rtype, &rdata));
                self.changes.insert(key, Some((ttl, rdata)));
                Ok(())
            }
        }
    }

    /// An SOA after the first.
    fn boundary(&mut self, serial: u32) -> Result<(), Broken> {
        let newest = self.soa.as_ref().map(|(newest, _)| *newest);
        let copy = self.copy.as_ref().map(|(serial, _)| *serial);
        self.state = match self.state {
            // A zone of nothing but its SOA ends here too, and is refused for want of servers.
            State::Second | State::Whole if Some(serial) == newest => State::Done,
            State::Second if copy.is_none() => return Err(Broken::Surplus),
            State::Second if Some(serial) == copy => {
                self.incremental = true;
                State::Removing(serial)
            }
            State::Whole | State::Begin | State::Done => return Err(Broken::Surplus),
            State::Removing(_) => State::Adding(serial),
            State::Adding(last) if serial == last && Some(serial) == newest => State::Done,
            State::Adding(last) if serial == last => State::Removing(serial),
            State::Second | State::Adding(_) => return Err(Broken::Serial),
        };
        Ok(())
    }

    fn remove(&mut self, record: &Read) -> Result<(), Broken> {
        let rdata = canonical(record.rtype, &record.rdata);
        let held = |other: Record<'_>| {
            other.rtype == record.rtype && canonical(other.rtype, other.rdata) == rdata
        };
        let key = (record.owner.clone(), record.rtype, rdata.clone());
        let there = self.changes.get(&key).map_or_else(
            || {
                let copy = self.copy.as_ref().map(|(_, copy)| copy);
                copy.is_some_and(|copy| copy.at_owner(&record.owner).any(held))
            },
            Option::is_some,
        );
        if !there {
            return Err(Broken::Absent);
        }
        self.changes.insert(key, None);
        Ok(())
    }

    /// The copy with the changes, without its SOA.
    fn changed(&mut self, copy: &Records) -> Result<Records, Broken> {
        let mut records = Records::default();
        let changes = std::mem::take(&mut self.changes);
        let owners: HashSet<&[u8]> = changes.keys().map(|(owner, _, _)| owner.as_slice()).collect();
        for record in copy.iter().filter(|record| record.rtype != rtype::SOA) {
            // Most owners did not change, and their records need no canonical form.
            let changed = owners.contains(record.owner) && {
                let rdata = canonical(record.rtype, record.rdata);
                changes.contains_key(&(record.owner.to_vec(), record.rtype, rdata))
            };
            if !changed && !records.push(record) {
                return Err(Broken::TooLarge);
            }
        }
        for ((owner, rtype, _), change) in changes {
            if let Some((ttl, rdata)) = change {
                push(&mut records, &Read { owner, rtype, ttl, rdata })?;
            }
        }
        if records.len() > RECORDS_MAX {
            return Err(Broken::TooLarge);
        }
        Ok(records)
    }
}

/// The serial of an SOA whose form was checked.
fn serial(soa: &Read) -> Option<u32> {
    let from = soa.rdata.len().checked_sub(20)?;
    Some(u32::from_be_bytes(*soa.rdata.get(from..)?.first_chunk()?))
}

fn push(records: &mut Records, record: &Read) -> Result<(), Broken> {
    let Read { owner, rtype, ttl, rdata } = record;
    let pushed = records.push(Record { owner, rtype: *rtype, ttl: *ttl, rdata, file: 0, line: 0 });
    if pushed { Ok(()) } else { Err(Broken::TooLarge) }
}

#[cfg(test)]
mod tests;
