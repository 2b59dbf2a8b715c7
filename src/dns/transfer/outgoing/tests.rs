//! What is sent becomes the same zone at the other end.

use std::collections::BTreeSet;

use super::*;
use crate::dns::transfer::incoming::{Incoming, Outcome};
use crate::name::Name;
use crate::snapshot::{ServedZone, ZoneSet};
use crate::zone::{Record, Zone};

const APEX: &str = "example.";

/// Owner, type, TTL and RDATA.
type Plain = (Vec<u8>, u16, u32, Vec<u8>);

fn name(text: &str) -> Name {
    Name::parse(text, &Name::root()).unwrap()
}

fn soa(serial: u32) -> Plain {
    let rdata = [&[0, 0][..], &serial.to_be_bytes(), &[0; 16]].concat();
    (name(APEX).as_wire().to_vec(), rtype::SOA, 60, rdata)
}

fn records(all: &BTreeSet<Plain>) -> Records {
    let mut records = Records::default();
    for (owner, rtype, ttl, rdata) in all {
        let record = Record { owner, rtype: *rtype, ttl: *ttl, rdata, file: 0, line: 0 };
        assert!(records.push(record));
    }
    records.sort();
    records
}

fn plain(records: &Records) -> BTreeSet<Plain> {
    let all = records.iter();
    all.map(|r| (r.owner.to_vec(), r.rtype, r.ttl, r.rdata.to_vec())).collect()
}

/// Random records: a TTL for each owner and type, as a zone must have.
fn content(random: &mut fastrand::Rng, count: usize) -> BTreeSet<Plain> {
    let mut all = BTreeSet::new();
    all.insert((name(APEX).as_wire().to_vec(), rtype::NS, 60, b"\x02ns\x00".to_vec()));
    for _ in 0..count {
        let owner = name(&format!("h{}.{APEX}", random.u8(..30)));
        let rtype = [rtype::A, 16, 65280][random.usize(..3)];
        let rdata = match rtype {
            rtype::A => random.u32(..8).to_be_bytes().to_vec(),
            16 => [vec![250], vec![b'x'; 250]].concat().repeat(random.usize(1..9)),
            _ => vec![7; random.usize(..3)],
        };
        all.insert((owner.as_wire().to_vec(), rtype, 60 + u32::from(rtype), rdata));
    }
    all
}

fn version(serial: u32, content: &BTreeSet<Plain>, steered: &BTreeSet<Plain>) -> Arc<Version> {
    // The file has a serial of its own, which nobody must see.
    let mut all = content.clone();
    all.insert(soa(1));
    let zone = Arc::new(Zone::build(&name(APEX), &records(&all), &[]).unwrap());
    Arc::new(Version { serial, zone, steered: records(steered) })
}

/// All that a version holds.
fn held(version: &Version, content: &BTreeSet<Plain>) -> BTreeSet<Plain> {
    let mut all = content.clone();
    all.extend(plain(&version.steered));
    all.insert(soa(version.serial));
    all
}

