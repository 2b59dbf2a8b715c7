//! What changed from one version of a zone to another, as IXFR tells it (RFC 1995 section 4).

use std::sync::Arc;

use crate::name::Name;
use crate::snapshot::Version;
use crate::zone::{Node, Record, Records, Rrset, Zone, rtype};

/// Changes of a zone, without those of the SOA.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Records that are gone, with the TTL they had.
    pub removed: Records,
    /// Records that are new.
    pub added: Records,
    /// Whether there are more than allowed, so that it is not whole.
    pub too_large: bool,
}

/// Works out the difference between two versions, up to `most` records.
pub(super) fn difference(from: &Version, to: &Version, most: usize) -> Difference {
    let mut difference = Difference::default();
    if !Arc::ptr_eq(&from.zone, &to.zone) {
        gone(&from.zone, &to.zone, most, &mut difference.removed);
        gone(&to.zone, &from.zone, most, &mut difference.added);
    }
    missing(&from.steered, &to.steered, &mut difference.removed);
    missing(&to.steered, &from.steered, &mut difference.added);
    difference.too_large = difference.removed.len() + difference.added.len() > most;
    difference
}

/// Collects the static records of `zone` that `other` has not, up to `most`.
fn gone(zone: &Zone, other: &Zone, most: usize, found: &mut Records) {
    let mut place = 1;
    while let Some((node, next)) = zone.walk(place) {
        place = next;
        let twin = other.exact(node.name());
        for rrset in node.rrsets() {
            let is_soa = rrset.rtype == rtype::SOA && node.name().is_empty();
            let same = twin.and_then(|twin| twin.rrset(rrset.rtype));
            if !is_soa && same != Some(rrset) {
                records_gone(zone.apex(), node, rrset, same, found);
            }
        }
        if found.len() > most {
            return;
        }
    }
}

fn records_gone(
    apex: &Name,
    node: Node<'_>,
    rrset: Rrset<'_>,
    other: Option<Rrset<'_>>,
    found: &mut Records,
) {
    let owner = [node.name(), apex.as_wire()].concat();
    // A record with another TTL is another record: it goes and comes back.
    let same_ttl = other.filter(|other| other.ttl() == rrset.ttl());
    for (_, rdata) in rrset.records() {
        let stays = same_ttl.is_some_and(|other| other.records().any(|(_, held)| held == rdata));
        if !stays {
            push(found, Record { owner: &owner, ..record(rrset.rtype, rrset.ttl(), rdata) });
        }
    }
}

/// Collects the records that `other`, sorted as well, has not.
fn missing(records: &Records, other: &Records, found: &mut Records) {
    for record in records.iter() {
        if !other.at_owner(record.owner).any(|held| held == record) {
            push(found, record);
        }
    }
}

fn record(rtype: u16, ttl: u32, rdata: &[u8]) -> Record<'_> {
    Record { owner: &[], rtype, ttl, rdata, file: 0, line: 0 }
}

/// Adds a record; both lists are bounded far below what a [`Records`] takes.
fn push(found: &mut Records, record: Record<'_>) {
    let _ = found.push(record);
}
