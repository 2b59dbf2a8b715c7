//! Builds a zone tree from sorted records.

use super::node::{Flags, Node, OVERSIZE, RECORD_FIXED, rtype};
use super::query_name::QueryName;
use super::table::{NameTable, hash};
use super::{NegativeSoa, SteeredOwner, TooLarge, Zone};
use crate::name::{Name, labels};
use crate::zone::{Record, Records};

/// Above this many records duplicates are found by sorting instead of comparing each with each.
const COMPARE_EACH_MAX: usize = 32;

/// A tree under construction.
struct Builder<'a> {
    apex: &'a Name,
    arena: Vec<u8>,
    table: NameTable,
    /// Most labels of a name below the apex.
    depth: usize,
    names: usize,
    /// Every flag that any node has.
    seen: Flags,
}

/// Builds the tree; see [`Zone::build`].
pub(super) fn build(
    apex: &Name,
    records: &Records,
    steered: &[SteeredOwner<'_>],
) -> Result<Zone, TooLarge> {
    // In the order of the records, so that one walk over both joins them.
    let mut steered: Vec<_> =
        steered.iter().map(|steered| (steered.owner.as_wire(), steered.service)).collect();
    steered.sort_unstable();
    let mut steered = steered.into_iter().peekable();
    let mut builder = Builder::new(apex, records);
    let mut soa = None;
    let mut rest = records.iter();
    let mut next = rest.next();
    let mut rrset = Vec::new();
    let mut node: Option<usize> = None;
    let mut current: &[u8] = &[];
    while let Some(first) = next.take() {
        rrset.clear();
        rrset.push(first);
        for record in rest.by_ref() {
            if record.owner == first.owner && record.rtype == first.rtype {
                rrset.push(record);
            } else {
                next = Some(record);
                break;
            }
        }
        if current != first.owner {
            current = first.owner;
            while let Some((owner, service)) = steered.next_if(|(owner, _)| *owner < current) {
                builder.start(owner, Some(service))?;
            }
            let service = steered.next_if(|(owner, _)| *owner == current);
            node = builder.start(current, service.map(|(_, service)| service))?;
        }
        if first.rtype == rtype::SOA && first.owner == apex.as_wire() {
            soa = negative_soa(apex, first);
        }
        if let Some(node) = node {
            builder.rrset(node, &mut rrset)?;
        }
    }
    for (owner, service) in steered {
        builder.start(owner, Some(service))?;
    }
    if builder.find(b"").is_none() {
        builder.begin(b"", None)?;
    }
    builder.ancestors()?;
    builder.occlusion();
    Ok(builder.finish(soa, records.len()))
}

impl<'a> Builder<'a> {
    fn new(apex: &'a Name, records: &Records) -> Self {
        // Counted first, so that neither arena nor table is moved while it grows.
        let (mut names, mut octets) = (1, 16);
        let mut last: &[u8] = &[];
        let mut last_type = 0;
        for record in records.iter() {
            if record.owner != last {
                names += 1;
                octets += record.owner.len() + 4;
                (last, last_type) = (record.owner, 0);
            }
            if record.rtype != last_type {
                octets += 6;
                last_type = record.rtype;
            }
            octets += RECORD_FIXED + record.rdata.len();
        }
        let apexes = names * (apex.as_wire().len() - 1);
        let mut arena = Vec::with_capacity(octets.saturating_sub(apexes) + 64);
        arena.push(0); // Offset 0 stands for an empty slot.
        let table = NameTable::with_capacity(names);
        Self { apex, arena, table, depth: 0, names: 0, seen: Flags::default() }
    }

    /// Begins the node of an owner name; `None` for one out of the zone: the reader has refused
    /// such records, and nothing could reach them.
    fn start(&mut self, owner: &[u8], service: Option<u32>) -> Result<Option<usize>, TooLarge> {
        relative(owner, self.apex).map(|name| self.begin(name, service)).transpose()
    }

    /// Begins the node of a name relative to the apex.
    fn begin(&mut self, name: &[u8], service: Option<u32>) -> Result<usize, TooLarge> {
        let at = self.arena.len();
        let offset = u32::try_from(at).map_err(|_| TooLarge)?;
        self.arena.push(name.len() as u8);
        self.arena.extend_from_slice(name);
        if let Some(service) = service {
            self.arena.push(Flags::STEERED.0);
            self.arena.extend_from_slice(&service.to_be_bytes());
        } else {
            self.arena.push(0);
        }
        self.arena.extend_from_slice(&[0, 0]);
        let arena = &self.arena;
        self.table.insert(hash(name), offset, |offset| {
            arena.get(offset as usize..).and_then(Node::at).map_or(0, |node| hash(node.name))
        });
        self.names += 1;
        self.depth = self.depth.max(labels(name).count());
        Ok(at)
    }

    /// Adds the RRset `records` to the node at `node`, the last one begun.
    fn rrset(&mut self, node: usize, records: &mut Vec<Record<'_>>) -> Result<(), TooLarge> {
        let Some(first) = records.first().copied() else { return Ok(()) };
        let Some(header) = self.arena.get(node..).and_then(Node::at) else { return Ok(()) };
        let (flags_at, mut flags) = (node + header.flags_offset(), header.flags);
        let (apex, wildcard) = (header.name.is_empty(), header.name.starts_with(b"\x01*"));
        let service = flags.has(Flags::STEERED);
        if service && matches!(first.rtype, rtype::A | rtype::AAAA) {
            return Ok(()); // The service answers these.
        }
        drop_duplicates(records);
        let wire: usize = records.iter().map(|record| RECORD_FIXED + record.rdata.len()).sum();
        let fits = wire < usize::from(OVERSIZE);
        self.arena.extend_from_slice(&first.rtype.to_be_bytes());
        self.arena.extend_from_slice(&(records.len() as u16).to_be_bytes());
        let length = if fits { wire as u16 } else { OVERSIZE };
        self.arena.extend_from_slice(&length.to_be_bytes());
        for record in records.iter().filter(|_| fits) {
            self.arena.extend_from_slice(&[0xc0, 12]);
            self.arena.extend_from_slice(&record.rtype.to_be_bytes());
            self.arena.extend_from_slice(&1u16.to_be_bytes());
            self.arena.extend_from_slice(&record.ttl.to_be_bytes());
            self.arena.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
            self.arena.extend_from_slice(record.rdata);
        }
        // RFC 4592 section 4.2 and RFC 6672 section 3.3 leave NS and DNAME at a wildcard undefined
        // or discourage them: there they are data, and cut nothing.
        match first.rtype {
            rtype::CNAME => flags.add(Flags::CNAME),
            rtype::NS if !apex && !wildcard => flags.add(Flags::CUT),
            rtype::DNAME if !wildcard => flags.add(Flags::DNAME),
            _ => {}
        }
        self.seen.add(flags);
        if let Some(octet) = self.arena.get_mut(flags_at) {
            *octet = flags.0;
        }
        let count_at = flags_at + if service { 5 } else { 1 };
        let count = self.arena.get_mut(count_at..).and_then(|rest| rest.first_chunk_mut::<2>());
        if let Some(count) = count {
            *count = (u16::from_be_bytes(*count).checked_add(1).ok_or(TooLarge)?).to_be_bytes();
        }
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Option<(usize, Node<'_>)> {
        find(&self.table, &self.arena, hash(name), name)
    }

    /// Adds the empty non-terminals (RFC 4592 section 2.2.2) and marks what has a wildcard below.
    fn ancestors(&mut self) -> Result<(), TooLarge> {
        let mut at = 1;
        // Nodes added here lie behind, so the loop comes to their ancestors too.
        while let Some(node) = self.arena.get(at..).and_then(Node::at) {
            at += node.length();
            let Some(parent) = parent(node.name) else { continue };
            let wildcard = node.name.starts_with(b"\x01*");
            if parent.is_empty() && !wildcard {
                continue;
            }
            let place = if let Some((place, _)) = self.find(parent) {
                place
            } else {
                let parent = Box::<[u8]>::from(parent);
                self.begin(&parent, None)?
            };
            if wildcard {
                self.mark(place, Flags::WILDCARD);
            }
        }
        Ok(())
    }

    /// Marks what lies below a delegation or a DNAME.
    fn occlusion(&mut self) {
        let over = Flags(Flags::CUT.0 | Flags::DNAME.0);
        if !self.seen.has(over) {
            return;
        }
        let apex = self.find(b"").is_some_and(|(_, node)| node.flags.has(over));
        let mut at = 1;
        while let Some(node) = self.arena.get(at..).and_then(Node::at) {
            let (place, mut name) = (at, node.name);
            at += node.length();
            let mut occluded = apex && !name.is_empty();
            while let Some(up) = parent(name).filter(|up| !up.is_empty() && !occluded) {
                occluded = self.find(up).is_some_and(|(_, node)| node.flags.has(over));
                name = up;
            }
            if occluded {
                self.mark(place, Flags::OCCLUDED);
            }
        }
    }

    fn mark(&mut self, node: usize, flag: Flags) {
        let Some(found) = self.arena.get(node..).and_then(Node::at) else { return };
        let flags_at = node + found.flags_offset();
        if let Some(octet) = self.arena.get_mut(flags_at) {
            *octet |= flag.0;
        }
    }

    fn finish(mut self, soa: Option<NegativeSoa>, records: usize) -> Zone {
        self.arena.shrink_to_fit();
        Zone {
            apex_labels: self.apex.labels().count(),
            apex: self.apex.clone(),
            table: self.table,
            arena: self.arena,
            depth: self.depth,
            soa,
            names: self.names,
            records,
        }
    }
}

/// The node of the name `name` (relative to the apex) among those of this hash, and its offset.
#[inline]
pub(super) fn find<'a>(
    table: &NameTable,
    arena: &'a [u8],
    hash: u64,
    name: &[u8],
) -> Option<(usize, Node<'a>)> {
    table.candidates(hash).find_map(|offset| {
        let node = Node::at(arena.get(offset as usize..)?)?;
        (node.name == name).then_some((offset as usize, node))
    })
}

/// The part of a wire name before `apex`; `None` when it is not at or below it.
fn relative<'n>(name: &'n [u8], apex: &Name) -> Option<&'n [u8]> {
    let apex = apex.as_wire();
    let length = name.len().checked_sub(apex.len())?;
    // Names in lower case: equal ends and a label that begins there.
    crate::name::is_at_or_below(name, apex).then(|| name.get(..length)).flatten()
}

