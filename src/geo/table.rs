//! The prefix table: from a client's address to its class and scope, in a few loads.

mod build;

use std::net::{IpAddr, Ipv6Addr};

use self::build::Builder;
use crate::prefix::embedded_ipv4;

/// An immutable map from addresses of both families to a class and a scope.
///
/// The scope is the length of the widest prefix around the address in which all addresses have the
/// same class, so that an answer may be kept for all of them (RFC 7871 section 7.2.1). It is 0 only
/// where all clients of both families are of one class. IPv6 addresses that carry an IPv4 address
/// have the class of that one.
#[derive(Debug)]
pub struct PrefixTable {
    v4: Tree,
    v6: Tree,
    /// Whether IPv6 addresses with an IPv4 address inside are looked up as that one; when all of
    /// IPv4 is one class, the IPv6 tree knows it and has the wider scopes.
    folds: bool,
}

/// Addresses of one class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<A> {
    /// The lowest address.
    pub(super) first: A,
    /// The highest address.
    pub(super) last: A,
    /// Their class; `None`: that of the IPv4 addresses inside.
    pub(super) class: Option<u32>,
}

impl PrefixTable {
    /// Classes are numbers below this: a class and a scope share 32 bits, and one class is the
    /// table's own.
    pub const CLASSES_MAX: u32 = (1 << 24) - 1;

    /// A table that has all clients in one class, with scope 0.
    pub fn constant(class: u32) -> Self {
        let (v4, v6) = (Tree::constant(class, 0), Tree::constant(class, 0));
        Self { v4, v6, folds: false }
    }

    /// A table of runs that cover each family in ascending order; they may touch with equal class.
    pub(super) fn new(
        v4: impl Iterator<Item = Run<u32>>,
        v6: impl Iterator<Item = Run<u128>>,
    ) -> Self {
        let mut v4 =
            Builder::<u32>::tree(v4.map(|run| (run.first, run.last, run.class.unwrap_or(0))));
        let uniform = v4.uniform();
        // The table's own class, which no look-up reaches, keeps scopes from spanning folded
        // blocks.
        let folded = uniform.unwrap_or(Self::CLASSES_MAX);
        let v6 = v6.map(|run| (run.first, run.last, run.class.unwrap_or(folded)));
        let v6 = Builder::<u128>::tree(v6);
        if let (Some(class), None) = (uniform, v6.uniform()) {
            // RFC 7871 section 7.3.1: a scope of 0 speaks for all networks, those of IPv6 too.
            v4 = Tree::constant(class, 1);
        }
        Self { v4, v6, folds: uniform.is_none() }
    }

    /// The class and the scope of a client.
    #[inline]
    pub fn lookup(&self, client: IpAddr) -> (u32, u8) {
        match client {
            IpAddr::V4(v4) => split(self.v4.find(&v4.octets())),
            IpAddr::V6(v6) => self.lookup_v6(v6),
        }
    }

    fn lookup_v6(&self, client: Ipv6Addr) -> (u32, u8) {
        let octets = client.octets();
        // The first octets of all forms with an IPv4 address inside; most clients have others.
        let may_fold = self.folds && matches!(octets, [0, ..] | [0x20, 0x01 | 0x02, ..]);
        match may_fold.then(|| embedded_ipv4(client)).flatten() {
            None => split(self.v6.find(&octets)),
            Some(embedded) => {
                let (class, scope) = split(self.v4.find(&embedded.address.octets()));
                (class, embedded.offset + scope)
            }
        }
    }

    /// Octets of memory in use for IPv4 and for IPv6.
    pub fn bytes(&self) -> (usize, usize) {
        (self.v4.bytes(), self.v6.bytes())
    }
}

/// Class and scope of a leaf cell.
fn split(cell: u32) -> (u32, u8) {
    (cell >> 8, cell as u8)
}

/// The cell of addresses of this class and scope.
///
/// A cell is a leaf (class in the upper 24 bits, scope in the lower 8) or, when its lower 8 bits
/// are no scope, refers to a node that decides by the next 8 bits of the address.
fn leaf(class: u32, scope: u8) -> u32 {
    class << 8 | u32::from(scope)
}

/// Lower 8 bits of the first cell that refers to a node: scopes end at 128.
const NODES: u32 = 130;

/// Runs a short node can have.
const SHORT_RUNS: usize = 5;

/// Words before the cells of a long node: 2 of counts, 8 of bits.
const LONG_HEAD: usize = 10;

/// How a node stores its runs, which together cover the 256 values of one octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One word with the last octet of the first four runs (255 for runs there are not), then up to
    /// five cells: the cell's index is the number of those octets that are below the address's.
    /// A run is all neighbours of one class; a leaf has the scope of a single octet, which the
    /// look-up widens as far as the run goes.
    Short,
    /// A bit for each octet at which a run starts, in eight words, and before them for each of the
    /// words, in one octet each, the number of runs that start below it; then the cells, whose
    /// leaves have the final scope.
    Long,
}

