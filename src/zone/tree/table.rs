//! The hash table of names: slots of eight octets that point into an arena.

/// One slot; `offset` 0 is an empty one.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// High half of the hash, so that a miss seldom reads the arena.
    tag: u32,
    offset: u32,
}

/// An open-addressing table from hashes to offsets, at most half full.
///
/// It knows no names: whoever asks compares the few candidates with the name.
#[derive(Clone, Debug)]
pub struct NameTable {
    /// A power of two of them.
    slots: Vec<Slot>,
    used: usize,
}

impl NameTable {
    /// A table with room for `names` names; it grows when more come.
    pub fn with_capacity(names: usize) -> Self {
        let slots = (names.max(4) * 2).next_power_of_two();
        Self { slots: vec![Slot::default(); slots], used: 0 }
    }

    /// Octets held in memory.
    pub fn octets(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Adds a name under its hash; `offset` is never 0.
    pub fn insert(&mut self, hash: u64, offset: u32, hash_at: impl Fn(u32) -> u64) {
        if (self.used + 1) * 2 > self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![Slot::default(); old.len() * 2];
            for slot in old.into_iter().filter(|slot| slot.offset != 0) {
                self.put(hash_at(slot.offset), slot.offset);
            }
        }
        self.put(hash, offset);
        self.used += 1;
    }

    fn put(&mut self, hash: u64, offset: u32) {
        let mask = self.slots.len() - 1;
        let mut index = hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(index) {
            if slot.offset == 0 {
                *slot = Slot { tag: (hash >> 32) as u32, offset };
                return;
            }
            index = (index + 1) & mask;
        }
    }

    /// Reads the slot where a search for this hash begins; see [`super::Zone::touch_slot`].
    #[inline]
    pub fn touch(&self, hash: u64) -> u32 {
        self.slot(hash as usize).tag
    }

    /// The offset where a name of this hash most likely is, without any branch that would have to
    /// wait for the slots.
    #[inline]
    pub fn likely(&self, hash: u64) -> u32 {
        let (first, second) =
            (self.slot(hash as usize), self.slot((hash as usize).wrapping_add(1)));
        let found = u32::from(first.tag == (hash >> 32) as u32);
        first.offset * found + second.offset * (1 - found)
    }

    #[inline]
    fn slot(&self, index: usize) -> Slot {
        self.slots.get(index & (self.slots.len() - 1)).copied().unwrap_or_default()
    }

    /// The offsets whose names may have this hash; at most one in four billion has another.
    #[inline]
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let mask = self.slots.len() - 1;
        let mut index = hash as usize & mask;
        std::iter::from_fn(move || {
            // Ends, as half of the slots are empty.
            loop {
                let slot = self.slots.get(index)?;
                if slot.offset == 0 {
                    return None;
                }
                index = (index + 1) & mask;
                if slot.tag == (hash >> 32) as u32 {
                    return Some(slot.offset);
                }
            }
        })
    }
}

/// The hash of a name, or of the part of it before an apex; both in lower case.
///
/// Not keyed: whoever chooses queries cannot make them collide more than the names of the zone do
/// among themselves, and those are the operator's.
#[inline]
pub fn hash(name: &[u8]) -> u64 {
    const WORD: u64 = 0xa076_1d64_78bd_642f;
    const END: u64 = 0xe703_7ed1_a0b4_28db;
    let (words, _) = name.as_chunks::<8>();
    let mut hash = name.len() as u64 ^ END;
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), WORD);
    }
    fold(fold(hash ^ last_word(name), WORD), END)
}

/// The last eight octets, or all of a shorter name: loads that overlap are quicker than a loop
/// over what is left behind the words.
#[inline]
fn last_word(name: &[u8]) -> u64 {
    if let Some(word) = name.last_chunk() {
        return u64::from_le_bytes(*word);
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    name.iter().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

/// Both halves of the product, one over the other: every bit of the inputs reaches every bit.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_name_after_growing() {
        let name = |number: u32| format!("\x05h{number:04}").into_bytes();
        let mut table = NameTable::with_capacity(0);
        for number in 1..5000u32 {
            table.insert(hash(&name(number)), number, |offset| hash(&name(offset)));
        }
        for number in 1..5000u32 {
            assert!(table.candidates(hash(&name(number))).any(|offset| offset == number));
        }
        let strangers: usize =
            (5000..10000).map(|number| table.candidates(hash(&name(number))).count()).sum();
        assert!(strangers <= 1, "{strangers} false candidates");
    }

    #[test]
    fn names_that_share_words_differ_in_hash() {
        let names: [&[u8]; 7] =
            [b"", b"\x00", b"\x00\x00", b"\x07abcdefg", b"\x07abcdefh", b"\x08abcdefgh", b"\x01a"];
        let mut hashes: Vec<u64> = names.iter().map(|name| hash(name)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), names.len());
    }
}
