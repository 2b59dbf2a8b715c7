//! Queries that are almost right.

use fastrand::Rng;

use crate::questions::question;

/// Most octets of a mutated query; a longer one says nothing new.
const OCTETS_MAX: usize = 1200;

/// A query with one to six mistakes.
pub(crate) fn mutated(rng: &mut Rng) -> Vec<u8> {
    let mut query = sound(rng);
    for _ in 0..rng.usize(1..=6) {
        mistake(rng, &mut query);
    }
    query.truncate(OCTETS_MAX);
    query
}

/// A query of any sort without a mistake.
fn sound(rng: &mut Rng) -> Vec<u8> {
    let mut ask = question(rng);
    match rng.u8(..4) {
        0 => ask = ask.with_subnet(rng.u32(..).to_be_bytes().into(), rng.u8(..=32)),
        1 => ask = ask.with_subnet(rng.u128(..).to_be_bytes().into(), rng.u8(..=128)),
        _ => {}
    }
    let mut query = ask.encode(rng.u16(..));
    query[2] = rng.choice([0, 0, 0, 1, 0x20, 0x28, 0x78]).unwrap_or_default();
    if rng.u8(..4) == 0 {
        options(rng, &mut query);
    }
    query
}

/// Puts an OPT record with some options behind the query.
fn options(rng: &mut Rng, query: &mut Vec<u8>) {
    let mut data = Vec::new();
    for _ in 0..rng.usize(..4) {
        // Client subnet, cookie, NSID, keepalive, padding, EDE, and one that nobody knows.
        let code: u16 = rng.choice([8, 10, 10, 3, 11, 12, 15, 65_001]).unwrap_or_default();
        let length = rng.choice([0, 2, 4, 7, 8, 16, 24, 40, 41]).unwrap_or_default();
        data.extend(code.to_be_bytes());
        data.extend((length as u16).to_be_bytes());
        data.extend((0..length).map(|_| rng.u8(..)));
    }
    query[11] = query[11].wrapping_add(1);
    query.extend([0, 0, 41]);
    query.extend(rng.u16(..).to_be_bytes());
    query.extend([0, rng.u8(..2), rng.choice([0, 0x80]).unwrap_or_default(), 0]);
    query.extend((data.len() as u16).to_be_bytes());
    query.extend(data);
}

fn mistake(rng: &mut Rng, query: &mut Vec<u8>) {
    let length = query.len();
    let at = rng.usize(..length.max(1));
    match rng.u8(..10) {
        _ if length == 0 => query.push(rng.u8(..)),
        0 | 1 => query[at] ^= 1 << rng.u8(..8),
        2 | 3 => query[at] = rng.u8(..),
        4 => query.truncate(at),
        5 => query.extend((0..rng.usize(1..40)).map(|_| rng.u8(..))),
        // The counts of the header, and lengths wherever they are.
        6 => query[rng.usize(..length.min(12))] = rng.u8(..3),
        7 => query[at] = rng.choice([0, 0x3f, 0x40, 0xc0, 0xff]).unwrap_or_default(),
        // A part again, or a part of another query.
        8 => query.extend_from_within(at..),
        _ => {
            let other = sound(rng);
            query.truncate(at);
            query.extend_from_slice(&other[at.min(other.len())..]);
        }
    }
}
