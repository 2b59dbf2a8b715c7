//! Addresses in the additional section: those of the names that answered records point to.
//!
//! Advice that spares the client a query (RFC 1035 section 3.3.9, RFC 2782, RFC 9460 section 4.1):
//! what does not fit is left out, and nothing here truncates or fails an answer (RFC 2181 section
//! 9). Only names of the zone itself are looked up; what another zone says of them, a resolver
//! would not believe here.

use super::{POINTER_END, RECORD_FIXED, Resolver, pointer};
use crate::snapshot::{Family, SteeredKind};
use crate::zone::{Found, Node, QueryName, Rrset, rtype};

/// Most names whose addresses are added: more would not fit over UDP, and the work for a query
/// must have a bound over TCP too.
const TARGETS_MAX: usize = 16;

/// Answered records that point to names.
#[derive(Clone, Copy)]
pub(super) struct Pointing {
    rtype: u16,
    /// Offset of the first record.
    start: u16,
    count: u16,
}

impl Pointing {
    /// The records of a set that begins at offset `start`, if they are of a type that points.
    pub(super) fn new(rrset: Rrset<'_>, start: usize) -> Option<Self> {
        target_offset(rrset.rtype)?;
        // No message is longer.
        Some(Self { rtype: rrset.rtype, start: start as u16, count: rrset.count })
    }
}

/// Where the target's name begins in RDATA; `None`: the type has none that is followed.
fn target_offset(rtype: u16) -> Option<usize> {
    match rtype {
        rtype::NS => Some(0),
        rtype::MX | rtype::SVCB | rtype::HTTPS => Some(2),
        rtype::SRV => Some(6),
        _ => None,
    }
}

impl Resolver<'_, '_, '_> {
    /// Adds the addresses of the names that these records point to, each name once.
    pub(super) fn add_addresses(&mut self, pointing: Pointing) {
        let Some(offset) = target_offset(pointing.rtype) else { return };
        let mut added = [0; TARGETS_MAX];
        let mut count = 0;
        let mut at = usize::from(pointing.start);
        for _ in 0..pointing.count {
            let Some(record) = self.writer.written(at).first_chunk::<RECORD_FIXED>() else {
                return;
            };
            let [o0, o1, _, _, _, _, _, _, _, _, l0, l1] = *record;
            let owner = usize::from(u16::from_be_bytes([o0, o1])) & (POINTER_END - 1);
            let target = at + RECORD_FIXED + offset;
            at += RECORD_FIXED + usize::from(u16::from_be_bytes([l0, l1]));
            let mut name = QueryName::default();
            let Some(target) = self.target(pointing.rtype, owner, target, &mut name) else {
                continue;
            };
            if added.iter().take(count).any(|other| self.is_written(&name, *other)) {
                continue;
            }
            let Some(place) = added.get_mut(count) else { return };
            (*place, count) = (target, count + 1);
            let zone = self.zone;
            if let Found::Name(node) = zone.look_up(&name, zone.hash(&name)) {
                self.add_addresses_of(node, target);
            }
        }
    }

    /// Reads the name that a record sends clients to, and gives its offset; `None`: no name of this
    /// zone.
    fn target(
        &self,
        rtype: u16,
        owner: usize,
        target: usize,
        name: &mut QueryName,
    ) -> Option<usize> {
        let at = if self.writer.written(target).first() == Some(&0) {
            // RFC 9460 section 2.5: the root stands for the owner, and in AliasMode for nothing. In
            // records of other types it says that there is no service (RFC 2782, RFC 7505).
            let priority = self.writer.written(target.checked_sub(2)?).first_chunk::<2>()?;
            let of_owner = matches!(rtype, rtype::SVCB | rtype::HTTPS) && *priority != [0, 0];
            of_owner.then_some(owner)?
        } else {
            target
        };
        name.read(self.writer.written(at))?;
        name.below(self.zone.apex().as_wire(), self.zone.apex_labels())?;
        (at < POINTER_END).then_some(at)
    }

    /// Whether the name written at this offset is `name`.
    fn is_written(&self, name: &QueryName, at: usize) -> bool {
        let written = self.writer.written(at).get(..name.as_wire().len());
        written.is_some_and(|written| written.eq_ignore_ascii_case(name.as_wire()))
    }

    /// Adds the addresses of a name that is written at offset `at`, as far as they fit.
    fn add_addresses_of(&mut self, node: Node<'_>, at: usize) {
        if let Some(service) = node.service() {
            return self.add_steered(service, at);
        }
        for address in [rtype::A, rtype::AAAA] {
            if let Some(rrset) = node.rrset(address)
                && self.put_rrset(rrset, at).is_ok()
            {
                self.outcome.additionals += rrset.count;
            }
        }
    }

    /// Adds the addresses that this client gets of a steered name, both picked by one number, so
    /// that they lie in one region.
    fn add_steered(&mut self, service: u32, at: usize) {
        let served = self.served;
        let Some(answers) = served.services.get(service as usize) else { return };
        let (client, located) = self.locate(answers);
        let random = self.random.number();
        for family in [Family::V4, Family::V6] {
            let rest = self.writer.rest();
            let steered = answers.answer(family, located, client, random, pointer(at), rest);
            if let SteeredKind::Records { count, length } = steered.kind {
                self.writer.advance(length);
                self.outcome.additionals += count;
            }
        }
    }
}
