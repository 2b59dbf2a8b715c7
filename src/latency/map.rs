//! The latency map: what this node measures, and what others report of their regions.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::cell::Cell;
use super::client::Client;
use super::refusal::Refusal;
use super::rtt::Rtt;
use super::store::{Entry, ReporterId, Store};
use super::trip::Trip;
use crate::clock::Tick;
use crate::prefix::Prefix;

/// Reporters that are known at most; the largest fleet planned for has 150.
const REPORTERS_MAX: usize = 4_096;
/// Clients that one reporter may speak of: what one liar can take of the map.
const REPORTED_MAX: u32 = 1_000_000;
/// Regions that one reporter may tell its way to.
const WAYS_MAX: usize = 1_024;
/// A way that was not measured for this long is forgotten: whoever probed it is gone.
const WAY_KEPT: Duration = Duration::from_secs(86_400);
/// This node among the reporters.
const SELF: ReporterId = 0;

/// Who measures: a node of a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reporter {
    /// Name of its region, the only one it may speak for.
    pub region: String,
    /// Its name.
    pub node: String,
}

/// What a reporter says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Whose round trip to the reporter's region.
    pub client: Client,
    /// What is settled on.
    pub settled: Rtt,
    /// Samples it rests on, at most 64.
    pub samples: u16,
    /// Time since the last of them.
    pub age: Duration,
}

/// What a reporter says of the way from its region to the endpoints of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Name of the region of the endpoints.
    pub to: String,
    /// What is settled on.
    pub settled: Rtt,
    /// Samples it rests on, at most 64.
    pub samples: u16,
}

/// Everything that was measured.
#[derive(Debug)]
pub struct LatencyMap {
    store: Store,
    /// By id; the first is this node.
    reporters: Vec<Known>,
    ids: HashMap<Reporter, ReporterId>,
    ways: BTreeMap<(ReporterId, String), (Cell, Tick)>,
    refused: BTreeMap<Refusal, u64>,
    taken: u64,
    /// Grows with every change that may matter to estimates.
    revision: u64,
}

/// A reporter, and how much room it takes.
#[derive(Debug)]
struct Known {
    reporter: Reporter,
    clients: u32,
}

impl LatencyMap {
    /// An empty map of this node; `seed` is a random number.
    pub fn new(me: Reporter, seed: u64) -> Self {
        Self {
            store: Store::new(seed),
            ids: HashMap::from([(me.clone(), SELF)]),
            reporters: vec![Known { reporter: me, clients: 0 }],
            ways: BTreeMap::new(),
            refused: BTreeMap::new(),
            taken: 0,
            revision: 0,
        }
    }

