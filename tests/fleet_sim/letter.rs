//! A message under way, with what the world must know of it.

use meridian::cluster::{Beat, Channel, Outgoing, Page, Subjects};

use super::scale::PROBERS;

/// What all subjects begin with.
pub(crate) const PREFIX: &str = "gslb";
/// Places of a writer: its pages, and behind them its beat.
pub(crate) const PLACES: usize = 16;
const BEAT: usize = PLACES - 1;

/// A message under way.
pub(crate) struct Letter {
    pub(crate) subject: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) kind: Sort,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A page or a beat: its place among all there are, and its age as receivers compare it.
    Kept { place: usize, age: u64, beat: bool },
    /// A request to this prober.
    Need { prober: usize },
}

impl Letter {
    /// The message that a mesh has put out; `as_one`: as if there were no epochs.
    pub(crate) fn of(out: Outgoing, as_one: bool) -> Self {
        let Outgoing { subject, mut payload, .. } = out;
        let channel = Subjects::new(PREFIX).channel(&subject).unwrap();
        let kind = match &channel {
            Channel::Need { writer } => Sort::Need { prober: number(writer) },
            Channel::Latency { .. } => unreachable!("nobody here measures round trips"),
            Channel::Load { .. } | Channel::Challenge { .. } | Channel::Presence { .. } => {
                unreachable!("nobody here has a proxy")
            }
            Channel::Health { writer, page: at } => {
                let mut page = Page::decode(&payload).unwrap();
                if as_one {
                    page.epoch = 1;
                    payload = page.encode();
                }
                assert!((*at as usize) < BEAT, "more pages than there are places");
                let place = number(writer) * PLACES + *at as usize;
                Sort::Kept { place, age: age(page.epoch, page.seq), beat: false }
            }
            Channel::Beat { writer } => {
                let mut beat = Beat::decode(&payload).unwrap();
                if as_one {
                    beat.epoch = 1;
                    payload = beat.encode();
                }
                let place = number(writer) * PLACES + BEAT;
                Sort::Kept { place, age: age(beat.epoch, beat.number), beat: true }
            }
        };
        Self { subject, payload, kind }
    }
}

/// The number of a prober.
pub(crate) fn number(prober: &meridian::health::Prober) -> usize {
    let part = |text: &str| text[1..].parse::<usize>().unwrap();
    part(&prober.region) * PROBERS + part(&prober.node)
}

/// Epoch and sequence in one number: epochs are milliseconds since 1970.
fn age(epoch: u64, seq: u64) -> u64 {
    assert!(seq < 1 << 20, "more than an hour's messages");
    epoch << 20 | seq
}
