//! One transfer to a secondary: AXFR (RFC 5936) or IXFR (RFC 1995), message by message.

use std::collections::VecDeque;
use std::sync::Arc;

use super::compose::{Composer, Item};
use super::difference::difference;
use crate::dns::tsig::{Chain, Signature, length};
use crate::dns::wire::{Frame, Parsed};
use crate::snapshot::{Snapshot, Version, Versions, ZoneEntry};
use crate::zone::serial::is_newer;
use crate::zone::{Records, rtype};

/// Changes sent of a small zone, where a share of its size would be next to nothing.
const CHANGES_LEAST: usize = 1_000;

/// A transfer under way; it holds the version it sends, whatever is published meanwhile.
#[derive(Debug)]
pub(super) struct Outgoing {
    query: Vec<u8>,
    question_end: usize,
    with_opt: bool,
    chain: Option<Chain>,
    parts: VecDeque<Part>,
    /// Whether changes are sent, not all of the zone.
    incremental: bool,
    /// Octets of the apex's name.
    apex_length: usize,
}

/// A piece of a transfer, as far as it is still to be sent.
#[derive(Debug)]
enum Part {
    /// The SOA of a version.
    Soa(Arc<Version>),
    /// The static records from this place in the tree on, and this record there.
    Tree(Arc<Version>, usize, usize),
    /// The steered records from this one on.
    Steered(Arc<Version>, usize),
    /// These records from this one on.
    Changes(Records, usize),
}

impl Outgoing {
    /// The transfer that a query asks for, once the engine has said that it may; `None`: there is
    /// no such zone any more, or the query cannot be read. May take a second for a large zone.
    pub(super) fn new(snapshot: &Snapshot, query: &[u8], unix_seconds: u64) -> Option<Self> {
        let mut parsed = Parsed::default();
        parsed.parse(query);
        let chain = match parsed.tsig {
            0 => None,
            at => {
                let signature = Signature::read(query, at)?;
                let keys = &snapshot.options.keys;
                Some(Chain::answer(keys, query, &signature, unix_seconds).ok()?)
            }
        };
        let zone = snapshot.zones.find(&parsed.name, 0)?;
        let Some(ZoneEntry::Serving(served)) = snapshot.zones.get(zone) else { return None };
        let (parts, incremental) = match parsed.qtype {
            // An IXFR that does not say what the client has asks for all.
            rtype::IXFR if let Some(since) = client_serial(query, &parsed) => {
                changes(&served.versions, since)?
            }
            _ => (whole(served.versions.current()?), false),
        };
        Some(Self {
            query: query.to_vec(),
            question_end: parsed.question_end,
            with_opt: parsed.edns.is_some(),
            chain,
            parts,
            incremental,
            apex_length: served.zone.apex().as_wire().len(),
        })
    }

    /// Whether changes are sent, not all of the zone.
    pub(super) fn is_incremental(&self) -> bool {
        self.incremental
    }

    /// The next message; `None` after the last.
    ///
    /// # Errors
    /// When a record fits into no message: the transfer cannot be completed.
    pub(super) fn next(&mut self, unix_seconds: u64) -> Result<Option<Vec<u8>>, Oversize> {
        if self.parts.is_empty() {
            return Ok(None);
        }
        let signature = self.chain.as_ref().map_or(0, |chain| length(chain.key()));
        let composer = Composer::new(&self.query, self.question_end, self.with_opt, signature);
        let mut composer = composer.ok_or(Oversize)?;
        while let Some(part) = self.parts.front_mut() {
            if !part.put(&mut composer, self.apex_length)? {
                break;
            }
            self.parts.pop_front();
        }
        if composer.is_empty() {
            return Err(Oversize);
        }
        let mut message = composer.finish();
        if let Some(chain) = &mut self.chain {
            chain.sign(&mut message, unix_seconds);
        }
        Ok(Some(message))
    }
}

/// A record or RRset is longer than a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Oversize;

/// All of a zone, between its SOA and its SOA (RFC 5936 section 2.2).
fn whole(version: &Arc<Version>) -> VecDeque<Part> {
    let version = || version.clone();
    let parts = [
        Part::Soa(version()),
        Part::Tree(version(), 1, 0),
        Part::Steered(version(), 0),
        Part::Soa(version()),
    ];
    parts.into()
}

