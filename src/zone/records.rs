//! The records of one zone as read, packed so that a million of them stay small.

use ring::digest::{Context, SHA256};

/// One resource record, borrowed from [`Records`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Owner name: uncompressed wire form, lower case.
    pub owner: &'a [u8],
    /// Type number.
    pub rtype: u16,
    /// TTL in seconds, at most 2^31 - 1 (RFC 2181 section 8).
    pub ttl: u32,
    /// RDATA in wire form; names in it are uncompressed and keep the case of the file.
    pub rdata: &'a [u8],
    /// Which of the zone's files it is in, as the reader numbers them; 0 is the master file.
    pub file: u16,
    /// Line in that file, from 1.
    pub line: u32,
}

/// The records of one zone, class IN, in the order of the file until [`Records::sort`].
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Each record: length of the owner (1 octet), owner, then [`FIXED`] octets, then RDATA. A
    /// record with the owner of the one before has [`SAME`] and the offset of the first such
    /// record instead: several types at a name are the rule in zones of many records.
    arena: Vec<u8>,
    offsets: Vec<u32>,
    /// Offset of the record that holds the owner of the last one.
    holder: u32,
}

/// In place of the length of an owner, which is never 0: the owner is that of another record.
const SAME: u8 = 0;

/// Octets between owner and RDATA: type 2, TTL 4, file 2, line 4, RDATA length 2.
const FIXED: usize = 14;

impl PartialEq for Records {
    /// Whether both hold the same records in the same order, however they are packed.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Records {}

impl Records {
    /// Adds a record; `false` when the records together exceed 4 GiB (32-bit offsets keep the
    /// index small), or the owner or RDATA is longer than DNS allows.
    #[must_use]
    pub fn push(&mut self, record: Record<'_>) -> bool {
        let (Ok(owner), Ok(rdata)) =
            (u8::try_from(record.owner.len()), u16::try_from(record.rdata.len()))
        else {
            return false;
        };
        let Ok(offset) = u32::try_from(self.arena.len()) else { return false };
        if offset > 0 && self.owner(self.holder) == record.owner {
            self.arena.push(SAME);
            self.arena.extend_from_slice(&self.holder.to_be_bytes());
        } else {
            self.holder = offset;
            self.arena.push(owner);
            self.arena.extend_from_slice(record.owner);
        }
        self.arena.extend_from_slice(&record.rtype.to_be_bytes());
        self.arena.extend_from_slice(&record.ttl.to_be_bytes());
        self.arena.extend_from_slice(&record.file.to_be_bytes());
        self.arena.extend_from_slice(&record.line.to_be_bytes());
        self.arena.extend_from_slice(&rdata.to_be_bytes());
        self.arena.extend_from_slice(record.rdata);
        self.offsets.push(offset);
        true
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The record at `index`.
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        self.offsets.get(index).and_then(|offset| self.at(*offset))
    }

    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.offsets.iter().filter_map(|offset| self.at(*offset))
    }

