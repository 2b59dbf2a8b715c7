//! A label for every address of a family, as ascending ranges.

use super::address::Address;
use crate::prefix::Prefix;

/// Ranges that cover the address space from its lowest address on; neighbours differ in label.
///
/// Memory: 8 octets a range for IPv4, 20 for IPv6.
#[derive(Clone, Debug)]
pub(super) struct Ranges<A> {
    starts: Vec<A>,
    labels: Vec<u32>,
}

impl<A: Address> Ranges<A> {
    /// One range over the whole space.
    pub(super) fn whole(label: u32) -> Self {
        Self { starts: vec![A::FIRST], labels: vec![label] }
    }

    /// Labels the prefixes of this family, which ascend and do not overlap, by their place among
    /// all, from 1; what is in none has the label 0.
    pub(super) fn of(prefixes: &[Prefix]) -> Self {
        let mut ranges = Self::whole(0);
        for (prefix, label) in prefixes.iter().zip(1..) {
            let (Some(first), Some(last)) = (A::of(prefix.address()), A::of(prefix.last())) else {
                continue;
            };
            ranges.push(first, label);
            if let Some(after) = last.after() {
                ranges.push(after, 0);
            }
        }
        ranges
    }

    /// Labels all addresses from `first` on; `first` must not be below that of an earlier call.
    pub(super) fn push(&mut self, first: A, label: u32) {
        if self.starts.last() == Some(&first) {
            self.starts.pop();
            self.labels.pop();
        }
        if self.labels.last() != Some(&label) {
            self.starts.push(first);
            self.labels.push(label);
        }
    }

    /// The label of `address`.
    pub(super) fn find(&self, address: A) -> u32 {
        let above = self.starts.partition_point(|start| *start <= address);
        above.checked_sub(1).and_then(|at| self.labels.get(at)).copied().unwrap_or(0)
    }

    /// First address, last address and label of each range.
    pub(super) fn iter(&self) -> impl Iterator<Item = (A, A, u32)> {
        let ends = self.starts.iter().skip(1).map(|next| next.before()).chain([A::LAST]);
        let starts = self.starts.iter().copied();
        starts.zip(ends).zip(&self.labels).map(|((first, last), label)| (first, last, *label))
    }

    /// Number of ranges.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Octets of memory in use.
    pub(super) fn bytes(&self) -> usize {
        self.starts.capacity() * size_of::<A>() + self.labels.capacity() * size_of::<u32>()
    }

    /// The common refinement of two coverings, with labels made by `combine`.
    pub(super) fn overlay(&self, other: &Self, mut combine: impl FnMut(u32, u32) -> u32) -> Self {
        let least = self.len().max(other.len());
        let mut merged =
            Self { starts: Vec::with_capacity(least), labels: Vec::with_capacity(least) };
        let (mut upper, mut lower) = (self.iter().peekable(), other.iter().peekable());
        let mut first = A::FIRST;
        while let (Some(a), Some(b)) = (upper.peek(), lower.peek()) {
            merged.push(first, combine(a.2, b.2));
            let (a_last, last) = (a.1, a.1.min(b.1));
            if b.1 == last {
                lower.next();
            }
            if a_last == last {
                upper.next();
            }
            match last.after() {
                Some(next) => first = next,
                None => break,
            }
        }
        merged.starts.shrink_to_fit();
        merged.labels.shrink_to_fit();
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(pairs: &[(u32, u32)]) -> Ranges<u32> {
        let mut ranges = Ranges::whole(0);
        for (first, label) in pairs {
            ranges.push(*first, *label);
        }
        ranges
    }

    #[test]
    fn joins_equal_neighbours_and_replaces_a_range_that_starts_again() {
        let ranges = ranges(&[(10, 1), (20, 1), (30, 2), (30, 1), (40, 3)]);
        let all: Vec<_> = ranges.iter().collect();
        assert_eq!(all, [(0, 9, 0), (10, 39, 1), (40, u32::MAX, 3)]);
        for (address, label) in [(0, 0), (9, 0), (10, 1), (39, 1), (40, 3), (u32::MAX, 3)] {
            assert_eq!(ranges.find(address), label, "{address}");
        }
    }

    #[test]
    fn labels_prefixes_of_its_family_by_their_place() {
        let prefixes: Vec<Prefix> =
            ["0.0.0.0/24", "0.0.1.0/24", "1.0.0.0/8", "2001:db8::/48", "255.255.255.0/24"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        let all: Vec<_> = Ranges::<u32>::of(&prefixes).iter().collect();
        let (second, end) = (1 << 24, 2 << 24);
        assert_eq!(
            all,
            [
                (0, 255, 1),
                (256, 511, 2),
                (512, second - 1, 0),
                (second, end - 1, 3),
                (end, u32::MAX - 256, 0),
                (u32::MAX - 255, u32::MAX, 5),
            ]
        );
        assert_eq!(Ranges::<u128>::of(&prefixes).iter().count(), 3);
    }

    #[test]
    fn overlays_to_the_common_refinement() {
        let (a, b) = (ranges(&[(10, 1), (30, 2)]), ranges(&[(20, 5), (30, 0), (40, 5)]));
        let merged = a.overlay(&b, |a, b| a * 10 + b);
        let all: Vec<_> = merged.iter().collect();
        assert_eq!(all, [(0, 9, 0), (10, 19, 10), (20, 29, 15), (30, 39, 20), (40, u32::MAX, 25)]);
    }
}
