//! The pages of round trips that this node writes: which client stands on which, and when each is
//! sent.
//!
//! A client's page follows from its number, so that nothing has to be kept for each of a million;
//! of a page only a digest of what was sent is. When pages get full all are dealt anew.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::report::{CLIENTS_MAX, Report, WAYS_MAX};
use super::subject::PAGES_MAX;
use crate::clock::Tick;
use crate::health::Prober;
use crate::latency::{Client, Measured, Way};

/// A page is sent again when it changed, after this long at the soonest.
const CHANGED_AFTER: Duration = Duration::from_secs(60);
/// Every page is sent again after this long.
const REFRESH: Duration = Duration::from_secs(900);
/// Pages for ways: 384 regions.
const WAY_PAGES: u32 = 8;
/// Pages for clients at first, and at most.
const CLIENT_PAGES_FIRST: u32 = 8;
const CLIENT_PAGES_MAX: u32 = PAGES_MAX - WAY_PAGES;
/// Clients that a page gets on average before there are twice as many pages: some get more.
const CLIENTS_USUAL: usize = 176;
/// Pages sent at a time, so that a node with many does not overrun the engine.
const BATCH_MAX: usize = 64;

/// One page as it was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    digest: u64,
    seq: u64,
    /// `None`: never.
    at: Option<Tick>,
    refresh: Tick,
}

/// The pages of this node.
#[derive(Debug)]
pub struct ReportWriter {
    me: Prober,
    epoch: u64,
    /// By number: those of ways, then those of clients.
    sent: Vec<Sent>,
    /// What was measured when it was last looked at, by page.
    pages: Vec<(Vec<Way>, Vec<Measured>)>,
}

impl ReportWriter {
    /// A writer that has said nothing.
    pub fn new(me: Prober, epoch: u64) -> Self {
        Self { me, epoch, sent: Vec::new(), pages: Vec::new() }
    }

    /// Takes over all that was measured up to now; to be called about once a minute.
    pub fn update(&mut self, ways: &[Way], measured: impl Iterator<Item = Measured>) {
        let measured: Vec<Measured> = measured.collect();
        let mut count = CLIENT_PAGES_FIRST.max(self.pages.len() as u32 - self.ways_or_none());
        while measured.len() > count as usize * CLIENTS_USUAL && count < CLIENT_PAGES_MAX {
            count = (count * 2).min(CLIENT_PAGES_MAX);
        }
        let total = (WAY_PAGES + count) as usize;
        self.pages = vec![(Vec::new(), Vec::new()); total];
        let slots = self.pages.iter_mut().take(WAY_PAGES as usize);
        for ((slot, _), ways) in slots.zip(ways.chunks(WAYS_MAX)) {
            *slot = ways.to_vec();
        }
        for one in measured {
            let page = self.pages.get_mut((WAY_PAGES + dealt(one.client, count)) as usize);
            // What does not fit is too rare to be missed.
            if let Some((_, clients)) = page.filter(|(_, clients)| clients.len() < CLIENTS_MAX) {
                clients.push(one);
            }
        }
        for (_, clients) in &mut self.pages {
            clients.sort_unstable_by_key(|one| one.client);
        }
        self.sent.resize(total.max(self.sent.len()), Sent::default());
    }

    fn ways_or_none(&self) -> u32 {
        if self.pages.is_empty() { 0 } else { WAY_PAGES }
    }

    /// The pages that are due, `room` at most, with their numbers; each is then taken as sent.
    pub fn due(&mut self, now: Tick, room: usize, rng: &mut fastrand::Rng) -> Vec<(u32, Report)> {
        let mut due = Vec::new();
        for ((sent, (ways, clients)), number) in self.sent.iter_mut().zip(&self.pages).zip(0..) {
            let digest = digest(ways, clients);
            let is_empty = ways.is_empty() && clients.is_empty();
            let changed = digest != sent.digest && !(is_empty && sent.at.is_none());
            let rested = sent.at.is_none_or(|at| now.since(at) >= CHANGED_AFTER);
            let again = sent.at.is_some() && sent.refresh <= now && !is_empty;
            if !(changed && rested || again) {
                continue;
            }
            if due.len() == BATCH_MAX.min(room) {
                break;
            }
            sent.seq += u64::from(changed);
            // Spread over the period, so that no second sends much more than any other.
            let spread = if sent.at.is_none() { rng.u64(..REFRESH.as_secs() / 2) } else { 0 };
            sent.refresh = now + REFRESH.saturating_sub(Duration::from_secs(spread));
            (sent.digest, sent.at) = (digest, Some(now));
            due.push((
                number,
                Report {
                    writer: self.me.clone(),
                    epoch: self.epoch,
                    seq: sent.seq,
                    ways: ways.clone(),
                    measured: clients.clone(),
                },
            ));
        }
        due
    }
}

