//! A budget for frames of HTTP/2 that cost work and bring nothing.
//!
//! The library bounds what its memory pays for: frames of a head, empty data, resets of streams
//! that it has not handed over, and resets that it sends itself. It answers each ping and each
//! settings frame, and a request that is taken back at once has reached an endpoint by then. So
//! these are counted before it.

use std::time::Duration;

use super::skip;
use crate::clock::Tick;

/// What a client sends first (RFC 9113 section 3.4).
const PREFACE: u64 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len() as u64;
/// Octets before the content of each frame (RFC 9113 section 4.1).
const HEAD: usize = 9;
/// Frames are counted over this time.
const WINDOW: Duration = Duration::from_secs(10);
/// Pings, settings and priorities in that time: a busy client of gRPC measures its line with
/// some dozens.
const CONTROL_MAX: u32 = 1_000;
/// Requests taken back in that time: who leaves a page takes back those of its pictures.
const RESETS_MAX: u32 = 500;

/// Follows the frames that a client sends.
#[derive(Debug)]
pub struct Flood {
    head: [u8; HEAD],
    begun: usize,
    /// Octets of the frame's content, or of the preface, that have not come.
    left: u64,
    since: Tick,
    control: u32,
    resets: u32,
}

impl Default for Flood {
    fn default() -> Self {
        let since = Tick(0);
        Self { head: [0; HEAD], begun: 0, left: PREFACE, since, control: 0, resets: 0 }
    }
}

impl Flood {
    /// Takes in what came next; `false`: it is too much.
    pub fn feed(&mut self, octets: &[u8], now: impl Fn() -> Tick) -> bool {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.left > 0 {
                self.left = skip(&mut rest, self.left);
                continue;
            }
            let length = (HEAD - self.begun).min(rest.len());
            let (start, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = after;
            if let Some(place) = self.head.get_mut(self.begun..self.begun + length) {
                place.copy_from_slice(start);
            }
            self.begun += length;
            if self.begun == HEAD {
                let [a, b, c, kind, ..] = self.head;
                self.left = u64::from(u32::from_be_bytes([0, a, b, c]));
                self.begun = 0;
                if !self.count(kind, &now) {
                    return false;
                }
            }
        }
        true
    }

    fn count(&mut self, kind: u8, now: impl Fn() -> Tick) -> bool {
        let (counter, most) = match kind {
            // PRIORITY, SETTINGS, PING
            0x2 | 0x4 | 0x6 => (&mut self.control, CONTROL_MAX),
            // RST_STREAM
            0x3 => (&mut self.resets, RESETS_MAX),
            _ => return true,
        };
        *counter += 1;
        if *counter <= most {
            return true;
        }
        let now = now();
        if now.since(self.since) < WINDOW {
            return false;
        }
        (self.since, self.control, self.resets) = (now, 0, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = (length as u32).to_be_bytes();
        [&[a, b, c, kind, 0, 0, 0, 0, 0][..], &vec![6; length]].concat()
    }

    #[test]
    fn frames_without_use_are_counted_over_a_window() {
        let begun = |octets: &mut Vec<u8>| octets.extend_from_slice(&[b'x'; PREFACE as usize]);
        for (case, kind, length, most) in [
            ("pings", 6, 8, 1_000),
            ("settings", 4, 6, 1_000),
            ("priorities", 2, 5, 1_000),
            ("resets", 3, 4, 500),
            ("data", 0, 30_000, u32::MAX),
            ("heads", 1, 20, u32::MAX),
            ("windows", 8, 4, u32::MAX),
        ] {
            for piece in [7, 9, 1 << 20] {
                let mut flood = Flood { since: Tick(5_000), ..Flood::default() };
                let mut octets = Vec::new();
                begun(&mut octets);
                let frames = most.min(1_000);
                octets.extend(frame(kind, length).repeat(frames as usize));
                let all = octets.chunks(piece).all(|piece| flood.feed(piece, || Tick(6_000)));
                assert!(all, "{case} in pieces of {piece}");
                let more = flood.feed(&frame(kind, length), || Tick(6_000));
                assert_eq!(more, most == u32::MAX, "{case} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn who_sends_them_slowly_may_go_on() {
        let mut flood = Flood::default();
        assert!(flood.feed(&[b'x'; PREFACE as usize], || Tick(0)));
        for round in 0..10_000_u64 {
            assert!(flood.feed(&frame(6, 8), || Tick(20_000 + round * 20)), "{round}");
        }
    }
}
