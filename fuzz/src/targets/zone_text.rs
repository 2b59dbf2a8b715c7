//! Any master file: mistakes are told where they are, and what is accepted can be served.

use std::io;
use std::path::Path;
use std::sync::Arc;

use meridian::name::Name;
use meridian::snapshot::{ServedZone, Snapshot, ZoneEntry, ZoneSet};
use meridian::zone::{self, Records, Steered, Zone};

use super::diagnostics::{self, Lines};
use super::dns_support::sound;

/// Name of the master file.
const MASTER: &str = "zone";

/// The input is a master file and behind zero octets the files that it may include, as `1`, `2`
/// and so on.
pub fn run(input: &[u8]) {
    if generates_much(input) {
        return;
    }
    let parts: Vec<&[u8]> = input.split(|octet| *octet == 0).collect();
    let part = |name: &str| match name {
        MASTER => parts.first().copied(),
        number => number.parse().ok().filter(|n| *n > 0).and_then(|n: usize| parts.get(n)).copied(),
    };
    let mut open = |path: &Path| {
        let part = path.to_str().and_then(part);
        part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let origin = Name::parse("example.com.", &Name::root()).unwrap();
    let steered = ["www", "*.geo", "@"].map(|owner| {
        let https = owner == "www";
        Steered { owner: Name::parse(owner, &origin).unwrap(), https }
    });
    let text = parts[0];
    let (records, files, found) = zone::load_from(&origin, MASTER, text, &steered, &mut open);
    diagnostics::check(&found, Lines::FeedsAndReturns, part);
    for record in records.iter() {
        let file = files.shown(record.file).expect("a record is in a file");
        let text = part(file).expect("the file was given");
        let lines = text.iter().filter(|octet| matches!(octet, b'\n' | b'\r')).count() + 1;
        assert!((1..=lines).contains(&(record.line as usize)), "{record:?}");
    }
    if !found.has_errors() {
        serve(&origin, &records);
    }
}

/// Whether `$GENERATE` may make more than ten thousand records, which takes time and nothing else.
fn generates_much(input: &[u8]) -> bool {
    let upper = input.to_ascii_uppercase();
    let directive = b"$GENERATE";
    let places = upper.windows(directive.len()).enumerate().filter(|(_, word)| word == directive);
    places.map(|(at, _)| at + directive.len()).any(|start| {
        let range = &upper[start..upper.len().min(start + 40)];
        range.split(|octet| !octet.is_ascii_digit()).any(|digits| digits.len() > 4)
    })
}

/// Asks for the names of the zone, and for names below them.
fn serve(origin: &Name, records: &Records) {
    let zone = Arc::new(Zone::build(origin, records, &[]).unwrap());
    assert!(zone.negative_soa().is_some(), "a zone without SOA was accepted");
    let served = ServedZone::new(zone, Vec::new(), Vec::new());
    let zones = ZoneSet::new([(origin.clone(), ZoneEntry::Serving(served))]);
    let snapshot = Snapshot { zones, ..Snapshot::default() };
    for record in records.iter().take(16) {
        sound::check(&snapshot, &query(record.owner, record.rtype));
        sound::check(&snapshot, &query(record.owner, 1));
        if record.owner.len() < 250 {
            sound::check(&snapshot, &query(&[b"\x01x", record.owner].concat(), 255));
        }
    }
}

/// A query for a name in wire form, with EDNS.
fn query(name: &[u8], qtype: u16) -> Vec<u8> {
    let [high, low] = qtype.to_be_bytes();
    let header = [7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    [&header, name, &[high, low, 0, 1], &opt].concat()
}
