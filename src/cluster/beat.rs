//! A sign of life: that a writer is there, whether it can judge, and what its pages hold.

use serde::{Deserialize, Serialize};

use super::subject::PAGES_MAX;
use super::wire::{self, Dropped, FORMATS, Head, Kind};
use crate::health::Prober;

/// Kinds of pages that a beat may list; one is known.
const CONTENTS_MAX: usize = 8;

/// A writer's sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Whose it is.
    pub writer: Prober,
    /// That of its pages.
    pub epoch: u64,
    /// Grows with each beat.
    pub number: u64,
    /// Whether the writer cannot judge at the moment.
    pub impaired: bool,
    /// How many pages of votes it has.
    pub pages: u32,
    /// Their digest.
    pub digest: u64,
}

/// What stands between the head and the contents.
#[derive(Serialize, Deserialize)]
struct State {
    impaired: bool,
    /// First and last format that the writer reads, so that a fleet of two versions can speak the
    /// older one.
    formats: (u8, u8),
}

/// The pages of one kind.
#[derive(Serialize, Deserialize)]
struct Content {
    kind: u8,
    pages: u32,
    digest: [u8; 8],
}

impl Beat {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let head = Head::of(&self.writer, self.epoch, self.number);
        let formats = (*FORMATS.start(), *FORMATS.end());
        let state = State { impaired: self.impaired, formats };
        let (pages, digest) = (self.pages, self.digest.to_be_bytes());
        let contents = vec![Content { kind: Kind::Health as u8, pages, digest }];
        wire::seal(Kind::Beat, &(head, state, contents))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn decode(message: &[u8]) -> Result<Self, Dropped> {
        let mut body = wire::open(Kind::Beat, message)?;
        let (writer, epoch, number) = Head::take(&mut body)?.read()?;
        let State { impaired, .. } = wire::take(&mut body)?;
        let (mut pages, mut digest) = (0, EMPTY);
        for _ in 0..wire::take_length(&mut body, CONTENTS_MAX)? {
            let content: Content = wire::take(&mut body)?;
            if content.pages > PAGES_MAX {
                return Err(Dropped::Malformed);
            }
            // Kinds to come are passed over.
            if content.kind == Kind::Health as u8 {
                (pages, digest) = (content.pages, u64::from_be_bytes(content.digest));
            }
        }
        Ok(Self { writer, epoch, number, impaired, pages, digest })
    }
}

/// The digest of no pages.
const EMPTY: u64 = 0;

/// The digest of the pages from 0 on, by their sequence numbers: FNV-1a, which need not withstand
/// anyone, since whoever may write the pages may write the beat.
pub(super) fn digest(sequences: impl IntoIterator<Item = u64>) -> u64 {
    let mut hash = EMPTY;
    for seq in sequences {
        for octet in seq.to_be_bytes() {
            hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
        // Without this, zeros in front would change nothing.
        hash = hash.rotate_left(23).wrapping_add(0xcbf2_9ce4_8422_2325);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat() -> Beat {
        let writer = Prober { region: "eu".into(), node: "fra-1".into() };
        let digest = digest([1, 2, 3]);
        Beat { writer, epoch: 5, number: 9, impaired: true, pages: 3, digest }
    }

    #[test]
    fn a_beat_comes_out_as_it_went_in() {
        assert_eq!(Beat::decode(&beat().encode()), Ok(beat()));
        let mut later = beat().encode();
        later.push(1);
        assert_eq!(Beat::decode(&later), Ok(beat()), "fields to come are ignored");
        for (what, beat) in [
            ("no number", Beat { number: 0, ..beat() }),
            ("no epoch", Beat { epoch: 0, ..beat() }),
            ("too many pages", Beat { pages: PAGES_MAX + 1, ..beat() }),
        ] {
            assert_eq!(Beat::decode(&beat.encode()), Err(Dropped::Malformed), "{what}");
        }
    }

    #[test]
    fn digests_differ_when_a_page_does() {
        let lists: [&[u64]; 7] = [&[], &[0], &[0, 0], &[1], &[1, 2], &[2, 1], &[1, 2, 0]];
        let mut digests: Vec<u64> = lists.iter().map(|list| digest(list.to_vec())).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), lists.len());
    }
}
