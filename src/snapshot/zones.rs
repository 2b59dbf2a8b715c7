//! The zones of a snapshot, found by the longest suffix of a name.

use std::sync::Arc;

use super::{ServiceAnswers, Versions};
use crate::name::Name;
use crate::zone::{NameTable, QueryName, Zone, hash};

/// So many zones are compared one by one.
const FEW: usize = 4;

/// A zone with the services that answer its steered names.
#[derive(Clone, Debug)]
pub struct ServedZone {
    /// The tree.
    pub zone: Arc<Zone>,
    /// The services, in the order that the tree's steered owners count.
    pub services: Vec<Arc<ServiceAnswers>>,
    /// The number under which the answers of each service are counted (see
    /// [`super::Labels`]); services beyond its end are not counted.
    pub labels: Vec<u32>,
    /// Whether this is the last good data of a zone whose file is broken now.
    pub stale: bool,
    /// The serial of the SOA.
    pub serial: u32,
    /// What transfers hold; empty where nobody may transfer.
    pub versions: Versions,
}

impl ServedZone {
    /// A zone that nobody transfers, with the serial of its file.
    pub fn new(zone: Arc<Zone>, services: Vec<Arc<ServiceAnswers>>, labels: Vec<u32>) -> Self {
        let serial = zone.negative_soa().map_or(0, |soa| soa.serial);
        Self { zone, services, labels, stale: false, serial, versions: Versions::default() }
    }
}

/// What is served for an apex.
#[derive(Clone, Debug)]
pub enum ZoneEntry {
    /// The zone.
    Serving(ServedZone),
    /// The zone is configured and was never loaded: SERVFAIL, since NXDOMAIN would be believed.
    Failed,
    /// Its primary has not answered for longer than the SOA allows (RFC 1035 section 3.3.13).
    Expired,
}

/// All zones of a snapshot.
#[derive(Debug)]
pub struct ZoneSet {
    entries: Vec<(Name, ZoneEntry)>,
    /// From the hash of an apex to its index in `entries` plus one.
    table: NameTable,
    /// The label counts that apexes have, most first: only such suffixes are looked up.
    depths: Vec<u8>,
}

impl Default for ZoneSet {
    /// No zones: every query is refused.
    fn default() -> Self {
        Self::new([])
    }
}

impl ZoneSet {
    /// The set of these zones; of two with one apex the first is served.
    pub fn new(entries: impl IntoIterator<Item = (Name, ZoneEntry)>) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let mut table = NameTable::with_capacity(entries.len());
        let hash_at = |number: u32| {
            entries.get(number as usize - 1).map_or(0, |(apex, _)| hash(apex.as_wire()))
        };
        let mut depths = Vec::new();
        for (number, (apex, _)) in (1..).zip(&entries) {
            table.insert(hash(apex.as_wire()), number, hash_at);
            depths.push(apex.labels().count() as u8);
        }
        depths.sort_unstable_by(|a, b| b.cmp(a));
        depths.dedup();
        Self { entries, table, depths }
    }

    /// The index of the deepest zone that holds `name` with at least `skip` labels to the left of
    /// its apex. A DS query asks with 1, since the parent answers it (RFC 4035 section 3.1.4.1).
    pub fn find(&self, name: &QueryName, skip: usize) -> Option<u32> {
        self.depths.iter().find_map(|depth| {
            let label = name.label_count().checked_sub(usize::from(*depth))?;
            if label < skip {
                return None;
            }
            let apex = name.suffix(label);
            // A few comparisons take less time than a hash.
            if self.entries.len() <= FEW {
                let mut indexed = (0..).zip(&self.entries);
                return indexed.find(|(_, (held, _))| held.as_wire() == apex).map(|(at, _)| at);
            }
            self.table.candidates(hash(apex)).find_map(|number| {
                let index = number - 1;
                let (held, _) = self.entries.get(index as usize)?;
                (held.as_wire() == apex).then_some(index)
            })
        })
    }

    /// The entry at an index that [`ZoneSet::find`] gave.
    pub fn get(&self, index: u32) -> Option<&ZoneEntry> {
        self.entries.get(index as usize).map(|(_, entry)| entry)
    }

    /// The apex and entry at an index that [`ZoneSet::find`] gave.
    pub fn entry(&self, index: u32) -> Option<(&Name, &ZoneEntry)> {
        self.entries.get(index as usize).map(|(apex, entry)| (apex, entry))
    }

    /// Every apex with its entry, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &ZoneEntry)> {
        self.entries.iter().map(|(apex, entry)| (apex, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> QueryName {
        let mut name = QueryName::default();
        name.read(Name::parse(text, &Name::root()).unwrap().as_wire()).unwrap();
        name
    }

    #[test]
    fn the_deepest_zone_above_a_name_holds_it() {
        let apexes = ["example.com.", "eu.example.com.", "example.org.", "a.b.c.example.net."];
        let others = (0..FEW).map(|number| format!("other{number}.example."));
        let few: Vec<String> = apexes.map(str::to_owned).into();
        let many = few.iter().cloned().chain(others).collect();
        for apexes in [few, many] {
            finds_the_deepest(&apexes);
        }
        assert_eq!(ZoneSet::default().find(&query("."), 0), None);
    }

    fn finds_the_deepest(apexes: &[String]) {
        let entry =
            |apex: &String| (Name::from_wire(query(apex).as_wire()).unwrap(), ZoneEntry::Failed);
        let set = ZoneSet::new(apexes.iter().map(entry));
        for (name, skip, expected) in [
            ("example.com.", 0, Some(0)),
            ("www.example.com.", 0, Some(0)),
            ("eu.example.com.", 0, Some(1)),
            ("a.b.eu.example.com.", 0, Some(1)),
            ("neu.example.com.", 0, Some(0)),
            ("badexample.com.", 0, None),
            ("com.", 0, None),
            (".", 0, None),
            ("www.example.org.", 0, Some(2)),
            ("b.c.example.net.", 0, None),
            ("x.a.b.c.example.net.", 0, Some(3)),
            // Asked for the parent's side of the cut.
            ("eu.example.com.", 1, Some(0)),
            ("example.com.", 1, None),
            ("a.eu.example.com.", 1, Some(1)),
        ] {
            assert_eq!(set.find(&query(name), skip), expected, "{name} {skip}");
        }
        assert!(matches!(set.get(3), Some(ZoneEntry::Failed)));
        assert!(set.get(apexes.len() as u32).is_none());
        assert_eq!(set.iter().count(), apexes.len());
    }

    #[test]
    fn the_root_zone_holds_every_name() {
        let set = ZoneSet::new([(Name::root(), ZoneEntry::Failed)]);
        assert_eq!(set.find(&query("."), 0), Some(0));
        assert_eq!(set.find(&query("www.example.com."), 0), Some(0));
        assert_eq!(set.find(&query("."), 1), None);
    }
}