    /// The records from `index` on.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = Record<'_>> {
        self.offsets.get(index..).unwrap_or_default().iter().filter_map(|offset| self.at(*offset))
    }

    /// The records of an owner, in wire form and lower case, once they are sorted.
    pub fn at_owner(&self, owner: &[u8]) -> impl Iterator<Item = Record<'_>> {
        let start = self.offsets.partition_point(|offset| self.owner(*offset) < owner);
        self.iter_from(start).take_while(move |record| record.owner == owner)
    }

    /// Sorts by owner octets, then type; records of one RRset keep the order of the file.
    pub fn sort(&mut self) {
        let key = |offset: &u32| self.at(*offset).map(|record| (record.owner, record.rtype));
        if self.offsets.is_sorted_by_key(key) {
            return;
        }
        // Most comparisons end within the octets beside the offset, so that the arena is left
        // alone; the offset comes last and keeps the order of the file.
        let mut keyed: Vec<(u64, u32)> =
            self.offsets.iter().map(|offset| (start(self.owner(*offset)), *offset)).collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| key(&a.1).cmp(&key(&b.1))));
        self.offsets.clear();
        self.offsets.extend(keyed.into_iter().map(|(_, offset)| offset));
    }

    /// SHA-256 of what the records say, wherever they stand in files: equal for equal records in
    /// an equal order.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for Record { owner, rtype, ttl, rdata, .. } in self.iter() {
            context.update(owner);
            context.update(&rtype.to_be_bytes());
            context.update(&ttl.to_be_bytes());
            context.update(&(rdata.len() as u32).to_be_bytes());
            context.update(rdata);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// Removes the records at these indices, which ascend.
    pub(super) fn remove(&mut self, indices: &[usize]) {
        let mut removed = indices.iter().copied().peekable();
        let mut index = 0;
        self.offsets.retain(|_| {
            let keep = removed.next_if_eq(&index).is_none();
            index += 1;
            keep
        });
    }

    /// Makes room for the records of a text of this length, so that growing leaves no holes in
    /// the heap; without the memory for it, they grow as they come.
    pub(super) fn reserve(&mut self, text: usize) {
        // Short lines of 30 octets, such as addresses have, become 40 octets.
        let _ = self.arena.try_reserve(text.saturating_mul(2));
        let _ = self.offsets.try_reserve(text / 16);
    }

    /// Gives back the memory kept for more records.
    pub(super) fn shrink(&mut self) {
        self.arena.shrink_to_fit();
        self.offsets.shrink_to_fit();
    }

    fn owner(&self, offset: u32) -> &[u8] {
        self.split(offset).map_or(&[], |(owner, _)| owner)
    }

    /// The owner of the record at an offset, and what follows it.
    fn split(&self, offset: u32) -> Option<(&[u8], &[u8])> {
        let (length, rest) = self.arena.get(offset as usize..)?.split_first()?;
        if *length != SAME {
            return rest.split_at_checked(usize::from(*length));
        }
        let (holder, rest) = rest.split_first_chunk()?;
        let (length, held) =
            self.arena.get(u32::from_be_bytes(*holder) as usize..)?.split_first()?;
        Some((held.get(..usize::from(*length))?, rest))
    }

    fn at(&self, offset: u32) -> Option<Record<'_>> {
        let (owner, rest) = self.split(offset)?;
        let (fixed, rest) = rest.split_first_chunk::<FIXED>()?;
        let [t0, t1, l0, l1, l2, l3, f0, f1, n0, n1, n2, n3, d0, d1] = *fixed;
        Some(Record {
            owner,
            rtype: u16::from_be_bytes([t0, t1]),
            ttl: u32::from_be_bytes([l0, l1, l2, l3]),
            rdata: rest.get(..usize::from(u16::from_be_bytes([d0, d1])))?,
            file: u16::from_be_bytes([f0, f1]),
            line: u32::from_be_bytes([n0, n1, n2, n3]),
        })
    }
}

/// The first octets of an owner as a number that sorts as they do.
fn start(owner: &[u8]) -> u64 {
    owner.iter().chain(&[0; 8]).take(8).fold(0, |number, octet| number << 8 | u64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_pushed_in_sorted_order() {
        let record = |owner, rtype, line| Record {
            owner,
            rtype,
            ttl: 300,
            rdata: &[192, 0, 2, 1],
            file: 0,
            line,
        };
        let all = [
            record(b"\x01b\x00", 1, 1),
            record(b"\x01a\x00", 28, 2),
            record(b"\x01a\x00", 1, 3),
            record(b"\x00", 6, 4),
            record(b"\x00", 2, 5),
            record(b"\x01b\x00", 16, 6),
        ];
        let mut records = Records::default();
        assert!(all.iter().all(|record| records.push(*record)));
        assert_eq!(records.iter().collect::<Vec<_>>(), all);
        records.sort();
        assert_eq!(records.iter().map(|r| r.line).collect::<Vec<_>>(), [5, 4, 3, 2, 1, 6]);
        assert_eq!(records.at_owner(b"\x01a\x00").count(), 2);
        assert_eq!(records.get(6), None);
    }
}
