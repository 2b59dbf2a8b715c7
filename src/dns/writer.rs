//! Writes into a reply without ever passing its limit.

/// The reply has no room for what was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A reply under construction.
pub(super) struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
    /// Nothing is written at or behind this offset.
    end: usize,
}

impl<'o> Writer<'o> {
    /// A writer that begins at offset `at` and ends at `end` or where `out` ends.
    pub(super) fn new(out: &'o mut [u8], at: usize, end: usize) -> Self {
        let end = end.min(out.len());
        Self { out, at, end }
    }

    /// Offset of the next octet.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Moves the end, never behind the end of the buffer.
    pub(super) fn set_end(&mut self, end: usize) {
        self.end = end.min(self.out.len());
    }

    /// Goes back to `at` and forgets what was written behind it.
    pub(super) fn cut(&mut self, at: usize) {
        self.at = self.at.min(at);
    }

    /// Writes octets; returns their offset.
    pub(super) fn put(&mut self, octets: &[u8]) -> Result<usize, Full> {
        let start = self.at;
        let room = self.out.get_mut(start..self.end).and_then(|rest| rest.get_mut(..octets.len()));
        room.ok_or(Full)?.copy_from_slice(octets);
        self.at = start + octets.len();
        Ok(start)
    }

    /// The room that is left, for whoever writes by itself and then calls [`Writer::advance`].
    pub(super) fn rest(&mut self) -> &mut [u8] {
        self.out.get_mut(self.at..self.end).unwrap_or_default()
    }

    /// Takes over octets that were written to [`Writer::rest`].
    pub(super) fn advance(&mut self, octets: usize) {
        self.at = (self.at + octets).min(self.end);
    }

    /// Overwrites octets that were written before.
    pub(super) fn patch(&mut self, at: usize, octets: &[u8]) {
        let written = self.out.get_mut(..self.at).and_then(|out| out.get_mut(at..));
        if let Some(place) = written.and_then(|rest| rest.get_mut(..octets.len())) {
            place.copy_from_slice(octets);
        }
    }

    /// What was written from offset `at` on.
    pub(super) fn written(&self, at: usize) -> &[u8] {
        self.out.get(at..self.at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_behind_the_end() {
        let mut out = [0; 8];
        let mut writer = Writer::new(&mut out, 2, 6);
        assert_eq!(writer.put(b"ab"), Ok(2));
        assert_eq!(writer.put(b"abc"), Err(Full));
        assert_eq!(writer.rest().len(), 2);
        writer.advance(9);
        assert_eq!(writer.at(), 6);
        writer.patch(3, b"xy");
        writer.patch(5, b"xy");
        assert_eq!(writer.written(2), b"axy\0");
        writer.cut(3);
        writer.set_end(99);
        assert_eq!(writer.put(b"zzzzz"), Ok(3));
        assert_eq!(writer.put(b"!"), Err(Full));
        assert_eq!(out, *b"\0\0azzzzz");
    }
}
