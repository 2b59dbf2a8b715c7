//! Versions of a zone: what transfers hold under one serial number.
//!
//! A secondary cannot steer, so a version holds each steered name as one set of records: what a
//! client of unknown place is answered from, under the health of the moment. Versions share the
//! zone trees they were made of, so that a change of health costs the steered records alone, and
//! the difference between any two is worked out when somebody asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::{Family, ServiceAnswers, Unsteered};
use crate::model::{Flattened, Service};
use crate::name::Name;
use crate::zone::serial::advance;
use crate::zone::{Record, Records, Zone, rtype};

/// Versions remembered of a zone, the current one among them; from an older one a secondary
/// fetches all of the zone.
const VERSIONS_MAX: usize = 64;
/// Octets that the trees of earlier versions of a zone may take.
const TREES_MAX: usize = 256 << 20;

/// What transfers hold under one serial number.
#[derive(Debug)]
pub struct Version {
    /// The serial, which queries for SOA are told too.
    pub serial: u32,
    /// The static records; the SOA in it has the serial of its file.
    pub zone: Arc<Zone>,
    /// What stands for the steered names, sorted.
    pub steered: Records,
}

/// The versions of one zone, the newest last.
#[derive(Clone, Debug, Default)]
pub struct Versions(Vec<Arc<Version>>);

/// Serials as they survive a restart: by the zone's name, serial and digest of the content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSerials(BTreeMap<String, SavedSerial>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedSerial {
    serial: u32,
    digest: String,
}

impl Versions {
    /// These versions, the newest last.
    pub fn of(versions: Vec<Arc<Version>>) -> Self {
        Self(versions)
    }

    /// The current version.
    pub fn current(&self) -> Option<&Arc<Version>> {
        self.0.last()
    }

    /// The version of a serial, if it is remembered.
    pub fn find(&self, serial: u32) -> Option<&Arc<Version>> {
        self.0.iter().find(|version| version.serial == serial)
    }

    /// Takes note of the content of the moment; `true`: it is new, and got a serial. `saved` is
    /// what was given out before a restart.
    pub fn update(&mut self, zone: &Arc<Zone>, steered: Records, saved: Option<Saved<'_>>) -> bool {
        let Some(file) = zone.negative_soa().map(|soa| soa.serial) else { return false };
        let zone = zone.clone();
        let serial = match self.0.last() {
            Some(last) if last.holds(&zone, &steered) => {
                // The tree of the load before, equal as it is, must not be kept beside the new.
                let same = Arc::new(Version { serial: last.serial, zone, steered });
                self.0.pop();
                self.0.push(same);
                return false;
            }
            Some(last) => advance(last.serial, file),
            None => match saved {
                Some(saved) if saved.digest == digest(&zone, &steered) => saved.serial,
                Some(saved) => advance(saved.serial, file),
                None => file,
            },
        };
        self.0.push(Arc::new(Version { serial, zone, steered }));
        self.prune();
        true
    }

    /// Forgets what is more than the bounds allow, the oldest first.
    fn prune(&mut self) {
        let mut octets = 0;
        let mut kept = 0;
        let mut later: Option<&Arc<Version>> = None;
        for version in self.0.iter().rev().take(VERSIONS_MAX) {
            if later.is_some_and(|later| !Arc::ptr_eq(&later.zone, &version.zone)) {
                octets += version.zone.octets();
            }
            if octets > TREES_MAX {
                break;
            }
            later = Some(version);
            kept += 1;
        }
        self.0.drain(..self.0.len() - kept);
    }
}

impl Version {
    fn holds(&self, zone: &Arc<Zone>, steered: &Records) -> bool {
        let same = Arc::ptr_eq(&self.zone, zone) || self.zone.image() == zone.image();
        same && self.steered == *steered
    }
}

/// What was given out of a zone before a restart.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    serial: u32,
    digest: &'a str,
}

impl SavedSerials {
    /// What was saved of a zone.
    pub fn of(&self, zone: &Name) -> Option<Saved<'_>> {
        let saved = self.0.get(&zone.to_string())?;
        Some(Saved { serial: saved.serial, digest: &saved.digest })
    }

    /// Notes the current version of a zone.
    pub fn note(&mut self, zone: &Name, version: &Version) {
        let digest = digest(&version.zone, &version.steered);
        let serial = version.serial;
        self.0.insert(zone.to_string(), SavedSerial { serial, digest });
    }
}

/// What tells the content of one version from that of another, across restarts.
fn digest(zone: &Zone, steered: &Records) -> String {
    let mut context = Context::new(&SHA256);
    context.update(zone.image());
    for record in steered.iter() {
        context.update(record.owner);
        context.update(&record.rtype.to_be_bytes());
        context.update(&record.ttl.to_be_bytes());
        context.update(record.rdata);
    }
    HEXLOWER.encode(context.finish().as_ref())
}

/// The records that stand for the steered names of a zone.
pub(super) fn flatten(
    zone: &Zone,
    flattened: Flattened,
    services: &[Service],
    answers: &[Arc<ServiceAnswers>],
) -> Records {
    let mut records = Records::default();
    if flattened == Flattened::Omit {
        return records;
    }
    for (service, answers) in services.iter().zip(answers) {
        let owner = service.owner.as_wire();
        // A secondary learns of changes later than this node does, so the TTL is the shortest.
        let ttl = service.ttl.min.as_secs() as u32;
        let mut push = |rtype, rdata: &[u8]| {
            // 4 GiB of addresses are beyond every bound there is.
            let _ = records.push(Record { owner, rtype, ttl, rdata, file: 0, line: 0 });
        };
        for (family, rtype) in [(Family::V4, rtype::A), (Family::V6, rtype::AAAA)] {
            match answers.unsteered(family) {
                Unsteered::Addresses(addresses) => {
                    for address in addresses {
                        push(rtype, address);
                    }
                }
                // Both families have the same alias, and one is enough. Beside static records it
                // could not stand (RFC 2181 section 10.1).
                Unsteered::Alias(target) if family == Family::V4 => {
                    let apex = zone.apex().as_wire();
                    let relative = owner.len().checked_sub(apex.len());
                    let relative = relative.and_then(|length| owner.get(..length));
                    let node = relative.and_then(|relative| zone.exact(relative));
                    if node.is_none_or(|node| node.rrsets().next().is_none()) {
                        push(rtype::CNAME, target.as_wire());
                        break;
                    }
                }
                Unsteered::Alias(_) | Unsteered::Nothing => {}
            }
        }
    }
    records.sort();
    records
}
