//! What all messages between nodes have in common: their header, their limits, and why one is
//! dropped.
//!
//! A message is four octets (format, kind, flags, 0) and a postcard body. Postcard does not
//! describe itself, so fields are only ever appended to a body and readers ignore what follows the
//! ones they know. Readers take the format before their own as well; tests/golden/cluster holds
//! messages of each.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::health::Prober;

/// The format that is written.
const FORMAT: u8 = 1;
/// The formats that are read: the one before, once there is one, and this.
pub(super) const FORMATS: RangeInclusive<u8> = 1..=FORMAT;
/// Longest message in octets: four times the longest page there is, for fields to come.
pub const LENGTH_MAX: usize = 4_096;
/// Longest name of a region or node, as in the configuration.
const NAME_MAX: usize = 63;
/// Last epoch: the year 3000 in Unix milliseconds. A later one is no time at which a node started,
/// and could not be outdone.
const EPOCH_MAX: u64 = 32_503_680_000_000;

const HEADER: usize = 4;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A page of votes.
    Health = 1,
    /// A sign of life.
    Beat = 2,
    /// A request to send pages again.
    Need = 3,
    /// A page of round trips.
    Latency = 4,
    /// A page of load.
    Load = 5,
    /// A page of challenges.
    Challenge = 6,
    /// That a node is there.
    Presence = 8,
}

/// Why a message is dropped: a bounded label for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dropped {
    /// The subject is none of ours.
    Foreign,
    /// It is longer than any message.
    Length,
    /// Its format is not known.
    Format,
    /// It is not what its format says, or a number is out of bounds.
    Malformed,
    /// The writer named in it is not the one that its subject belongs to.
    Forged,
    /// A later one of the same writer has come before.
    Stale,
    /// There is no room for more writers or pages.
    Full,
}

impl Dropped {
    /// All of them, for metrics that show zeros.
    pub const ALL: [Self; 7] = [
        Self::Foreign,
        Self::Length,
        Self::Format,
        Self::Malformed,
        Self::Forged,
        Self::Stale,
        Self::Full,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Length => "length",
            Self::Format => "format",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Stale => "stale",
            Self::Full => "full",
        }
    }
}

/// A message of this kind and body.
pub(super) fn seal(kind: Kind, body: &impl Serialize) -> Vec<u8> {
    // Writing to memory fails for types without a length alone, of which no body has any.
    postcard::to_extend(body, vec![FORMAT, kind as u8, 0, 0]).unwrap_or_default()
}

/// The body of a message, which must be of this kind.
pub(super) fn open(kind: Kind, message: &[u8]) -> Result<&[u8], Dropped> {
    if message.len() > LENGTH_MAX {
        return Err(Dropped::Length);
    }
    let (header, body) = message.split_first_chunk::<HEADER>().ok_or(Dropped::Malformed)?;
    // Flags and the last octet are for formats to come that old readers can bear.
    let [format, found, _, _] = *header;
    if !FORMATS.contains(&format) {
        return Err(Dropped::Format);
    }
    if found == kind as u8 { Ok(body) } else { Err(Dropped::Malformed) }
}

/// Takes a value off the front of a body. Nothing is allocated by what a length says.
pub(super) fn take<'b, T: Deserialize<'b>>(body: &mut &'b [u8]) -> Result<T, Dropped> {
    let (value, rest) = postcard::take_from_bytes(body).map_err(|_| Dropped::Malformed)?;
    *body = rest;
    Ok(value)
}

/// Takes the length of a list off the front of a body, which may be `most`.
pub(super) fn take_length(body: &mut &[u8], most: usize) -> Result<usize, Dropped> {
    let length = take::<u32>(body)? as usize;
    if length <= most { Ok(length) } else { Err(Dropped::Malformed) }
}

/// What stands first in messages that follow one another: whose it is, and after which it comes.
#[derive(Serialize, Deserialize)]
pub(super) struct Head<'a> {
    epoch: u64,
    /// From 1.
    number: u64,
    pub(super) region: &'a str,
    node: &'a str,
}

impl<'a> Head<'a> {
    /// That of a writer's message.
    pub(super) fn of(writer: &'a Prober, epoch: u64, number: u64) -> Self {
        let Prober { region, node } = writer;
        Self { epoch, number, region, node }
    }

    /// Takes one off the front of a body, and checks all of it but the epoch.
    pub(super) fn take(body: &mut &'a [u8]) -> Result<Self, Dropped> {
        let head: Self = take(body)?;
        let named = [head.region, head.node].into_iter().all(is_name);
        if head.number == 0 || !named { Err(Dropped::Malformed) } else { Ok(head) }
    }

    /// The writer, its epoch, which is one, and the number.
    pub(super) fn read(self) -> Result<(Prober, u64, u64), Dropped> {
        let writer = Prober { region: self.region.to_owned(), node: self.node.to_owned() };
        Ok((writer, epoch(self.epoch)?, self.number))
    }
}

/// An epoch that can be one.
pub(super) fn epoch(epoch: u64) -> Result<u64, Dropped> {
    if (1..=EPOCH_MAX).contains(&epoch) { Ok(epoch) } else { Err(Dropped::Malformed) }
}

/// Whether this can be the name of a region or a node, and so a part of a subject.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_opens_as_what_it_is_and_nothing_else() {
        let message = seal(Kind::Beat, &7_u8);
        assert_eq!(message, [1, 2, 0, 0, 7]);
        assert_eq!(open(Kind::Beat, &message), Ok(&[7][..]));
        let long = vec![1; LENGTH_MAX + 1];
        for (what, message, why) in [
            ("nothing", &[][..], Dropped::Malformed),
            ("a cut header", &[1, 2, 0], Dropped::Malformed),
            ("another kind", &[1, 1, 0, 0, 7], Dropped::Malformed),
            ("a format before the first", &[0, 2, 0, 0, 7], Dropped::Format),
            ("a format to come", &[FORMAT + 1, 2, 0, 0, 7], Dropped::Format),
            ("too long", &long, Dropped::Length),
        ] {
            assert_eq!(open(Kind::Beat, message), Err(why), "{what}");
        }
        assert!(open(Kind::Beat, &[1, 2, 255, 255]).is_ok(), "flags to come");
    }

    #[test]
    fn names_are_parts_of_subjects() {
        for good in ["a", "eu-central_1", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a.b", "*", ">", "A", "é", "a b", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
