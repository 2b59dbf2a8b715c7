//! A name that is looked up: in lower case, with the place of every label known.

use crate::name::{LABEL_MAX, NAME_MAX};

/// Most labels a name of 255 octets can have, without the root's.
const LABELS_MAX: usize = 127;

/// A domain name as look-ups need it: uncompressed, in lower case, with the offset of each label.
///
/// It owns its octets, so that one value serves a whole stream of queries without allocation.
#[derive(Clone, Debug)]
pub struct QueryName {
    /// Octets behind `length` are left-overs of the words that were copied.
    wire: [u8; NAME_MAX + 1],
    /// Offsets of the length octets, from the left; `offsets[count]` is the root's.
    offsets: [u8; LABELS_MAX + 1],
    length: u8,
    count: u8,
}

impl Default for QueryName {
    /// The root.
    fn default() -> Self {
        Self { wire: [0; NAME_MAX + 1], offsets: [0; LABELS_MAX + 1], length: 1, count: 0 }
    }
}

impl QueryName {
    /// Takes the uncompressed name at the start of `source` and returns its length.
    ///
    /// `None`: `source` ends before the name does, a label is longer than 63 octets or a
    /// compression pointer, or the name is longer than 255 octets (RFC 1035 sections 2.3.4 and
    /// 4.1.4). The value is then the root.
    pub fn read(&mut self, source: &[u8]) -> Option<usize> {
        (self.length, self.count, self.wire[0], self.offsets[0]) = (1, 0, 0, 0);
        let (mut at, mut count) = (0, 0);
        loop {
            let length = usize::from(*source.get(at)?);
            *self.offsets.get_mut(count)? = at as u8;
            if length == 0 {
                break;
            }
            at += 1 + length;
            if length > LABEL_MAX || at >= NAME_MAX {
                return None;
            }
            count += 1;
        }
        let length = at + 1;
        // Whole words are copied where the source has them: that is quicker than exact lengths.
        let source = source.get(..length.next_multiple_of(8)).or(source.get(..length))?;
        let (words, rest) = source.as_chunks::<8>();
        let targets = self.wire.as_chunks_mut::<8>().0;
        for (target, word) in targets.iter_mut().zip(words) {
            *target = lower(u64::from_le_bytes(*word)).to_le_bytes();
        }
        if let Some(target) = targets.get_mut(words.len()).filter(|_| !rest.is_empty()) {
            for (to, from) in target.iter_mut().zip(rest) {
                *to = from.to_ascii_lowercase();
            }
        }
        self.length = length as u8;
        self.count = count as u8;
        Some(length)
    }

    /// The wire form.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        self.wire.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Number of labels, without the root's.
    #[inline]
    pub fn label_count(&self) -> usize {
        usize::from(self.count)
    }

    /// Offset of label `label` from the left; of the root for the label count and beyond.
    #[inline]
    pub fn offset(&self, label: usize) -> usize {
        usize::from(self.offsets.get(label.min(self.label_count())).copied().unwrap_or(0))
    }

    /// The name from label `label` on.
    #[inline]
    pub fn suffix(&self, label: usize) -> &[u8] {
        self.as_wire().get(self.offset(label)..).unwrap_or_default()
    }

    /// The octets from label `label` up to, and without, label `end`.
    #[inline]
    pub fn between(&self, label: usize, end: usize) -> &[u8] {
        self.wire.get(self.offset(label)..self.offset(end)).unwrap_or_default()
    }

    /// The label at which the name `apex` of `labels` labels begins, when this is at or below it.
    pub fn below(&self, apex: &[u8], labels: usize) -> Option<usize> {
        let label = self.label_count().checked_sub(labels)?;
        (self.suffix(label) == apex).then_some(label)
    }
}

/// Eight octets in lower case; length octets (at most 63) are no letters and stay.
fn lower(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (EACH * 0x7f);
    let above_z = low + EACH * (0x7f - b'Z' as u64);
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let upper = (from_a ^ above_z) & !word & (EACH * 0x80);
    word | (upper >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_changes_ascii_letters_alone() {
        for octet in 0..=255u8 {
            let word = u64::from_le_bytes([octet, b'A', octet, 0, octet, 255, b'z', octet]);
            let expected = word.to_le_bytes().map(|octet| octet.to_ascii_lowercase());
            assert_eq!(lower(word).to_le_bytes(), expected);
        }
    }

    #[test]
    fn reads_names_and_their_labels() {
        let mut name = QueryName::default();
        for tail in [&b""[..], b"\x00\x01\x00\x01", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            let source = [b"\x03WwW\x07Example\x03com\x00", tail].concat();
            assert_eq!(name.read(&source), Some(17));
            assert_eq!(name.as_wire(), b"\x03www\x07example\x03com\x00");
            assert_eq!(name.label_count(), 3);
            assert_eq!(name.suffix(1), b"\x07example\x03com\x00");
            assert_eq!(name.suffix(3), b"\x00");
            assert_eq!(name.suffix(9), b"\x00");
            assert_eq!(name.between(0, 1), b"\x03www");
            assert_eq!(name.below(b"\x03com\x00", 1), Some(2));
            assert_eq!(name.below(b"\x03org\x00", 1), None);
            assert_eq!(name.below(b"\x00", 0), Some(3));
        }
    }

    #[test]
    fn refuses_what_is_no_uncompressed_name() {
        let long = [[63].as_slice(), &[b'a'; 63]].concat().repeat(3);
        let longest = [long.as_slice(), &[61], &[b'b'; 61], &[0]].concat();
        let too_long = [long.as_slice(), &[62], &[b'b'; 62], &[0]].concat();
        let mut name = QueryName::default();
        assert_eq!(name.read(&longest), Some(255));
        assert_eq!(name.as_wire(), longest);
        let labels = [1, b'x'].repeat(127);
        assert_eq!(name.read(&[labels.as_slice(), &[0]].concat()), Some(255));
        assert_eq!(name.label_count(), 127);
        for bad in [&b""[..], b"\x03ww", b"\x03www", b"\xc0\x0c", b"\x40", b"\x01a\xc0\x0c"] {
            assert_eq!(name.read(bad), None, "{bad:?}");
        }
        assert_eq!(name.read(&too_long), None);
        assert_eq!(name.read(&[1, b'x'].repeat(128)), None);
        assert_eq!(name.as_wire(), [0]);
    }
}
