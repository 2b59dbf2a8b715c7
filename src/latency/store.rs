//! Estimates by client and reporter, in a table that is bounded whatever comes.
//!
//! The table is cut into rows; an entry's two rows follow from its key. Two full ones make the
//! table grow, and when it has its full size, the entry that says least makes room. So nothing has
//! to be cleaned up under load, and a flood of clients costs no more than the table.

use std::time::Duration;

use super::cell::Cell;
use super::client::Client;
use super::rtt::Rtt;

/// Entries of a row.
const WAYS: usize = 16;
/// Rows of a new table: 20 KiB.
const ROWS_FIRST: usize = 64;
/// Rows of the largest: 1.8 million entries in 34 MiB, so that together with what is compiled from
/// it (12 octets an entry) and the means of groups a map stays below 64 MiB.
const ROWS_MAX: usize = 112_500;
/// An entry is worth half after this time.
const WORTH_HALF: Duration = Duration::from_secs(86_400);

/// Index of a reporter.
pub(super) type ReporterId = u16;

/// One estimate: 20 octets.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The client's number, its upper 32 bits and its lower 16.
    high: u32,
    low: u16,
    reporter: ReporterId,
    /// Empty while this has no samples.
    cell: Cell,
    /// Second of the last sample.
    seen: u32,
}

/// An entry as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Whose round trip.
    pub(super) client: Client,
    /// Who says so.
    pub(super) reporter: ReporterId,
    /// What it says.
    pub(super) cell: Cell,
    /// Second of the last sample.
    pub(super) seen: u32,
}

/// The table.
#[derive(Debug)]
pub(super) struct Store {
    rows: Vec<[Slot; WAYS]>,
    /// So that nobody can choose clients that share a row.
    seed: u64,
    used: usize,
    /// Entries that had to make room.
    pub(super) dropped: u64,
}

impl Store {
    /// An empty table whose rows are dealt by `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { rows: vec![[Slot::default(); WAYS]; ROWS_FIRST], seed, used: 0, dropped: 0 }
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Octets of memory in use.
    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<[Slot; WAYS]>()
    }

    /// The estimate of a client by a reporter, and the second of its last sample.
    pub(super) fn get(&self, client: Client, reporter: ReporterId) -> Option<(Cell, u32)> {
        let mut rows = self.places(client, reporter).into_iter();
        rows.find_map(|at| {
            let slot = self.rows.get(at)?.iter().find(|slot| slot.is(client, reporter))?;
            Some((slot.cell, slot.seen))
        })
    }

    /// Changes the estimate of a client by a reporter, which is empty when there was none; gives
    /// what it is afterwards.
    pub(super) fn change(
        &mut self,
        client: Client,
        reporter: ReporterId,
        now: u32,
        change: impl FnOnce(Cell, Duration) -> Cell,
    ) -> Cell {
        let (at, is_new) = self.place(client, reporter, now);
        let Some(slot) = self.slot(at) else { return Cell::default() };
        if is_new {
            *slot = Slot { seen: now, ..Slot::new(client, reporter) };
        }
        let idle = Duration::from_secs(u64::from(now.saturating_sub(slot.seen)));
        slot.cell = change(slot.cell, idle);
        slot.seen = now;
        let cell = slot.cell;
        self.used += usize::from(is_new && cell.samples() > 0);
        cell
    }

    /// Row and place of an entry, and whether it is a new one; for that room is made.
    fn place(&mut self, client: Client, reporter: ReporterId, now: u32) -> ((usize, usize), bool) {
        loop {
            let rows = self.places(client, reporter);
            let find = |wanted: &dyn Fn(&Slot) -> bool| {
                let mut rows = rows.into_iter();
                rows.find_map(|at| Some((at, self.rows.get(at)?.iter().position(wanted)?)))
            };
            if let Some(at) = find(&|slot| slot.is(client, reporter)) {
                return (at, false);
            }
            if let Some(at) = find(&|slot| slot.cell.samples() == 0) {
                return (at, true);
            }
            if self.rows.len() < ROWS_MAX {
                self.grow();
                continue;
            }
            let [row, _] = rows;
            self.dropped += 1;
            self.used -= 1;
            let place = self.rows.get(row).map_or(0, |row| least(row, now));
            return ((row, place), true);
        }
    }

    fn slot(&mut self, (row, place): (usize, usize)) -> Option<&mut Slot> {
        self.rows.get_mut(row)?.get_mut(place)
    }

    /// Forgets what `keep` does not want.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        for slot in self.rows.iter_mut().flatten() {
            if slot.entry().is_some_and(|entry| !keep(&entry)) {
                *slot = Slot::default();
                self.used -= 1;
            }
        }
    }

    /// All entries, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.rows.iter().flatten().filter_map(Slot::entry)
    }

    /// The two rows in which an entry may be: with one alone some would be full while half of the
    /// table is empty.
    fn places(&self, client: Client, reporter: ReporterId) -> [usize; 2] {
        let hash = mixed(client.number() << 16 | u64::from(reporter), self.seed);
        let row = |part: u64| ((part & 0xffff_ffff) as usize * self.rows.len()) >> 32;
        [row(hash >> 32), row(hash)]
    }

    fn grow(&mut self) {
        let rows = (self.rows.len() * 2).min(ROWS_MAX);
        let empty = vec![[Slot::default(); WAYS]; rows];
        let before = std::mem::replace(&mut self.rows, empty);
        self.used = 0;
        for slot in before.iter().flatten() {
            let Some(entry) = slot.entry() else { continue };
            let mut rows = self.places(entry.client, entry.reporter).into_iter();
            let free = rows.find_map(|at| {
                let place = self.rows.get(at)?.iter().position(|slot| slot.cell.samples() == 0)?;
                Some((at, place))
            });
            match free.and_then(|at| self.slot(at)) {
                Some(free) => {
                    *free = *slot;
                    self.used += 1;
                }
                None => self.dropped += 1,
            }
        }
    }
}