/// The page of a client among so many.
fn dealt(client: Client, pages: u32) -> u32 {
    let mut hasher = SipHasher24::new();
    client.number().hash(&mut hasher);
    (hasher.finish() % u64::from(pages.max(1))) as u32
}

/// A digest of what others would steer by; samples and ages go along.
fn digest(ways: &[Way], clients: &[Measured]) -> u64 {
    if ways.is_empty() && clients.is_empty() {
        return 0;
    }
    let mut hasher = SipHasher24::new();
    for way in ways {
        way.to.hash(&mut hasher);
        way.settled.hash(&mut hasher);
    }
    for one in clients {
        one.client.hash(&mut hasher);
        one.settled.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Rtt;

    const NOW: Tick = Tick(1_000_000);

    fn writer() -> (ReportWriter, fastrand::Rng) {
        let me = Prober { region: "eu".into(), node: "fra-1".into() };
        (ReportWriter::new(me, 5), fastrand::Rng::with_seed(7))
    }

    fn measured(count: u32, ms: f64) -> impl Iterator<Item = Measured> {
        (0..count).map(move |at| Measured {
            client: Client::of(crate::prefix::Prefix::holding(
                (0x1800_0000 + (at << 8)).to_be_bytes().into(),
                24,
            ))
            .unwrap(),
            settled: Rtt::from_ms(ms),
            samples: 3,
            age: Duration::ZERO,
        })
    }

    /// All that is due, in as many batches as it takes.
    fn all(writer: &mut ReportWriter, now: Tick, rng: &mut fastrand::Rng) -> Vec<(u32, Report)> {
        let mut all = Vec::new();
        loop {
            let batch = writer.due(now, usize::MAX, rng);
            if batch.is_empty() {
                return all;
            }
            assert!(batch.len() <= BATCH_MAX);
            all.extend(batch);
        }
    }

    #[test]
    fn pages_hold_everything_and_go_out_when_they_change_and_now_and_then() {
        let (mut writer, mut rng) = writer();
        let way = Way { to: "us".into(), settled: Rtt::from_ms(90.0), samples: 3 };
        writer.update(std::slice::from_ref(&way), measured(50_000, 20.0));
        let first = all(&mut writer, NOW, &mut rng);
        let held: usize = first.iter().map(|(_, report)| report.measured.len()).sum();
        assert!(held > 49_900, "{held}");
        assert_eq!(first[0].1.ways, std::slice::from_ref(&way));
        assert!(first.iter().all(|(_, report)| report.encode().len() < 4_096));
        assert!(all(&mut writer, NOW, &mut rng).is_empty(), "nothing changed");
        let later = NOW + Duration::from_secs(30);
        let one = |ms| measured(1, ms).chain(measured(50_000, 20.0).skip(1));
        writer.update(std::slice::from_ref(&way), one(80.0));
        assert!(all(&mut writer, later, &mut rng).is_empty(), "once a minute at most");
        let later = NOW + Duration::from_secs(60);
        let changed = all(&mut writer, later, &mut rng);
        assert_eq!((changed.len(), changed[0].1.seq), (1, 2));
        let mut again = 0;
        for minute in 2..=32 {
            again += all(&mut writer, NOW + Duration::from_secs(60 * minute), &mut rng).len();
        }
        assert!((first.len()..first.len() * 4).contains(&again), "{again} of {}", first.len());
    }

    #[test]
    fn who_has_measured_nothing_says_nothing() {
        let (mut writer, mut rng) = writer();
        writer.update(&[], measured(0, 1.0));
        assert!(all(&mut writer, NOW, &mut rng).is_empty());
        writer.update(&[], measured(1, 1.0));
        assert_eq!(all(&mut writer, NOW, &mut rng).len(), 1);
    }
}
