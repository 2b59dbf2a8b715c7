//! The TSIG record (RFC 8945 section 4.2) in a message.

use super::Fault;
use crate::dns::wire::{Frame, HEADER, skip_name};
use crate::model::Algorithm;
use crate::name::Name;
use crate::zone::rtype;

/// Class ANY and TTL 0, which the record has (RFC 8945 section 4.2).
pub(super) const KEY_CLASS: [u8; 6] = [0, 255, 0, 0, 0, 0];

/// The name of an algorithm in wire form (RFC 8945 section 6).
pub(super) fn algorithm_name(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::HmacSha256 => b"\x0bhmac-sha256\x00",
        Algorithm::HmacSha384 => b"\x0bhmac-sha384\x00",
        Algorithm::HmacSha512 => b"\x0bhmac-sha512\x00",
    }
}

/// A signature and where in the message its record begins.
#[derive(Clone, Debug)]
pub struct Signature<'m> {
    /// Offset of the record.
    pub(super) at: usize,
    pub(super) record: Record<'m>,
}

/// The fields of a record.
#[derive(Clone, Debug)]
pub(super) struct Record<'m> {
    pub name: Name,
    /// `None`: one that we have not.
    pub algorithm: Option<Algorithm>,
    /// The algorithm's name in wire form, as it came.
    pub algorithm_name: &'m [u8],
    /// When it was signed, in seconds since 1970-01-01 UTC.
    pub time: u64,
    /// Seconds by which that time may be off.
    pub fudge: u16,
    pub mac: &'m [u8],
    /// The message's own number, which a forwarder may have changed.
    pub id: u16,
    pub error: u16,
    pub other: &'m [u8],
}

impl<'m> Signature<'m> {
    /// The signature of a message; `None`: it has none.
    ///
    /// # Errors
    /// When the message or its signature is malformed, or something follows the signature
    /// (RFC 8945 section 5.1).
    pub fn find(message: &'m [u8]) -> Result<Option<Self>, Fault> {
        let counts = message.get(4..HEADER).ok_or(Fault::Malformed)?;
        let mut counts = counts.chunks(2).map(|count| {
            count.first_chunk().map_or(0, |count| u32::from(u16::from_be_bytes(*count)))
        });
        let mut at = HEADER;
        for _ in 0..counts.next().unwrap_or(0) {
            at = skip_name(message, at).ok_or(Fault::Malformed)? + 4;
        }
        let records: u32 = counts.sum();
        for number in 1..=records {
            let frame = Frame::read(message, at).ok_or(Fault::Malformed)?;
            if frame.rtype == rtype::TSIG {
                let last = number == records && frame.end == message.len();
                let found = last.then(|| Self::read(message, at)).flatten();
                return found.map(Some).ok_or(Fault::Malformed);
            }
            at = frame.end;
        }
        Ok(None)
    }

    /// The signature whose record is at this offset.
    pub fn read(message: &'m [u8], at: usize) -> Option<Self> {
        let frame = Frame::read(message, at)?;
        // RFC 8945 section 4.2: the name is not compressed, the class ANY, the TTL 0.
        let name = Name::from_wire(message.get(at..skip_name(message, at)?)?)?;
        if frame.rtype != rtype::TSIG || frame.class != 255 || frame.ttl != 0 {
            return None;
        }
        let rdata = frame.rdata;
        let (algorithm_name, rest) = rdata.split_at_checked(skip_name(rdata, 0)?)?;
        let known = Name::from_wire(algorithm_name)?;
        let algorithm = Algorithm::ALL.iter().map(|(_, algorithm)| *algorithm);
        let algorithm = algorithm.into_iter().find(|a| self::algorithm_name(*a) == known.as_wire());
        let ([t0, t1, t2, t3, t4, t5, f0, f1, m0, m1], rest) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([*m0, *m1]));
        let (mac, rest) = rest.split_at_checked(length)?;
        let ([i0, i1, e0, e1, o0, o1], other) = rest.split_first_chunk()?;
        if other.len() != usize::from(u16::from_be_bytes([*o0, *o1])) {
            return None;
        }
        let record = Record {
            name,
            algorithm,
            algorithm_name,
            time: u64::from_be_bytes([0, 0, *t0, *t1, *t2, *t3, *t4, *t5]),
            fudge: u16::from_be_bytes([*f0, *f1]),
            mac,
            id: u16::from_be_bytes([*i0, *i1]),
            error: u16::from_be_bytes([*e0, *e1]),
            other,
        };
        Some(Self { at, record })
    }

    /// Where in the message the record begins.
    pub fn at(&self) -> usize {
        self.at
    }

    /// When the message was signed.
    pub fn time(&self) -> u64 {
        self.record.time
    }

    /// Appends the record that tells a fault without a signature of its own (RFC 8945 section
    /// 5.3.2), under the names that the request had.
    pub fn refuse(&self, reply: &mut Vec<u8>, fault: Fault) {
        let refusal = Record { mac: &[], other: &[], error: fault.code(), ..self.record.clone() };
        refusal.append(reply);
    }
}

impl Record<'_> {
    /// Time signed and fudge as they are hashed and sent.
    pub(super) fn times(&self) -> [u8; 8] {
        let [_, _, t0, t1, t2, t3, t4, t5] = self.time.to_be_bytes();
        let [f0, f1] = self.fudge.to_be_bytes();
        [t0, t1, t2, t3, t4, t5, f0, f1]
    }

    /// Appends the record to a message and counts it.
    pub(super) fn append(&self, message: &mut Vec<u8>) {
        let Some(count) = message.get_mut(10..).and_then(|rest| rest.first_chunk_mut()) else {
            return;
        };
        *count = u16::from_be_bytes(*count).saturating_add(1).to_be_bytes();
        let length = self.algorithm_name.len() + 16 + self.mac.len() + self.other.len();
        message.extend_from_slice(self.name.as_wire());
        message.extend_from_slice(&rtype::TSIG.to_be_bytes());
        message.extend_from_slice(&KEY_CLASS);
        message.extend_from_slice(&(length as u16).to_be_bytes());
        message.extend_from_slice(self.algorithm_name);
        message.extend_from_slice(&self.times());
        message.extend_from_slice(&(self.mac.len() as u16).to_be_bytes());
        message.extend_from_slice(self.mac);
        message.extend_from_slice(&self.id.to_be_bytes());
        message.extend_from_slice(&self.error.to_be_bytes());
        message.extend_from_slice(&(self.other.len() as u16).to_be_bytes());
        message.extend_from_slice(self.other);
    }
}
