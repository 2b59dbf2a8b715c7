//! The rings through which this process and the kernel hand frames to each other.
//!
//! Each has one writer and one reader, and two counts that only grow: of entries written and of
//! entries read. Who writes owns the first and publishes it when its entries are in place; who
//! reads owns the second. Entries have one or two words of eight octets.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use libc::off_t;

use super::kernel::Offsets;
use super::memory::Words;

/// Entries of every ring, a power of two: a burst of as many queries fits.
pub(super) const ENTRIES: u32 = 2048;

/// What a ring's mapping says about itself.
struct Ring {
    words: Words,
    offsets: Offsets,
    /// Words of an entry.
    width: usize,
}

impl Ring {
    fn new(socket: &OwnedFd, at: off_t, offsets: Offsets, width: usize) -> io::Result<Self> {
        let length = offsets.slots as usize + ENTRIES as usize * width * 8;
        Ok(Self { words: Words::new(socket, at, length)?, offsets, width })
    }

    fn count(&self, offset: u64, order: Ordering) -> u32 {
        self.words.four(offset as usize).map_or(0, |count| count.load(order))
    }

    fn set_count(&self, offset: u64, count: u32) {
        if let Some(word) = self.words.four(offset as usize) {
            word.store(count, Ordering::Release);
        }
    }

    /// Offset of a word of entry number `entry`.
    fn slot(&self, entry: u32, word: usize) -> usize {
        let entry = (entry % ENTRIES) as usize;
        self.offsets.slots as usize + (entry * self.width + word) * 8
    }
}

/// A ring that this process writes.
pub(super) struct Outbox {
    ring: Ring,
    /// Entries written, published or not.
    written: u32,
    /// Entries read by the kernel, as last seen.
    read: u32,
}

impl Outbox {
    /// The ring that the socket has at this offset, with entries of so many words.
    pub(super) fn new(
        socket: &OwnedFd,
        at: off_t,
        offsets: Offsets,
        width: usize,
    ) -> io::Result<Self> {
        Ok(Self { ring: Ring::new(socket, at, offsets, width)?, written: 0, read: 0 })
    }

    /// Whether there is room for one more entry.
    pub(super) fn has_room(&mut self) -> bool {
        if self.written.wrapping_sub(self.read) >= ENTRIES {
            self.read = self.ring.count(self.ring.offsets.consumer, Ordering::Acquire);
        }
        self.written.wrapping_sub(self.read) < ENTRIES
    }

    /// Writes an entry where there is room: `has_room` said so.
    pub(super) fn put(&mut self, entry: &[u64]) {
        for (word, value) in entry.iter().enumerate().take(self.ring.width) {
            if let Some(place) = self.ring.words.eight(self.ring.slot(self.written, word)) {
                place.store(*value, Ordering::Relaxed);
            }
        }
        self.written = self.written.wrapping_add(1);
    }

    /// Shows the kernel what was written.
    pub(super) fn publish(&self) {
        self.ring.set_count(self.ring.offsets.producer, self.written);
    }

    /// Whether the kernel has read all.
    pub(super) fn is_empty(&self) -> bool {
        self.ring.count(self.ring.offsets.consumer, Ordering::Acquire) == self.written
    }
}

/// A ring that the kernel writes.
pub(super) struct Inbox {
    ring: Ring,
    /// Entries read, given back or not.
    read: u32,
    /// Entries written by the kernel, as last seen.
    written: u32,
}

impl Inbox {
    /// The ring that the socket has at this offset, with entries of so many words.
    pub(super) fn new(
        socket: &OwnedFd,
        at: off_t,
        offsets: Offsets,
        width: usize,
    ) -> io::Result<Self> {
        Ok(Self { ring: Ring::new(socket, at, offsets, width)?, read: 0, written: 0 })
    }

    /// The next entry, as two words.
    pub(super) fn take(&mut self) -> Option<[u64; 2]> {
        if self.read == self.written {
            self.written = self.ring.count(self.ring.offsets.producer, Ordering::Acquire);
        }
        if self.read == self.written {
            return None;
        }
        let word = |word| {
            let place = self.ring.words.eight(self.ring.slot(self.read, word));
            place.filter(|_| word < self.ring.width).map_or(0, |word| word.load(Ordering::Relaxed))
        };
        let entry = [word(0), word(1)];
        self.read = self.read.wrapping_add(1);
        Some(entry)
    }

    /// Gives the places of what was read back to the kernel.
    pub(super) fn release(&self) {
        self.ring.set_count(self.ring.offsets.consumer, self.read);
    }
}