    /// Takes in the round trips of a connection that a client has with this node.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn sample(
        &mut self,
        client: Prefix,
        trip: impl Into<Trip>,
        now: Tick,
    ) -> Result<(), Refusal> {
        let taken = trip.into().read().and_then(|trip| Ok((trip, Client::of(client)?)));
        let taken = taken.map(|(trip, client)| {
            let before = self.store.get(client, SELF).map(|(cell, _)| cell.settled());
            let sampled = |cell: Cell, idle| cell.sampled(trip, idle);
            let cell = self.store.change(client, SELF, seconds(now), sampled);
            self.taken += 1;
            self.revision += u64::from(before != Some(cell.settled()));
        });
        self.counted(taken)
    }

    /// Takes in the round trip of a probe of this node to an endpoint of a region.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn probed(&mut self, to: &str, time: Duration, now: Tick) -> Result<(), Refusal> {
        let taken = Trip::from(time).read().map(|trip| {
            let (cell, seen) = self.ways.get(&(SELF, to.to_owned())).copied().unwrap_or_default();
            let sampled = cell.sampled(trip, now.since(seen));
            self.revision += u64::from(cell.settled() != sampled.settled() || cell.samples() == 0);
            self.ways.insert((SELF, to.to_owned()), (sampled, now));
        });
        self.counted(taken)
    }

    /// Takes in what another node reports of clients of its region.
    pub fn hear(&mut self, from: &Reporter, measured: &[Measured], now: Tick) {
        let Some(id) = self.reporter(from) else {
            *self.refused.entry(Refusal::Full).or_default() += measured.len() as u64;
            return;
        };
        for one in measured {
            let before = self.store.get(one.client, id).map(|(cell, _)| cell.settled());
            let known = self.reporters.get_mut(usize::from(id));
            let Some(known) = known.filter(|k| before.is_some() || k.clients < REPORTED_MAX) else {
                *self.refused.entry(Refusal::Full).or_default() += 1;
                continue;
            };
            known.clients += u32::from(before.is_none());
            let told = Cell::told(one.settled, 0, one.samples);
            let seen = seconds(now).saturating_sub(one.age.as_secs() as u32);
            self.store.change(one.client, id, seen, |_, _| told);
            self.revision += u64::from(before != Some(one.settled));
        }
    }

    /// Takes in what another node reports of the ways from its region. What it does not speak of
    /// stands until it is too old: a page holds some of them.
    pub fn hear_ways(&mut self, from: &Reporter, ways: &[Way], now: Tick) {
        let Some(id) = self.reporter(from) else { return };
        let mut count = self.ways.keys().filter(|(other, _)| *other == id).count();
        for way in ways {
            let key = (id, way.to.clone());
            let before = self.ways.get(&key).map(|(cell, _)| cell.settled());
            if before.is_none() && count >= WAYS_MAX {
                *self.refused.entry(Refusal::Full).or_default() += 1;
                continue;
            }
            count += usize::from(before.is_none());
            self.revision += u64::from(before != Some(way.settled));
            self.ways.insert(key, (Cell::told(way.settled, 0, way.samples), now));
        }
    }

    /// Counts something that was refused elsewhere.
    pub fn refuse(&mut self, why: Refusal, count: u64) {
        *self.refused.entry(why).or_default() += count;
    }

    /// Forgets what was not measured for `keep`.
    pub fn forget(&mut self, keep: Duration, now: Tick) {
        let now_s = seconds(now);
        let keep_s = u32::try_from(keep.as_secs()).unwrap_or(u32::MAX);
        let before = (self.store.len(), self.ways.len());
        let mut clients = vec![0u32; self.reporters.len()];
        self.store.retain(|entry| {
            let kept = now_s.saturating_sub(entry.seen) <= keep_s;
            if let Some(count) = clients.get_mut(usize::from(entry.reporter)).filter(|_| kept) {
                *count += 1;
            }
            kept
        });
        for (known, clients) in self.reporters.iter_mut().zip(clients) {
            known.clients = clients;
        }
        self.ways.retain(|_, (_, seen)| now.since(*seen) <= WAY_KEPT);
        self.revision += u64::from(before != (self.store.len(), self.ways.len()));
    }

    /// Forgets what this node has measured of clients.
    pub fn forget_clients(&mut self) {
        let before = self.store.len();
        self.store.retain(|entry| entry.reporter != SELF);
        self.revision += u64::from(before != self.store.len());
    }

    /// What this node has measured of clients, in no order.
    pub fn own(&self, now: Tick) -> impl Iterator<Item = Measured> {
        let own = self.store.entries().filter(|entry| entry.reporter == SELF);
        own.map(move |entry| Measured {
            client: entry.client,
            settled: entry.cell.settled(),
            samples: entry.cell.samples(),
            age: age(&entry, now),
        })
    }

    /// What this node has measured of the ways from its region.
    pub fn own_ways(&self) -> impl Iterator<Item = Way> {
        let own = self.ways.iter().filter(|((reporter, _), _)| *reporter == SELF);
        own.map(|((_, to), (cell, _))| Way {
            to: to.clone(),
            settled: cell.settled(),
            samples: cell.samples(),
        })
    }

    /// Everything about clients: who says it, and what.
    pub(super) fn all(&self, now: Tick) -> impl Iterator<Item = (ReporterId, Entry, Duration)> {
        self.store.entries().map(move |entry| (entry.reporter, entry, age(&entry, now)))
    }

    /// Everything about ways: from which region to which, and what.
    pub(super) fn all_ways(&self, now: Tick) -> impl Iterator<Item = (&str, &str, Cell, Duration)> {
        let ways = self.reporter_ways(now);
        ways.map(|(from, to, cell, age)| (from.region.as_str(), to, cell, age))
    }

    /// Everything about ways: by whom, to which region, and what.
    pub(super) fn reporter_ways(
        &self,
        now: Tick,
    ) -> impl Iterator<Item = (&Reporter, &str, Cell, Duration)> {
        self.ways.iter().filter_map(move |((id, to), (cell, seen))| {
            let from = self.reporters.get(usize::from(*id))?;
            Some((&from.reporter, to.as_str(), *cell, now.since(*seen)))
        })
    }

    /// The reporters, by id.
    pub(super) fn reporters(&self) -> impl Iterator<Item = &Reporter> {
        self.reporters.iter().map(|known| &known.reporter)
    }

    /// This node.
    pub fn me(&self) -> Option<&Reporter> {
        self.reporters().next()
    }

    /// Puts back what was saved of clients.
    pub(super) fn restore(&mut self, from: &Reporter, client: Client, cell: Cell, seen: u32) {
        let Some(id) = self.reporter(from) else { return };
        self.store.change(client, id, seen, |_, _| cell);
        if let Some(known) = self.reporters.get_mut(usize::from(id)) {
            known.clients += 1;
        }
        self.revision += 1;
    }

    /// Puts back what was saved of a way.
    pub(super) fn restore_way(&mut self, from: &Reporter, to: &str, cell: Cell, seen: Tick) {
        if let Some(id) = self.reporter(from) {
            self.ways.insert((id, to.to_owned()), (cell, seen));
            self.revision += 1;
        }
    }

    /// Grows with every change that may matter to estimates.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Number of estimates.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.store.len() == 0
    }

    /// Octets of memory in use for estimates.
    pub fn bytes(&self) -> usize {
        self.store.bytes()
    }

    /// What was counted since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        Counts {
            taken: std::mem::take(&mut self.taken),
            refused: std::mem::take(&mut self.refused),
            dropped: std::mem::take(&mut self.store.dropped),
        }
    }

    fn counted(&mut self, taken: Result<(), Refusal>) -> Result<(), Refusal> {
        if let Err(why) = taken {
            *self.refused.entry(why).or_default() += 1;
        }
        taken
    }

    /// The id of a reporter, which is made when it is heard first; `None`: there is no room.
    fn reporter(&mut self, reporter: &Reporter) -> Option<ReporterId> {
        if let Some(id) = self.ids.get(reporter) {
            return Some(*id);
        }
        let id = ReporterId::try_from(self.reporters.len()).ok()?;
        if self.reporters.len() >= REPORTERS_MAX {
            return None;
        }
        self.ids.insert(reporter.clone(), id);
        self.reporters.push(Known { reporter: reporter.clone(), clients: 0 });
        Some(id)
    }
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples of clients that were taken in.
    pub taken: u64,
    /// Measurements that were not believed.
    pub refused: BTreeMap<Refusal, u64>,
    /// Estimates that had to make room for others.
    pub dropped: u64,
}

