//! Static records that two configurations have not alike.

use std::collections::BTreeMap;

use hickory_proto::rr::RecordType;

use crate::name::Name;
use crate::snapshot::Loaded;
use crate::zone::Zone;

/// Type number of SOA, whose serial changes with everything else.
const SOA: u16 = 6;

/// The records of each name and type, in wire form, with their number.
type Sets = BTreeMap<(String, u16), (u16, Vec<u8>)>;

/// The names and types whose static records differ, TTLs included, in the order of the names.
pub(super) fn changed(before: &Loaded, after: &Loaded) -> Vec<String> {
    let [old, new] = [before, after].map(sets);
    let gone = old.keys().filter(|key| old.get(*key) != new.get(*key));
    let fresh = new.keys().filter(|key| !old.contains_key(*key));
    let mut keys: Vec<&(String, u16)> = gone.chain(fresh).collect();
    keys.sort();
    keys.into_iter().map(|(name, rtype)| format!("{name} {}", RecordType::from(*rtype))).collect()
}

fn sets(loaded: &Loaded) -> Sets {
    let mut sets = Sets::new();
    for zone in loaded.zones.iter().filter_map(|zone| zone.zone.as_ref()) {
        collect(zone, &mut sets);
    }
    sets
}

fn collect(zone: &Zone, sets: &mut Sets) {
    let mut place = 1;
    while let Some((node, next)) = zone.walk(place) {
        place = next;
        let wire = [node.name(), zone.apex().as_wire()].concat();
        let Some(name) = Name::from_wire(&wire) else { continue };
        for set in node.rrsets().filter(|set| set.rtype != SOA) {
            let records = set.wire.unwrap_or_default().to_vec();
            sets.insert((name.to_string(), set.rtype), (set.count, records));
        }
    }
}