/// The changes since a serial, or all of the zone where they are not known or too many; the
/// current SOA alone tells that there are none (RFC 1995 sections 2 and 4).
fn changes(versions: &Versions, since: u32) -> Option<(VecDeque<Part>, bool)> {
    let current = versions.current()?;
    if since == current.serial || is_newer(since, current.serial) {
        return Some(([Part::Soa(current.clone())].into(), true));
    }
    let Some(from) = versions.find(since) else { return Some((whole(current), false)) };
    let most = (current.zone.records() / 2).max(CHANGES_LEAST);
    let changes = difference(from, current, most);
    if changes.too_large {
        return Some((whole(current), false));
    }
    let soa = |version: &Arc<Version>| Part::Soa(version.clone());
    let parts = [
        soa(current),
        soa(from),
        Part::Changes(changes.removed, 0),
        soa(current),
        Part::Changes(changes.added, 0),
        soa(current),
    ];
    Some((parts.into(), true))
}

/// The serial in the authority section of an IXFR query (RFC 1995 section 3).
fn client_serial(query: &[u8], parsed: &Parsed) -> Option<u32> {
    let soa = Frame::read(query, parsed.question_end)?;
    let from = soa.rdata.len().checked_sub(20).filter(|_| soa.rtype == rtype::SOA)?;
    Some(u32::from_be_bytes(*soa.rdata.get(from..)?.first_chunk()?))
}

impl Part {
    /// Adds as much as fits; `true`: that was the rest of it.
    fn put(&mut self, composer: &mut Composer, apex_length: usize) -> Result<bool, Oversize> {
        match self {
            Self::Soa(version) => put_soa(version, composer),
            Self::Tree(version, place, record) => put_tree(version, place, record, composer),
            Self::Steered(version, next) => {
                Ok(put_records(&version.steered, next, apex_length, composer))
            }
            Self::Changes(records, next) => Ok(put_records(records, next, apex_length, composer)),
        }
    }
}

/// Adds the SOA with the version's serial.
fn put_soa(version: &Version, composer: &mut Composer) -> Result<bool, Oversize> {
    let soa = version.zone.exact(b"").and_then(|apex| apex.rrset(rtype::SOA)).ok_or(Oversize)?;
    let (_, rdata) = soa.records().next().ok_or(Oversize)?;
    let mut rdata = rdata.to_vec();
    let from = rdata.len().checked_sub(20).ok_or(Oversize)?;
    rdata.splice(from..from + 4, version.serial.to_be_bytes());
    Ok(composer.put(Item { owner: b"", rtype: rtype::SOA, ttl: soa.ttl(), rdata: &rdata }))
}

fn put_tree(
    version: &Version,
    place: &mut usize,
    record: &mut usize,
    composer: &mut Composer,
) -> Result<bool, Oversize> {
    while let Some((node, next)) = version.zone.walk(*place) {
        let owner = node.name();
        let mut number = 0;
        for rrset in node.rrsets() {
            // Longer than any message, so that the reader kept no records of it.
            rrset.wire.ok_or(Oversize)?;
            if rrset.rtype == rtype::SOA && owner.is_empty() {
                continue;
            }
            for (_, rdata) in rrset.records() {
                number += 1;
                if number <= *record {
                    continue;
                }
                if !composer.put(Item { owner, rtype: rrset.rtype, ttl: rrset.ttl(), rdata }) {
                    return Ok(false);
                }
                *record = number;
            }
        }
        (*place, *record) = (next, 0);
    }
    Ok(true)
}

fn put_records(
    records: &Records,
    next: &mut usize,
    apex_length: usize,
    composer: &mut Composer,
) -> bool {
    for record in records.iter_from(*next) {
        let relative = record.owner.len().saturating_sub(apex_length);
        let owner = record.owner.get(..relative).unwrap_or_default();
        let (rtype, ttl, rdata) = (record.rtype, record.ttl, record.rdata);
        if !composer.put(Item { owner, rtype, ttl, rdata }) {
            return false;
        }
        *next += 1;
    }
    true
}

#[cfg(test)]
mod tests;