/// The second of a tick.
pub(super) fn seconds(tick: Tick) -> u32 {
    u32::try_from(tick.0 / 1_000).unwrap_or(u32::MAX)
}

fn age(entry: &Entry, now: Tick) -> Duration {
    Duration::from_secs(u64::from(seconds(now).saturating_sub(entry.seen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(1_000_000_000);

    fn map() -> LatencyMap {
        LatencyMap::new(Reporter { region: "eu".into(), node: "fra-1".into() }, 7)
    }

    #[test]
    fn what_cannot_be_a_round_trip_is_refused_and_counted() {
        let mut map = map();
        for (client, time, expected) in [
            ("192.0.2.0/24", Duration::ZERO, Err(Refusal::Short)),
            ("192.0.2.0/24", Duration::from_micros(49), Err(Refusal::Short)),
            ("192.0.2.0/24", Duration::from_millis(10_001), Err(Refusal::Long)),
            ("10.0.0.0/24", Duration::from_millis(10), Err(Refusal::Private)),
            ("192.0.0.0/16", Duration::from_millis(10), Err(Refusal::Prefix)),
            ("192.0.2.0/24", Duration::from_millis(10), Ok(())),
            ("2001:db8:1::/48", Duration::from_millis(10), Ok(())),
        ] {
            assert_eq!(map.sample(client.parse().unwrap(), time, NOW), expected, "{client}");
        }
        assert_eq!(map.probed("us", Duration::from_secs(20), NOW), Err(Refusal::Long));
        let Counts { taken, refused, dropped } = map.take_counts();
        assert_eq!((taken, dropped, map.len()), (2, 0, 2));
        let expected = BTreeMap::from([
            (Refusal::Short, 2),
            (Refusal::Long, 2),
            (Refusal::Private, 1),
            (Refusal::Prefix, 1),
        ]);
        assert_eq!(refused, expected);
        assert_eq!(map.take_counts(), Counts::default());
    }

    #[test]
    fn only_what_is_settled_on_anew_is_a_change() {
        let mut map = map();
        let client: Prefix = "192.0.2.0/24".parse().unwrap();
        let mut revisions = vec![map.revision()];
        for ms in [20, 20, 21, 20, 80, 80, 80, 80, 80, 80] {
            map.sample(client, Duration::from_millis(ms), NOW).unwrap();
            revisions.push(map.revision());
        }
        assert_eq!(revisions[..5], [0, 1, 1, 1, 1]);
        assert!(revisions[10] > 1, "{revisions:?}");
    }

    #[test]
    fn what_others_report_replaces_what_they_said_before_and_ages() {
        let mut map = map();
        let from = Reporter { region: "us".into(), node: "iad-1".into() };
        let client = Client::of("192.0.2.0/24".parse().unwrap()).unwrap();
        let measured = |ms, hours: u64| Measured {
            client,
            settled: Rtt::from_ms(ms),
            samples: 9,
            age: Duration::from_secs(hours * 3_600),
        };
        map.hear(&from, &[measured(80.0, 0)], NOW);
        map.hear(&from, &[measured(90.0, 50)], NOW);
        let (_, entry, age) = map.all(NOW).next().unwrap();
        assert_eq!((map.len(), entry.cell.settled()), (1, Rtt::from_ms(90.0)));
        assert_eq!(age, Duration::from_secs(50 * 3_600));
        assert_eq!(map.own(NOW).count(), 0, "others' words are not told again");
        let way = Way { to: "eu".into(), settled: Rtt::from_ms(85.0), samples: 3 };
        map.hear_ways(&from, std::slice::from_ref(&way), NOW);
        let revision = map.revision();
        map.hear_ways(&from, &[way], NOW);
        assert_eq!((map.revision(), map.all_ways(NOW).count()), (revision, 1));
        // A fleet of more regions than a page holds.
        let next =
            |to: &usize| Way { to: format!("r{to}"), settled: Rtt::from_ms(85.0), samples: 3 };
        for page in (0..2_000).collect::<Vec<_>>().chunks(48) {
            map.hear_ways(&from, &page.iter().map(next).collect::<Vec<_>>(), NOW);
        }
        assert_eq!(map.all_ways(NOW).count(), WAYS_MAX, "bounded");
        assert!(map.all_ways(NOW).any(|(_, to, ..)| to == "eu"), "the first stands");
        map.forget(Duration::from_secs(51 * 3_600), NOW);
        assert_eq!(map.len(), 1);
        map.forget(Duration::from_secs(49 * 3_600), NOW + Duration::from_secs(90_000));
        assert_eq!((map.len(), map.all_ways(NOW).count()), (0, 0));
    }
}
