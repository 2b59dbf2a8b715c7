//! Transaction signatures (RFC 8945): reading, verifying and making them.
//!
//! All of it works on wire bytes and takes the time as an argument. A verified exchange is a
//! [`Chain`]: each message is signed over the signature before it, so that neither messages of
//! others nor a changed order pass.

mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ring::hmac;

pub use record::Signature;
use record::{KEY_CLASS, Record};

use crate::model::{Algorithm, Key};

/// Seconds by which the clocks of two servers may differ (RFC 8945 section 10).
const FUDGE: u16 = 300;
/// Most messages in a row without a signature (RFC 8945 section 5.3.1 asks for one in 100).
const UNSIGNED_MAX: u32 = 99;

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No signature, or one that is no signature at all (FORMERR).
    Malformed,
    /// The key or its algorithm is unknown (BADKEY).
    Key,
    /// Somebody changed the message, or does not know the secret (BADSIG).
    Signature,
    /// The message is too old, or a clock is wrong (BADTIME).
    Time,
    /// The signature is shorter than we ask for (BADTRUNC).
    Truncated,
}

impl Fault {
    /// The number in the record's error field (RFC 8945 section 3).
    pub fn code(self) -> u16 {
        match self {
            Self::Malformed => 1,
            Self::Signature => 16,
            Self::Key => 17,
            Self::Time => 18,
            Self::Truncated => 22,
        }
    }
}

/// The hash behind an algorithm.
fn hash(algorithm: Algorithm) -> hmac::Algorithm {
    match algorithm {
        Algorithm::HmacSha256 => hmac::HMAC_SHA256,
        Algorithm::HmacSha384 => hmac::HMAC_SHA384,
        Algorithm::HmacSha512 => hmac::HMAC_SHA512,
    }
}

/// Octets that the record of a reply signed with this key takes at most.
pub fn length(key: &Key) -> usize {
    let mac = hash(key.algorithm).digest_algorithm().output_len();
    // Name and algorithm, then fixed fields, and the time that only BADTIME has.
    key.name.as_wire().len() + 10 + record::algorithm_name(key.algorithm).len() + 16 + mac + 6
}

/// One end of a signed exchange.
#[derive(Debug)]
pub struct Chain {
    key: Arc<Key>,
    /// The signature before; empty: none.
    last: Vec<u8>,
    /// Signed messages so far: the request and the first reply are signed with all of the record,
    /// later ones with its times alone (RFC 8945 section 5.3.1).
    signed: u32,
    /// What came without a signature since the last one, for the next to cover.
    unsigned: Vec<u8>,
    unsigned_count: u32,
    /// When the last message was signed: time never goes back in an exchange.
    time: u64,
}

impl Chain {
    /// Starts an exchange as the one who asks.
    pub fn ask(key: Arc<Key>) -> Self {
        let (last, unsigned) = (Vec::new(), Vec::new());
        Self { key, last, signed: 0, unsigned, unsigned_count: 0, time: 0 }
    }

    /// Starts an exchange as the one who was asked; the request's signature is verified.
    ///
    /// # Errors
    /// What is wrong with the signature.
    pub fn answer(
        keys: &[Arc<Key>],
        request: &[u8],
        signature: &Signature<'_>,
        now: u64,
    ) -> Result<Self, Fault> {
        let Record { name, algorithm, .. } = &signature.record;
        let known = keys.iter().find(|key| key.name == *name && Some(key.algorithm) == *algorithm);
        let mut chain = Self::ask(known.ok_or(Fault::Key)?.clone());
        chain.check(request, signature, now)?;
        Ok(chain)
    }

    /// A reply to a request that was signed too early or late, which is signed nevertheless so that
    /// the other end may set its clock (RFC 8945 section 5.2.3).
    pub fn late(keys: &[Arc<Key>], request: &Signature<'_>) -> Option<Self> {
        let key = keys.iter().find(|key| key.name == request.record.name)?;
        let mut chain = Self::ask(key.clone());
        chain.accept(request.record.mac, 0);
        Some(chain)
    }