fn query(rtype: u16, since: Option<u32>) -> Vec<u8> {
    let mut query = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, u8::from(since.is_some()), 0, 0];
    query.extend_from_slice(b"\x07eXample\x00");
    query.extend_from_slice(&rtype.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    if let Some(serial) = since {
        query.extend_from_slice(&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        query.extend_from_slice(&serial.to_be_bytes());
        query.extend_from_slice(&[0; 16]);
    }
    query
}

/// Sends what a query asks for to somebody who has `copy`.
fn transfer(
    versions: &Versions,
    query: &[u8],
    copy: Option<(u32, Arc<Records>)>,
) -> (Outcome, bool) {
    let current = versions.current().unwrap();
    let served = ServedZone {
        versions: versions.clone(),
        serial: current.serial,
        ..ServedZone::new(current.zone.clone(), Vec::new(), Vec::new())
    };
    let zones = ZoneSet::new([(name(APEX), ZoneEntry::Serving(served))]);
    let snapshot = Snapshot { zones, ..Snapshot::default() };
    let mut outgoing = Outgoing::new(&snapshot, query, 0).unwrap();
    let incremental = outgoing.is_incremental();
    let mut incoming = Incoming::new(name(APEX), copy);
    let mut ended = false;
    while let Some(message) = outgoing.next(0).unwrap() {
        assert!(!ended && message.len() <= 16_000);
        ended = incoming.take(&message).unwrap();
    }
    assert!(ended);
    (incoming.finish().unwrap(), incremental)
}

#[test]
fn zones_and_changes_arrive_as_they_are() {
    let mut random = fastrand::Rng::with_seed(20_261_121);
    for round in 0..40u32 {
        let statics: Vec<_> = [300, 300].map(|count| content(&mut random, count)).into();
        let steered: Vec<BTreeSet<Plain>> = (0..3)
            .map(|_| {
                let owner = name(&format!("www.{APEX}")).as_wire().to_vec();
                let address = |_| random.u32(..4).to_be_bytes().to_vec();
                (0..3).map(address).map(|rdata| (owner.clone(), rtype::A, 5, rdata)).collect()
            })
            .collect();
        let first = version(round, &statics[0], &steered[0]);
        // Health alone changed: the tree is shared.
        let zone = first.zone.clone();
        let second = Arc::new(Version { serial: round + 1, zone, steered: records(&steered[1]) });
        let third = version(round + 2, &statics[1], &steered[2]);
        let all = [(first, 0), (second, 0), (third, 1)];
        let versions = Versions::of(all.iter().map(|(version, _)| version.clone()).collect());
        let wanted = held(&all[2].0, &statics[1]);

        let (outcome, incremental) = transfer(&versions, &query(rtype::AXFR, None), None);
        assert!(!incremental);
        let Outcome::Zone(zone) = outcome else { panic!("{outcome:?}") };
        assert_eq!(plain(&zone), wanted, "all of it, {round}");
        for (version, content) in all.iter().take(2) {
            let copy = Arc::new(records(&held(version, &statics[*content])));
            let ask = query(rtype::IXFR, Some(version.serial));
            let (outcome, incremental) = transfer(&versions, &ask, Some((version.serial, copy)));
            let Outcome::Zone(zone) = outcome else { panic!("{outcome:?}") };
            assert!(incremental);
            assert_eq!(plain(&zone), wanted, "changes since {}, {round}", version.serial);
        }
        let copy = Arc::new(records(&wanted));
        let ask = query(rtype::IXFR, Some(round + 2));
        let (outcome, _) = transfer(&versions, &ask, Some((round + 2, copy)));
        assert_eq!(outcome, Outcome::Unchanged);
        // From a serial that nobody remembers, all comes.
        let old = round.wrapping_sub(9);
        let ask = query(rtype::IXFR, Some(old));
        let (outcome, incremental) = transfer(&versions, &ask, Some((old, Arc::default())));
        assert!(!incremental && matches!(outcome, Outcome::Zone(zone) if plain(&zone) == wanted));
    }
}

#[test]
fn a_record_that_fits_into_no_message_ends_the_transfer() {
    let long = (name(&format!("a.{APEX}")).as_wire().to_vec(), 65280, 60, vec![1; 65_520]);
    let versions = Versions::of(vec![version(7, &[long].into(), &BTreeSet::new())]);
    let current = versions.current().unwrap();
    let served = ServedZone {
        versions: versions.clone(),
        ..ServedZone::new(current.zone.clone(), Vec::new(), Vec::new())
    };
    let zones = ZoneSet::new([(name(APEX), ZoneEntry::Serving(served))]);
    let snapshot = Snapshot { zones, ..Snapshot::default() };
    let mut outgoing = Outgoing::new(&snapshot, &query(rtype::AXFR, None), 0).unwrap();
    let messages = std::iter::from_fn(|| outgoing.next(0).transpose()).take(9);
    assert_eq!(messages.collect::<Result<Vec<_>, _>>().err(), Some(Oversize));
}
