//! Who may transfer a zone, and who may say that one has changed.

use super::{Case, Transport, Verdict, rcode};
use crate::dns::edns::ede;
use crate::model::Key;
use crate::snapshot::ZoneEntry;
use crate::zone::rtype;

/// What is done about a request for AXFR (RFC 5936) or IXFR (RFC 1995).
pub(super) fn transfer<'s>(case: &Case<'s>, signed: Option<&Key>) -> Verdict<'s> {
    let address = case.peer.address.ip();
    let secondaries = &case.snapshot.options.secondaries;
    if !secondaries.iter().any(|secondary| secondary.is(address, signed)) {
        return Verdict::Code(rcode::REFUSED, Some(ede::PROHIBITED));
    }
    // RFC 5936 section 2.2.1: a name that is no apex here.
    let Some(entry) = apex(case) else {
        return Verdict::Code(rcode::NOTAUTH, Some(ede::NOT_AUTHORITATIVE));
    };
    let ZoneEntry::Serving(served) = entry else { return unserved(entry) };
    match (served.versions.current(), case.peer.transport, case.parsed.qtype) {
        (None, _, _) => Verdict::Code(rcode::SERVFAIL, Some(ede::NOT_READY)),
        (Some(_), Transport::Tcp | Transport::Tls, _) => Verdict::Transfer,
        // RFC 1995 section 2: where the changes do not fit, the SOA tells to ask over TCP.
        (Some(_), Transport::Udp, rtype::IXFR) => Verdict::Soa(served),
        // RFC 5936 section 4.2, RFC 9103 section 6: it goes over TCP, plain or in TLS.
        (Some(_), _, _) => Verdict::Code(rcode::REFUSED, Some(ede::NOT_SUPPORTED)),
    }
}

/// What is done about a NOTIFY (RFC 1996 section 3.10: from the primary alone).
pub(super) fn notify<'s>(case: &Case<'s>, signed: Option<&Key>) -> Verdict<'s> {
    if case.snapshot.primaries.iter().all(Option::is_none) {
        return Verdict::Code(rcode::NOTIMP, None);
    }
    if case.parsed.qtype != rtype::SOA {
        return Verdict::Code(rcode::FORMERR, None);
    }
    let zone = case.parsed.zone.filter(|_| apex(case).is_some());
    let Some(zone) = zone else {
        return Verdict::Code(rcode::NOTAUTH, Some(ede::NOT_AUTHORITATIVE));
    };
    let link = case.snapshot.primaries.get(zone as usize).and_then(Option::as_ref);
    let known = link.is_some_and(|link| {
        let primary = &link.primary;
        let signed_right = primary.key.as_deref().is_none_or(|key| signed == Some(key));
        primary.address.ip() == case.peer.address.ip() && signed_right
    });
    if known {
        Verdict::Notified(zone)
    } else {
        Verdict::Code(rcode::REFUSED, Some(ede::PROHIBITED))
    }
}

/// Why a zone that is configured does not answer.
pub(super) fn unserved<'s>(entry: &ZoneEntry) -> Verdict<'s> {
    match entry {
        // RFC 8914 section 4.25 names the case.
        ZoneEntry::Expired => Verdict::Code(rcode::SERVFAIL, Some(ede::INVALID_DATA)),
        ZoneEntry::Failed | ZoneEntry::Serving(_) => {
            Verdict::Code(rcode::SERVFAIL, Some(ede::NOT_READY))
        }
    }
}

/// The zone whose apex the question names.
fn apex<'s>(case: &Case<'s>) -> Option<&'s ZoneEntry> {
    let zone = case.parsed.zone?;
    let (apex, entry) = case.snapshot.zones.entry(zone)?;
    (apex.as_wire() == case.parsed.name.as_wire()).then_some(entry)
}