    /// The key of the exchange.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Signs a message: appends the record and counts it in the header.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        self.sign_with(message, now, None);
    }

    /// Signs a message that tells a fault in the request; `asked` is when that was signed.
    pub fn sign_with(&mut self, message: &mut Vec<u8>, now: u64, fault: Option<(Fault, u64)>) {
        let id = message.first_chunk::<2>().copied().unwrap_or_default();
        // RFC 8945 section 5.2.3: the reply has the time of the request, and ours beside it.
        let (time, other) = match fault {
            Some((Fault::Time, asked)) => {
                (asked, now.to_be_bytes().get(2..).unwrap_or_default().to_vec())
            }
            _ => (now, Vec::new()),
        };
        let mut record = Record {
            name: self.key.name.clone(),
            algorithm: Some(self.key.algorithm),
            algorithm_name: record::algorithm_name(self.key.algorithm),
            time,
            fudge: FUDGE,
            mac: &[],
            id: u16::from_be_bytes(id),
            error: fault.map_or(0, |(fault, _)| fault.code()),
            other: &other,
        };
        let mac = self.mac(&[message.as_slice()], &record);
        record.mac = mac.as_ref();
        record.append(message);
        self.accept(mac.as_ref(), time);
    }

    /// Verifies the next message from the other end, signed or not, and gives its length without
    /// the signature. After the last one, ask [`Chain::is_complete`].
    ///
    /// # Errors
    /// What is wrong with the signature.
    pub fn verify(&mut self, message: &[u8], now: u64) -> Result<usize, Fault> {
        let Some(signature) = Signature::find(message)? else {
            // RFC 8945 section 5.3.1: the first is signed, and one in a hundred after it.
            self.unsigned_count += 1;
            if self.is_whole() || self.unsigned_count > UNSIGNED_MAX {
                return Err(Fault::Malformed);
            }
            self.unsigned.extend_from_slice(message);
            return Ok(message.len());
        };
        if signature.record.name != self.key.name
            || signature.record.algorithm != Some(self.key.algorithm)
        {
            return Err(Fault::Key);
        }
        self.check(message, &signature, now)?;
        Ok(signature.at)
    }

    /// Whether the last message was signed, as it must be.
    pub fn is_complete(&self) -> bool {
        self.unsigned_count == 0
    }

    /// Whether the next signature covers all of the record.
    fn is_whole(&self) -> bool {
        self.signed < 2
    }

    fn check(&mut self, message: &[u8], signature: &Signature<'_>, now: u64) -> Result<(), Fault> {
        let record = &signature.record;
        let length = hash(self.key.algorithm).digest_algorithm().output_len();
        // RFC 8945 section 5.2.2.1: the bounds of a truncated signature.
        if record.mac.len() > length || record.mac.len() < (length / 2).max(10) {
            // RFC 8945 section 5.3.2: a fault in the key or signature comes back unsigned.
            let unsigned = record.mac.is_empty() && record.error != 0;
            return Err(if unsigned { Fault::Signature } else { Fault::Malformed });
        }
        let mut head = message.get(..12).ok_or(Fault::Malformed)?.to_vec();
        let additional = head.get(10..).and_then(|count| count.first_chunk::<2>());
        let additional = additional.map_or(0, |count| u16::from_be_bytes(*count));
        let count = additional.checked_sub(1).ok_or(Fault::Malformed)?.to_be_bytes();
        head.splice(10.., count);
        head.splice(..2, record.id.to_be_bytes());
        let body = message.get(12..signature.at).ok_or(Fault::Malformed)?;
        let made = self.mac(&[&head, body], record);
        let part = made.as_ref().get(..record.mac.len()).unwrap_or_default();
        self.equal(part, record.mac)?;
        // RFC 8945 section 5.2.3.
        if now.abs_diff(record.time) > u64::from(record.fudge)
            || (!self.is_whole() && record.time < self.time)
        {
            return Err(Fault::Time);
        }
        // RFC 8945 section 5.2.4: what we ask for is all of it.
        if record.mac.len() < length {
            return Err(Fault::Truncated);
        }
        self.accept(record.mac, record.time);
        Ok(())
    }

    /// Compares two signatures in a time that tells nothing about where they differ: by a hash
    /// that nobody else can foresee.
    fn equal(&self, made: &[u8], given: &[u8]) -> Result<(), Fault> {
        let key = hmac::Key::new(hash(self.key.algorithm), self.key.secret.octets());
        hmac::verify(&key, given, hmac::sign(&key, made).as_ref()).map_err(|_| Fault::Signature)
    }

    fn accept(&mut self, mac: &[u8], time: u64) {
        self.last = mac.to_vec();
        self.signed = self.signed.saturating_add(1);
        self.unsigned.clear();
        self.unsigned_count = 0;
        self.time = time;
    }

    /// The signature of a message that is given in parts (RFC 8945 sections 4.3 and 5.3.1).
    fn mac(&self, message: &[&[u8]], record: &Record<'_>) -> hmac::Tag {
        let key = hmac::Key::new(hash(self.key.algorithm), self.key.secret.octets());
        let mut context = hmac::Context::with_key(&key);
        if !self.last.is_empty() {
            context.update(&(self.last.len() as u16).to_be_bytes());
            context.update(&self.last);
        }
        context.update(&self.unsigned);
        for part in message {
            context.update(part);
        }
        if self.is_whole() {
            context.update(record.name.as_wire());
            context.update(&KEY_CLASS);
            context.update(record.algorithm_name);
        }
        context.update(&record.times());
        if self.is_whole() {
            context.update(&record.error.to_be_bytes());
            context.update(&(record.other.len() as u16).to_be_bytes());
            context.update(record.other);
        }
        context.sign()
    }
}