/// A cell that refers to the node at `offset`; `None` when the offset is too large for a cell.
fn reference(form: Form, offset: usize) -> Option<u32> {
    let offset = u32::try_from(offset).ok()?;
    let low = NODES + 2 * (offset >> 24) + u32::from(form == Form::Long);
    (low <= 0xff).then_some(offset << 8 | low)
}

/// The node a cell refers to; `None`: it is a leaf.
#[inline]
fn node(cell: u32) -> Option<(Form, usize)> {
    let above = (cell & 0xff).checked_sub(NODES)?;
    let form = if above & 1 == 0 { Form::Short } else { Form::Long };
    Some((form, (cell >> 8 | (above >> 1) << 24) as usize))
}

/// The map of one family.
#[derive(Debug)]
struct Tree {
    /// A cell for each value of the first 16 bits, or one for all.
    root: Vec<u32>,
    /// The nodes, one after the other; equal ones are stored once.
    arena: Vec<u32>,
}

impl Tree {
    /// One class and scope for all addresses.
    fn constant(class: u32, scope: u8) -> Self {
        Self { root: vec![leaf(class, scope)], arena: Vec::new() }
    }

    /// The class of all addresses, if there is but one.
    fn uniform(&self) -> Option<u32> {
        match self.root.as_slice() {
            [cell] => Some(cell >> 8),
            _ => None,
        }
    }

    /// The leaf cell of an address.
    #[inline]
    fn find(&self, octets: &[u8]) -> u32 {
        let [high, low, rest @ ..] = octets else { return 0 };
        // The root has 1 or 65,536 cells.
        let index = usize::from(u16::from_be_bytes([*high, *low])) & (self.root.len() - 1);
        let mut cell = self.root.get(index).copied().unwrap_or(0);
        for octet in rest {
            let Some((form, offset)) = node(cell) else { break };
            let words = self.arena.get(offset..).unwrap_or_default();
            cell = match form {
                Form::Short => short_cell(words, *octet),
                Form::Long => long_cell(words, *octet),
            };
        }
        cell
    }

    /// Octets of memory in use.
    fn bytes(&self) -> usize {
        (self.root.capacity() + self.arena.capacity()) * size_of::<u32>()
    }
}

/// The cell of `octet` in a short node.
#[inline]
fn short_cell(words: &[u32], octet: u8) -> u32 {
    let ends = words.first().copied().unwrap_or(0).to_le_bytes();
    let index: usize = ends.iter().map(|end| usize::from(octet > *end)).sum();
    let cell = words.get(1 + index).copied().unwrap_or(0);
    if node(cell).is_some() {
        return cell;
    }
    // The widest aligned block around the octet that reaches neither neighbour of its run; no block
    // around the whole node can be of one class.
    let below = index.checked_sub(1).and_then(|at| ends.get(at)).copied();
    let above = ends.get(index).and_then(|end| end.checked_add(1));
    let free = |neighbour: Option<u8>| neighbour.map_or(8, |other| (other ^ octet).ilog2());
    cell - free(below).min(free(above))
}

/// The cell of `octet` in a long node.
#[inline]
fn long_cell(words: &[u32], octet: u8) -> u32 {
    let word = usize::from(octet >> 5);
    let counts = words.get(word >> 2).copied().unwrap_or(0).to_le_bytes();
    let before = counts.get(word & 3).copied().unwrap_or(0);
    let starts = words.get(2 + word).copied().unwrap_or(0);
    let up_to = starts & (u32::MAX >> (31 - (octet & 31)));
    // The first run starts at 0, so at least one bit is counted.
    let index = usize::from(before) + up_to.count_ones() as usize - 1;
    words.get(LONG_HEAD + index).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_scope_of_the_first_class_spans_addresses_that_carry_others() {
        let v4 = [(0, 0, 0), (1, u32::MAX, 1)];
        let v4 = v4.map(|(first, last, class)| Run { first, last, class: Some(class) });
        let teredo = 0x2001 << 112;
        let v6 = [
            (0, teredo - 1, Some(0)),
            (teredo, teredo | (u128::MAX >> 32), None),
            (teredo + (1 << 96), u128::MAX, Some(0)),
        ];
        let v6 = v6.map(|(first, last, class)| Run { first, last, class });
        let table = PrefixTable::new(v4.into_iter(), v6.into_iter());
        for (client, expected) in [
            ("2001:1::", (0, 32)),
            ("2001:2::", (0, 31)),
            ("2000::", (0, 16)),
            ("2a00::", (0, 5)),
            ("2001::ffff:ffff", (0, 128)),
            ("2001::ffff:fffe", (1, 128)),
        ] {
            assert_eq!(table.lookup(client.parse().unwrap()), expected, "{client}");
        }
    }
}
