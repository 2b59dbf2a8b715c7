//! Builds the messages of a transfer (RFC 5936 section 2.2), one after the other.

use crate::dns::engine::MESSAGE_MAX;
use crate::dns::wire::{AA, CLASS_IN, HEADER, QR};

/// Size at which a message is full, so that compression pointers reach all of it (RFC 1035 section
/// 4.1.4). A record that is longer has a message of its own.
const FULL: usize = 16_000;
/// A compression pointer to the question, whose name is the apex.
const APEX: [u8; 2] = [0xc0, HEADER as u8];
/// An OPT record without options but for its size (RFC 6891 section 6.1.2).
const OPT: [u8; 11] = [0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0];

/// One record of a zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    /// The owner relative to the apex, without the root's zero octet.
    pub owner: &'a [u8],
    pub rtype: u16,
    pub ttl: u32,
    pub rdata: &'a [u8],
}

/// A message under construction.
#[derive(Debug)]
pub(super) struct Composer {
    message: Vec<u8>,
    /// Where the question ends.
    start: usize,
    /// Octets that follow the last record.
    tail: usize,
    with_opt: bool,
    answers: u16,
    /// The last owner, and where it is written.
    owner: (Vec<u8>, usize),
}

impl Composer {
    /// A message that echoes the header and question of `query`, which ends at `question_end`;
    /// `signature` octets are kept free behind it.
    pub(super) fn new(
        query: &[u8],
        question_end: usize,
        with_opt: bool,
        signature: usize,
    ) -> Option<Self> {
        let mut message = Vec::with_capacity(FULL);
        let [i0, i1, high, ..] = *query.first_chunk::<HEADER>()?;
        message.extend_from_slice(&[i0, i1, high | QR | AA, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend_from_slice(query.get(HEADER..question_end)?);
        let tail = signature + if with_opt { OPT.len() } else { 0 };
        let start = message.len();
        Some(Self { message, start, tail, with_opt, answers: 0, owner: (Vec::new(), 0) })
    }

    /// Adds a record; `false`: the message is full.
    pub(super) fn put(&mut self, item: Item<'_>) -> bool {
        let longest = item.owner.len() + 12 + item.rdata.len();
        let limit = if self.is_empty() { MESSAGE_MAX } else { FULL };
        if self.message.len() + longest + self.tail > limit || self.answers == u16::MAX {
            return false;
        }
        let at = self.message.len();
        match &self.owner {
            _ if item.owner.is_empty() => self.message.extend_from_slice(&APEX),
            (last, place) if *last == item.owner => {
                let pointer = 0xc000 | *place as u16;
                self.message.extend_from_slice(&pointer.to_be_bytes());
            }
            _ => {
                self.owner = (item.owner.to_vec(), at);
                self.message.extend_from_slice(item.owner);
                self.message.extend_from_slice(&APEX);
            }
        }
        self.message.extend_from_slice(&item.rtype.to_be_bytes());
        self.message.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.message.extend_from_slice(&item.ttl.to_be_bytes());
        self.message.extend_from_slice(&(item.rdata.len() as u16).to_be_bytes());
        self.message.extend_from_slice(item.rdata);
        self.answers += 1;
        true
    }

    /// Whether no record was added.
    pub(super) fn is_empty(&self) -> bool {
        self.message.len() == self.start
    }

    /// The message, ready to be signed.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.message.splice(6..8, self.answers.to_be_bytes());
        if self.with_opt {
            self.message.extend_from_slice(&OPT);
            self.message.splice(10..12, 1u16.to_be_bytes());
        }
        self.message
    }
}
