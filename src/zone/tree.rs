//! The tree of a zone: every name and RRset as it is served, found by one hash look-up.
//!
//! Nodes lie in one arena with their RRsets as ready wire bytes; a table of eight-octet slots
//! leads from the hash of a name, relative to the apex, to its node. A million names of one A
//! record each take about 50 MiB.

mod build;
mod node;
mod query_name;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

pub use node::{Node, Rrset, rtype};
pub use query_name::QueryName;
pub use table::{NameTable, hash};

use self::node::Flags;
use super::Records;
use crate::name::{NAME_MAX, Name};

/// A zone as it is served.
pub struct Zone {
    apex: Name,
    apex_labels: usize,
    table: NameTable,
    arena: Vec<u8>,
    /// Most labels of a name below the apex: longer names need no look-up.
    depth: usize,
    soa: Option<NegativeSoa>,
    names: usize,
    records: usize,
}

/// An owner name that a service answers; its first label may be `*`.
#[derive(Clone, Copy, Debug)]
pub struct SteeredOwner<'a> {
    /// The owner name, at or below the apex.
    pub owner: &'a Name,
    /// Index into the zone's services.
    pub service: u32,
}

/// The zone needs more than 4 GiB, or a name has more than 65535 types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the zone is larger than 4 GiB")
    }
}

impl std::error::Error for TooLarge {}

/// The SOA record of negative answers (RFC 2308 section 3), ready but for its pointers.
#[derive(Clone, Debug)]
pub struct NegativeSoa {
    /// The record in wire form.
    pub wire: Box<[u8]>,
    /// Offsets in `wire` where a pointer to the apex belongs: the owner first.
    pub pointers: Box<[u16]>,
    /// The lesser of the SOA's TTL and MINIMUM, in seconds; `wire` has 0.
    pub ttl: u32,
    /// The serial number.
    pub serial: u32,
}

/// What a zone has for a name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// The name, or the wildcard that stands for it (RFC 4592).
    Name(Node<'a>),
    /// The name is at or below this delegation, which begins at this label of it.
    Cut(Node<'a>, usize),
    /// The name is below this DNAME, whose owner begins at this label of it.
    Dname(Node<'a>, usize),
    /// There is no such name.
    Nothing,
}

impl Zone {
    /// Builds the tree of a zone from its records in the order of [`Records::sort`].
    ///
    /// Records that contradict one another were refused when they were read; here they lead to
    /// some answer and never to a panic. A and AAAA records of a steered owner are left out.
    pub fn build(
        apex: &Name,
        records: &Records,
        steered: &[SteeredOwner<'_>],
    ) -> Result<Self, TooLarge> {
        build::build(apex, records, steered)
    }

    /// The apex.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Number of labels of the apex.
    pub fn apex_labels(&self) -> usize {
        self.apex_labels
    }

    /// The SOA of negative answers; `None` only when the records had none.
    pub fn negative_soa(&self) -> Option<&NegativeSoa> {
        self.soa.as_ref()
    }

    /// Number of names, the empty ones among them.
    pub fn names(&self) -> usize {
        self.names
    }

    /// Number of records read.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The name at a place in the zone, and the place of the next; the first place is 1. `None`:
    /// there are no more. What is occluded comes too, and so do the empty names.
    pub fn walk(&self, place: usize) -> Option<(Node<'_>, usize)> {
        let node = Node::at(self.arena.get(place..)?)?;
        Some((node, place + node.length()))
    }

    /// The node of a name relative to the apex, however it would be answered.
    pub fn exact(&self, relative: &[u8]) -> Option<Node<'_>> {
        self.node(relative, hash(relative))
    }

    /// All of the zone as octets: equal ones are equal zones with equally numbered services.
    pub fn image(&self) -> &[u8] {
        &self.arena
    }

    /// Octets held in memory.
    pub fn octets(&self) -> usize {
        self.arena.capacity() + self.table.octets()
    }

    /// The hash that [`Zone::look_up`] wants for a name at or below the apex.
    pub fn hash(&self, name: &QueryName) -> u64 {
        hash(name.between(0, self.apex_label(name)))
    }

    /// Reads the slot of the table where the search for this hash begins.
    ///
    /// For a batch of queries: first this for each, then [`Zone::touch_node`] for each. Such reads
    /// wait for memory side by side, those of look-ups would one after the other. The results only
    /// keep the compiler from leaving the reads out.
    #[inline]
    pub fn touch_slot(&self, hash: u64) -> u32 {
        self.table.touch(hash)
    }

    /// Reads the start of the node that a name of this hash most likely has.
    #[inline]
    pub fn touch_node(&self, hash: u64) -> u8 {
        self.arena.get(self.table.likely(hash) as usize).copied().unwrap_or(0)
    }

    /// Looks up a name at or below the apex; `hash` is its [`Zone::hash`].
    pub fn look_up(&self, name: &QueryName, hash: u64) -> Found<'_> {
        let apex = self.apex_label(name);
        let ends = Flags(Flags::OCCLUDED.0 | Flags::CUT.0);
        match self.node(name.between(0, apex), hash) {
            Some(node) if !node.flags.has(ends) => Found::Name(node),
            exact => self.climb(name, apex, exact.is_some()),
        }
    }

    /// The node of a name at or below the apex, whether it can be reached or is occluded: glue.
    pub fn glue(&self, name: &QueryName) -> Option<Node<'_>> {
        self.node(name.between(0, self.apex_label(name)), self.hash(name))
    }

    /// Finds the closest encloser (RFC 4592 section 3.3.1) of a name that does not exist, or the
    /// delegation or DNAME above one that does.
    fn climb(&self, name: &QueryName, apex: usize, exists: bool) -> Found<'_> {
        // Names with more labels than any in the zone cannot exist.
        let first = if exists { 0 } else { apex.saturating_sub(self.depth).max(1) };
        for label in first..=apex {
            let suffix = name.between(label, apex);
            let Some(node) = self.node(suffix, hash(suffix)) else { continue };
            // What is occluded has the topmost delegation or DNAME above it, and that one counts.
            if node.flags.has(Flags::OCCLUDED) {
                continue;
            }
            if node.flags.has(Flags::CUT) {
                return Found::Cut(node, label);
            }
            if label == 0 {
                return Found::Name(node);
            }
            if node.flags.has(Flags::DNAME) {
                return Found::Dname(node, label);
            }
            if !node.flags.has(Flags::WILDCARD) {
                break;
            }
            return self.wildcard(suffix).map_or(Found::Nothing, Found::Name);
        }
        Found::Nothing
    }

    /// The wildcard right below a name.
    fn wildcard(&self, parent: &[u8]) -> Option<Node<'_>> {
        let mut name = [0; NAME_MAX];
        let length = 2 + parent.len();
        name.get_mut(..2)?.copy_from_slice(b"\x01*");
        name.get_mut(2..length)?.copy_from_slice(parent);
        let name = name.get(..length)?;
        self.node(name, hash(name))
    }

    fn node(&self, relative: &[u8], hash: u64) -> Option<Node<'_>> {
        build::find(&self.table, &self.arena, hash, relative).map(|(_, node)| node)
    }

    /// The label of `name` at which the apex begins.
    fn apex_label(&self, name: &QueryName) -> usize {
        name.label_count().saturating_sub(self.apex_labels)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut zone = f.debug_struct("Zone");
        zone.field("apex", &self.apex).field("names", &self.names).finish_non_exhaustive()
    }
}
