//! Cuts a TCP stream into messages by the length in front of each (RFC 1035 section 4.2.2).

/// Longest query taken whole. No sound query is nearly as long; of a longer one the start is
/// answered, which is malformed, and the rest is passed over.
const QUERY_MAX: usize = 4096;
/// Least room for a read.
const ROOM: usize = 512;

/// The octets of a stream that make no whole message yet; holds [`QUERY_MAX`] and one read at most.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// Where in `buffer` the next length begins.
    at: usize,
    /// Octets still to come of a message that was too long.
    skip: usize,
}

impl Frames {
    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        self.pass_over();
        let (start, end, length) = self.bounds()?;
        self.at = end;
        self.skip = length - (end - start);
        self.buffer.get(start..end)
    }

    /// Whether [`Frames::next`] would give a message.
    pub(super) fn is_ready(&mut self) -> bool {
        self.pass_over();
        self.bounds().is_some()
    }

    /// Whether no part of a message is there or missing.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.buffer.len() && self.skip == 0
    }

    /// Where to append what was read.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.pass_over();
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(ROOM);
        }
        self.buffer.reserve(ROOM);
        &mut self.buffer
    }

    /// Drops what has come of the rest of a message that was too long.
    fn pass_over(&mut self) {
        let skipped = self.skip.min(self.buffer.len() - self.at);
        self.at += skipped;
        self.skip -= skipped;
    }

    /// Start and end of what is taken of the next message, and its whole length.
    fn bounds(&self) -> Option<(usize, usize, usize)> {
        let length = self.buffer.get(self.at..)?.first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let start = self.at + 2;
        let end = start + length.min(QUERY_MAX);
        (end <= self.buffer.len()).then_some((start, end, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes()[..], message].concat()
    }

    /// Feeds a stream in pieces of `step` octets and gives the messages with their lengths.
    fn messages(stream: &[u8], step: usize) -> Vec<(u8, usize)> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for piece in stream.chunks(step) {
            frames.room().extend_from_slice(piece);
            loop {
                let ready = frames.is_ready();
                let Some(message) = frames.next() else {
                    assert!(!ready);
                    break;
                };
                found.push((message.first().copied().unwrap_or(0), message.len()));
                assert!(ready);
            }
            assert!(frames.buffer.len() <= QUERY_MAX + ROOM + step, "bounded");
        }
        assert!(frames.is_empty());
        found
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let long = vec![b'd'; 20_000];
        let parts: [&[u8]; 5] = [b"a", b"", &[b'c'; 300], &long, &[b'e'; QUERY_MAX]];
        let stream = parts.map(framed).concat();
        let expected = [(b'a', 1), (0, 0), (b'c', 300), (b'd', QUERY_MAX), (b'e', QUERY_MAX)];
        for step in [1, 2, 3, 7, 100, 4096, 30_000] {
            assert_eq!(messages(&stream, step), expected, "in steps of {step}");
        }
    }
}