impl Slot {
    fn new(client: Client, reporter: ReporterId) -> Self {
        let number = client.number();
        let (high, low) = ((number >> 16) as u32, number as u16);
        Self { high, low, reporter, ..Self::default() }
    }

    fn number(&self) -> u64 {
        u64::from(self.high) << 16 | u64::from(self.low)
    }

    fn is(&self, client: Client, reporter: ReporterId) -> bool {
        self.number() == client.number() && self.reporter == reporter && self.cell.samples() > 0
    }

    fn entry(&self) -> Option<Entry> {
        if self.cell.samples() == 0 {
            return None;
        }
        let client = Client::from_number(self.number()).ok()?;
        Some(Entry { client, reporter: self.reporter, cell: self.cell, seen: self.seen })
    }

    /// What it is worth: its samples, by half for each day.
    fn worth(&self, now: u32) -> f64 {
        let days = f64::from(now.saturating_sub(self.seen)) / WORTH_HALF.as_secs_f64();
        f64::from(self.cell.samples()) * (-days).exp2()
    }
}

/// The place of the entry in a full row that is worth least.
fn least(row: &[Slot], now: u32) -> usize {
    let worth = row.iter().map(|slot| slot.worth(now)).enumerate();
    worth.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(place, _)| place)
}

/// Mixes a key with the seed, so that every bit of both bears on the upper bits.
fn mixed(key: u64, seed: u64) -> u64 {
    let mut z = key ^ seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An estimate that is settled on, with samples and age in one octet each: what is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The client's number.
    number: [u8; 6],
    /// Index of the region's name.
    pub(super) region: u16,
    /// What is settled on.
    pub(super) settled: Rtt,
    /// At most 64.
    pub(super) samples: u8,
    /// In hours, as far as they go.
    pub(super) hours: u8,
}

impl Known {
    /// What is known of a client.
    pub(super) fn new(client: Client, region: u16, settled: Rtt, samples: u16, age_s: u32) -> Self {
        let [_, _, number @ ..] = client.number().to_be_bytes();
        let samples = samples.min(u16::from(u8::MAX)) as u8;
        let hours = (age_s / 3_600).min(u32::from(u8::MAX)) as u8;
        Self { number, region, settled, samples, hours }
    }

    /// The client's number.
    pub(super) fn number(&self) -> u64 {
        self.number.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Client {
        // From 1.0.0.0 on, over all that is not private.
        Client::of(crate::prefix::Prefix::holding(
            (0x0b00_0000 + (number << 8)).to_be_bytes().into(),
            24,
        ))
        .unwrap()
    }

    fn put(store: &mut Store, number: u32, reporter: u16, ms: f64, now: u32) -> Cell {
        store.change(client(number), reporter, now, |cell, idle| {
            cell.sampled((Rtt::from_ms(ms), Rtt::from_ms(ms)), idle)
        })
    }

    #[test]
    fn what_is_put_in_is_found_until_it_is_forgotten() {
        assert_eq!((size_of::<Slot>(), size_of::<Known>()), (20, 12));
        let mut store = Store::new(7);
        for number in 0..20_000 {
            put(&mut store, number, (number % 3) as u16, f64::from(number % 200 + 1), number);
        }
        assert_eq!((store.len(), store.dropped), (20_000, 0));
        assert_eq!(store.entries().count(), 20_000);
        for number in 0..20_000 {
            let (cell, seen) = store.get(client(number), (number % 3) as u16).unwrap();
            assert_eq!(cell.settled(), Rtt::from_ms(f64::from(number % 200 + 1)));
            assert_eq!(seen, number);
        }
        assert_eq!(store.get(client(0), 1), None);
        store.retain(|entry| entry.seen >= 15_000);
        assert_eq!((store.len(), store.entries().count()), (5_000, 5_000));
        assert_eq!(store.get(client(14_999), 0), None);
    }

    #[test]
    fn a_full_table_drops_what_says_least() {
        let mut store = Store::new(7);
        store.grow();
        while store.rows.len() < ROWS_MAX {
            store.grow();
        }
        let mut row = [Slot::default(); WAYS];
        for (at, slot) in row.iter_mut().enumerate() {
            let cell = Cell::told(Rtt::from_ms(9.0), 0, 2 + at as u16);
            *slot = Slot { cell, seen: 1_000_000, ..Slot::new(client(at as u32), 0) };
        }
        assert_eq!(least(&row, 1_000_000), 0, "fewest samples");
        row[9].seen = 0;
        assert_eq!(least(&row, 1_000_000), 9, "twelve days old");
    }
}
