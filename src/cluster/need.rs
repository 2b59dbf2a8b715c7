//! A request to a writer: send pages again.

use serde::{Deserialize, Serialize};

use super::subject::PAGES_MAX;
use super::wire::{self, Dropped, Kind};

/// Pages that one request can name; who lacks more asks for all.
pub(super) const NAMED_MAX: usize = 64;

/// A request to send pages of votes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// That of the pages meant; a writer that has started since has other ones.
    pub epoch: u64,
    /// Their numbers; none: all pages.
    pub pages: Vec<u32>,
}

/// What stands before the numbers.
#[derive(Serialize, Deserialize)]
struct Head {
    epoch: u64,
    kind: u8,
}

impl Need {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let head = Head { epoch: self.epoch, kind: Kind::Health as u8 };
        wire::seal(Kind::Need, &(head, &self.pages))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn decode(message: &[u8]) -> Result<Self, Dropped> {
        let mut body = wire::open(Kind::Need, message)?;
        let head: Head = wire::take(&mut body)?;
        if head.kind != Kind::Health as u8 {
            return Err(Dropped::Malformed);
        }
        let epoch = wire::epoch(head.epoch)?;
        let count = wire::take_length(&mut body, NAMED_MAX)?;
        let mut pages = Vec::with_capacity(count);
        for _ in 0..count {
            let page = wire::take::<u32>(&mut body)?;
            if page >= PAGES_MAX {
                return Err(Dropped::Malformed);
            }
            pages.push(page);
        }
        Ok(Self { epoch, pages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_comes_out_as_it_went_in_and_is_bounded() {
        for pages in [Vec::new(), vec![0, 7, PAGES_MAX - 1], (0..64).collect()] {
            let need = Need { epoch: 5, pages };
            assert_eq!(Need::decode(&need.encode()), Ok(need));
        }
        for pages in [vec![PAGES_MAX], (0..65).collect()] {
            let need = Need { epoch: 5, pages };
            assert_eq!(Need::decode(&need.encode()), Err(Dropped::Malformed));
        }
    }
}