/// The relative name without its leftmost label; `None` for the apex.
fn parent(name: &[u8]) -> Option<&[u8]> {
    let (length, _) = name.split_first()?;
    name.get(1 + usize::from(*length)..)
}

/// Drops records with equal RDATA (RFC 2181 section 5); the first of them stays.
fn drop_duplicates(records: &mut Vec<Record<'_>>) {
    if records.len() <= COMPARE_EACH_MAX {
        let mut at = 1;
        while let Some(record) = records.get(at) {
            if records.iter().take(at).any(|earlier| earlier.rdata == record.rdata) {
                records.remove(at);
            } else {
                at += 1;
            }
        }
    } else {
        let mut seen = std::collections::HashSet::with_capacity(records.len());
        records.retain(|record| seen.insert(record.rdata));
    }
}

/// Prepares the SOA of negative answers.
fn negative_soa(apex: &Name, record: Record<'_>) -> Option<NegativeSoa> {
    let minimum = u32::from_be_bytes(*record.rdata.last_chunk()?);
    let apex_labels = apex.labels().count();
    let mut wire = vec![0, 0, 0, 6, 0, 1, 0, 0, 0, 0, 0, 0];
    let mut pointers = vec![0];
    let mut rest = record.rdata;
    for _ in 0..2 {
        let mut name = QueryName::default();
        let (octets, tail) = rest.split_at_checked(name.read(rest)?)?;
        match name.below(apex.as_wire(), apex_labels).filter(|_| !apex.is_root()) {
            Some(label) => {
                wire.extend_from_slice(octets.get(..name.offset(label))?);
                pointers.push(wire.len() as u16);
                wire.extend_from_slice(&[0, 0]);
            }
            None => wire.extend_from_slice(octets),
        }
        rest = tail;
    }
    wire.extend_from_slice(rest);
    let length = (wire.len() - RECORD_FIXED) as u16;
    *wire.get_mut(RECORD_FIXED - 2..)?.first_chunk_mut()? = length.to_be_bytes();
    let serial = u32::from_be_bytes(*rest.first_chunk()?);
    Some(NegativeSoa {
        wire: wire.into(),
        pointers: pointers.into(),
        // RFC 2308 section 3: the lesser of the SOA's own TTL and its MINIMUM field.
        ttl: record.ttl.min(minimum),
        serial,
    })
}
