//! Builds a tree from runs of addresses in ascending order.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;

use super::{Form, LONG_HEAD, SHORT_RUNS, Tree, leaf, node, reference};
use crate::geo::address::Address;

/// Bits that the root decides by.
const ROOT_BITS: u8 = 16;

/// Levels of nodes below the root, one for each octet of IPv6 that the root leaves.
const LEVELS: usize = 14;

/// A tree under construction.
pub(super) struct Builder<A> {
    tree: Tree,
    /// For each level the runs (last octet, cell) of the node being filled.
    open: [Vec<(u8, u32)>; LEVELS],
    /// The words of the node being written.
    words: Vec<u32>,
    /// The nodes in the arena, by the hash of their words; of different nodes with equal hash only
    /// the first is found again, which costs space and no more.
    stored: HashMap<u64, u32>,
    family: PhantomData<A>,
}

impl<A: Address> Builder<A> {
    /// The tree of runs (first, last, class) that cover the address space in ascending order.
    pub(super) fn tree(runs: impl Iterator<Item = (A, A, u32)>) -> Tree {
        let mut builder = Self {
            tree: Tree { root: Vec::new(), arena: Vec::new() },
            open: Default::default(),
            words: Vec::new(),
            stored: HashMap::new(),
            family: PhantomData,
        };
        let mut pending: Option<(A, A, u32)> = None;
        for (first, last, class) in runs {
            match &mut pending {
                Some(run) if run.2 == class => run.1 = last,
                _ => {
                    if let Some(run) = pending {
                        builder.add_run(run);
                    }
                    pending = Some((first, last, class));
                }
            }
        }
        if let Some(run) = pending {
            builder.add_run(run);
        }
        builder.finish()
    }

    /// Adds a run as the fewest prefixes: each the widest around its addresses, since the
    /// neighbours of the run have other classes.
    fn add_run(&mut self, (first, last, class): (A, A, u32)) {
        let (mut first, last): (u128, u128) = (first.into(), last.into());
        loop {
            let aligned = first.trailing_zeros().min(A::WIDTH.into());
            let fits = (last - first).checked_add(1).map_or(128, u128::ilog2);
            let bits = aligned.min(fits);
            let end = first + 1u128.checked_shl(bits).map_or(u128::MAX, |size| size - 1);
            self.add_prefix(first, end, A::WIDTH - bits as u8, class);
            match end.checked_add(1) {
                Some(next) if next <= last => first = next,
                _ => return,
            }
        }
    }

    /// Adds the prefix from `first` to `last`.
    fn add_prefix(&mut self, first: u128, last: u128, length: u8, class: u32) {
        let cell = leaf(class, length);
        let Some(below) = length.checked_sub(ROOT_BITS + 1) else {
            let shift = A::WIDTH - ROOT_BITS;
            let count = ((last >> shift) - (first >> shift) + 1) as usize;
            self.tree.root.resize(self.tree.root.len() + count, cell);
            return;
        };
        let mut level = usize::from(below / 8);
        let octet = |level: usize| (last >> (usize::from(A::WIDTH) - 24 - 8 * level)) as u8;
        let mut cell = cell;
        // A run that ends at octet 255 fills its node, which then is a run of the node above.
        while self.push(level, octet(level), cell) {
            cell = self.close(level);
            match level.checked_sub(1) {
                Some(above) => level = above,
                None => return self.tree.root.push(cell),
            }
        }
    }

    /// Adds a run to the open node of a level; says whether that is now full.
    fn push(&mut self, level: usize, end: u8, cell: u32) -> bool {
        let Some(runs) = self.open.get_mut(level) else { return false };
        match runs.last_mut() {
            Some(run) if run.1 == cell => run.0 = end,
            _ => runs.push((end, cell)),
        }
        end == u8::MAX
    }

    /// Writes the full node of a level to the arena, unless an equal one is there, and empties it.
    fn close(&mut self, level: usize) -> u32 {
        let Some(runs) = self.open.get_mut(level) else { return 0 };
        let first_cell = runs.first().map_or(0, |run| run.1);
        let form = encode(level, runs, &mut self.words);
        runs.clear();
        let mut hasher = DefaultHasher::new();
        self.words.hash(&mut hasher);
        let hash = hasher.finish();
        let arena = &mut self.tree.arena;
        if let Some(cell) = self.stored.get(&hash) {
            let known = node(*cell).and_then(|(known_form, offset)| {
                let words = arena.get(offset..offset + self.words.len())?;
                Some(known_form == form && words == self.words)
            });
            if known == Some(true) {
                return *cell;
            }
        }
        // Past 4 GiB of nodes the first class speaks for all: a worse answer, but an answer.
        let Some(cell) = reference(form, arena.len()) else { return first_cell };
        arena.extend_from_slice(&self.words);
        self.stored.insert(hash, cell);
        cell
    }

    /// The finished tree; a root that is the same everywhere shrinks to one cell.
    fn finish(self) -> Tree {
        let Tree { mut root, mut arena } = self.tree;
        if root.iter().all(|cell| root.first() == Some(cell)) {
            root.truncate(1);
        }
        root.shrink_to_fit();
        arena.shrink_to_fit();
        Tree { root, arena }
    }
}

/// Writes the words of a node at `level` with these runs (last octet, cell).
fn encode(level: usize, runs: &[(u8, u32)], words: &mut Vec<u32>) -> Form {
    words.clear();
    // An ends word that is filled in below, then the cells as long as they are few enough.
    words.push(u32::MAX);
    let mut ends = [u8::MAX; SHORT_RUNS];
    let single = ROOT_BITS + 8 * (level as u8 + 1);
    for (end, cell) in runs {
        let cell = if node(*cell).is_some() { *cell } else { leaf(cell >> 8, single) };
        if words.last() != Some(&cell) || words.len() == 1 {
            words.push(cell);
        }
        let Some(last) = ends.get_mut(words.len() - 2) else {
            encode_long(runs, words);
            return Form::Long;
        };
        *last = *end;
    }
    let [first, second, third, fourth, _] = ends;
    if let Some(word) = words.first_mut() {
        *word = u32::from_le_bytes([first, second, third, fourth]);
    }
    Form::Short
}

/// Writes the words of a long node with these runs (last octet, cell).
fn encode_long(runs: &[(u8, u32)], words: &mut Vec<u32>) {
    words.clear();
    let mut starts = [0u32; 8];
    let mut start = 0u8;
    for (end, _) in runs {
        if let Some(word) = starts.get_mut(usize::from(start >> 5)) {
            *word |= 1 << (start & 31);
        }
        start = end.wrapping_add(1);
    }
    let mut counts = [0u8; 8];
    let mut before = 0u32;
    for (count, word) in counts.iter_mut().zip(starts) {
        *count = before as u8;
        before += word.count_ones();
    }
    let counts = u64::from_le_bytes(counts);
    words.extend([counts as u32, (counts >> 32) as u32]);
    words.extend(starts);
    debug_assert_eq!(words.len(), LONG_HEAD);
    words.extend(runs.iter().map(|run| run.1));
}
