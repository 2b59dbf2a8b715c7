//! Frames of a WebSocket (RFC 6455 section 5.2), as far as to know where one ends.

use super::guard::skip;

/// The operation code of a close frame.
const CLOSE: u8 = 0x8;

/// Octets of the longest beginning of a frame: two, a length of eight, a mask.
const START_MAX: usize = 14;

/// Follows the frames that one side sends.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a frame, as far as it has come.
    start: [u8; START_MAX],
    begun: usize,
    /// Octets of the frame's content that have not come.
    left: u64,
    /// The frame that ends the connection has begun.
    closing: bool,
}

impl Frames {
    /// Takes in what came next.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.left > 0 {
                self.left = skip(&mut rest, self.left);
                continue;
            }
            let Some((octet, after)) = rest.split_first() else { return };
            rest = after;
            if let Some(place) = self.start.get_mut(self.begun) {
                *place = *octet;
                self.begun += 1;
            }
            if let Some(length) = self.length() {
                self.closing |= self.start.first().is_some_and(|first| first & 0xf == CLOSE);
                self.begun = 0;
                self.left = length;
            }
        }
    }

    /// Whether another frame may be put in here.
    pub(super) fn is_between(&self) -> bool {
        self.begun == 0 && self.left == 0 && !self.closing
    }

    /// The length of the content, once the beginning of the frame is whole.
    fn length(&self) -> Option<u64> {
        let start = self.start.get(..self.begun)?;
        let (&[_, second], more) = start.split_first_chunk::<2>()?;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (length, wide) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*more.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*more.first_chunk()?), 8),
            short => (u64::from(short), 0),
        };
        (more.len() == wide + mask).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_frames_are_found_however_they_arrive() {
        let long = |length: usize| vec![b'x'; length];
        let frames: [Vec<u8>; 6] = [
            vec![0x81, 3, b'a', b'b', b'c'],
            vec![0x89, 0],
            [&[0x02, 126, 1, 0][..], &long(256)].concat(),
            [&[0x80, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &long(65_536)].concat(),
            vec![0x82, 0x82, 1, 2, 3, 4, 5, 6],
            [&[0x81, 0xfe, 0, 126, 9, 9, 9, 9][..], &long(126)].concat(),
        ];
        for frame in &frames {
            for piece in [1, 3, frame.len()] {
                let mut follower = Frames::default();
                let pieces: Vec<&[u8]> = frame.chunks(piece).collect();
                for (index, piece) in pieces.iter().enumerate() {
                    assert!(follower.is_between() == (index == 0), "{:?}", &frame[..2]);
                    follower.feed(piece);
                }
                assert!(follower.is_between(), "{:?} in pieces of {piece}", &frame[..2]);
            }
        }
        let mut all = Frames::default();
        all.feed(&frames.concat());
        assert!(all.is_between());
    }

    #[test]
    fn nothing_follows_a_close_frame() {
        let mut frames = Frames::default();
        frames.feed(&[0x88, 2, 3, 0xe8]);
        assert!(!frames.is_between());
    }
}
