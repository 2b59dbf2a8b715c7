//! Who is connected, who has replies waiting, and who makes room for others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::counters::ConnectionCounters;
use crate::clock::{self, Tick};
use crate::prefix::Prefix;

/// Bits of a client's address that are one client: what one customer usually has.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 56;
/// One client prefix may hold this part of all connections.
const PREFIX_SHARE: usize = 4;
/// Octets of replies that all connections together may have waiting: thousands of usual ones, and
/// little beside the memory of a server.
const WAITING_MAX: usize = 8 << 20;
/// Octets that a connection may have waiting however many others have: those that were closed keep
/// theirs for a moment, and whoever asks little must not pay for them.
const WAITING_FAIR: usize = 16 << 10;

/// The connections of a transport.
///
/// When there is no room, the connection that has gone longest without a reply makes some: of the
/// same prefix when that has its share, else of all. A client with a live query is thus the last
/// to go, and whoever holds many idle or half-sent connections loses his own. When too many
/// replies wait for clients to read them, the connection with most of them makes room.
#[derive(Debug)]
pub(super) struct Clients {
    limit: usize,
    /// Taken when a connection begins or ends or has to, for a walk over all at most.
    open: Mutex<Open>,
    /// Octets of replies that wait to be written.
    waiting: AtomicUsize,
    counters: Arc<ConnectionCounters>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, Entry>,
    by_prefix: HashMap<Prefix, usize>,
}

#[derive(Debug)]
struct Entry {
    /// `None`: not known yet, as a proxy has still to say.
    prefix: Option<Prefix>,
    state: Arc<State>,
}

/// What a connection tells of itself.
#[derive(Debug)]
struct State {
    /// When the last reply was written, or the connection began, as [`Tick`].
    served: AtomicU64,
    /// Octets of its replies that wait to be written.
    waiting: AtomicUsize,
    close: CancellationToken,
}

/// A connection's place among the clients; dropped with it.
#[derive(Debug)]
pub(super) struct Seat {
    clients: Arc<Clients>,
    number: u64,
    state: Arc<State>,
}

/// Octets that wait to be written, as long as this is kept.
#[derive(Debug)]
pub(super) struct Waiting {
    seat: Arc<Seat>,
    octets: usize,
}

impl Clients {
    pub(super) fn new(limit: usize, counters: Arc<ConnectionCounters>) -> Self {
        let (open, waiting) = (Mutex::default(), AtomicUsize::new(0));
        Self { limit: limit.max(1), open, waiting, counters }
    }

    /// A place for a client that has just connected; `None`: who it is will be known later.
    pub(super) fn admit(self: &Arc<Self>, client: Option<IpAddr>, now: Tick) -> Arc<Seat> {
        let prefix = client.map(prefix_of);
        let mut open = self.lock();
        let before = open.entries.len();
        self.make_room_in(prefix, &mut open);
        if open.entries.len() == before && before >= self.limit {
            self.closed(open.longest(|_| true), &mut open);
        }
        let number = open.next;
        open.next += 1;
        if let Some(prefix) = prefix {
            *open.by_prefix.entry(prefix).or_insert(0) += 1;
        }
        let state = Arc::new(State {
            served: AtomicU64::new(now.0),
            waiting: AtomicUsize::new(0),
            close: CancellationToken::new(),
        });
        open.entries.insert(number, Entry { prefix, state: state.clone() });
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        Arc::new(Seat { clients: self.clone(), number, state })
    }

    /// Closes a connection of a prefix that has its share.
    fn make_room_in(&self, prefix: Option<Prefix>, open: &mut Open) {
        let share = (self.limit / PREFIX_SHARE).max(1);
        let held = prefix.and_then(|prefix| open.by_prefix.get(&prefix));
        if held.is_some_and(|count| *count >= share) {
            self.closed(open.longest(|entry| entry.prefix == prefix), open);
        }
    }

    /// Closes the connection that has gone longest without a reply.
    pub(super) fn evict(&self) {
        let mut open = self.lock();
        self.closed(open.longest(|_| true), &mut open);
    }

    /// Connections there are.
    pub(super) fn count(&self) -> usize {
        self.lock().entries.len()
    }

    /// Closes all connections.
    pub(super) fn close_all(&self) {
        for entry in self.lock().entries.values() {
            entry.state.close.cancel();
        }
    }

    /// Closes a connection that has to make room.
    fn closed(&self, number: Option<u64>, open: &mut Open) {
        if let Some(entry) = number.and_then(|number| open.remove(number)) {
            entry.state.close.cancel();
            self.counters.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The connection that has gone longest without a reply.
    fn longest(&self, among: impl Fn(&Entry) -> bool) -> Option<u64> {
        let entries = self.entries.iter().filter(|(_, entry)| among(entry));
        // Of equals the older connection goes: it has the smaller number.
        let longest = entries
            .min_by_key(|(number, entry)| (entry.state.served.load(Ordering::Relaxed), **number));
        longest.map(|(number, _)| *number)
    }

    /// The connection for which most octets wait, of those with more than their fair share.
    fn largest(&self) -> Option<u64> {
        let waiting = |entry: &Entry| entry.state.waiting.load(Ordering::Relaxed);
        let all = self.entries.iter().map(|(number, entry)| (waiting(entry), *number));
        all.filter(|(octets, _)| *octets > WAITING_FAIR).max().map(|(_, number)| number)
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        if let Some(prefix) = entry.prefix
            && let Some(count) = self.by_prefix.get_mut(&prefix)
        {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
        Some(entry)
    }
}

/// The prefix that is one client.
fn prefix_of(client: IpAddr) -> Prefix {
    Prefix::holding(client, if client.is_ipv4() { PREFIX_V4 } else { PREFIX_V6 })
}

impl Seat {
    /// Tells who the client is that was admitted unknown.
    pub(super) fn belongs_to(&self, client: IpAddr) {
        let prefix = prefix_of(client);
        let mut open = self.clients.lock();
        // One that had to make room meanwhile takes none from others.
        if open.entries.get(&self.number).is_none_or(|entry| entry.prefix.is_some()) {
            return;
        }
        self.clients.make_room_in(Some(prefix), &mut open);
        if let Some(entry) = open.entries.get_mut(&self.number) {
            entry.prefix = Some(prefix);
        }
        *open.by_prefix.entry(prefix).or_insert(0) += 1;
    }

    /// Ends when the connection must make room.
    pub(super) async fn closed(&self) {
        self.state.close.cancelled().await;
    }

    /// Notes that a reply was written.
    pub(super) fn served(&self, now: Tick) {
        self.state.served.store(now.0, Ordering::Relaxed);
    }

    /// Octets that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::Relaxed)
    }

    /// Whether more replies wait than should: those of closed connections stay for a moment.
    pub(super) fn is_tight(&self) -> bool {
        self.clients.waiting.load(Ordering::Relaxed) > WAITING_MAX
    }

    /// Notes octets that wait to be written. When that makes too many, those who have most waiting
    /// are closed, perhaps this one; what waits for them goes with them.
    pub(super) fn wait(self: &Arc<Self>, octets: usize) -> Waiting {
        self.state.waiting.fetch_add(octets, Ordering::Relaxed);
        let clients = &self.clients;
        let all = clients.waiting.fetch_add(octets, Ordering::Relaxed) + octets;
        if all > WAITING_MAX {
            let mut open = clients.lock();
            clients.closed(open.largest(), &mut open);
        }
        Waiting { seat: self.clone(), octets }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.clients.lock().remove(self.number);
        self.clients.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.seat.state.waiting.fetch_sub(self.octets, Ordering::Relaxed);
        self.seat.clients.waiting.fetch_sub(self.octets, Ordering::Relaxed);
        self.seat.served(clock::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(limit: usize) -> Arc<Clients> {
        Arc::new(Clients::new(limit, Arc::default()))
    }

    /// Whether each seat is still held.
    fn held(seats: &[Arc<Seat>]) -> Vec<bool> {
        seats.iter().map(|seat| !seat.state.close.is_cancelled()).collect()
    }

    fn evicted(clients: &Clients) -> u64 {
        clients.counters.evicted.load(Ordering::Relaxed)
    }

    #[test]
    fn the_longest_without_a_reply_makes_room() {
        let clients = clients(4);
        let address = |number: u8| IpAddr::from([10, number, 0, 1]);
        let mut seats: Vec<_> =
            (0..4).map(|n| clients.admit(Some(address(n)), Tick(u64::from(n)))).collect();
        seats[0].served(Tick(9));
        seats.push(clients.admit(Some(address(9)), Tick(10)));
        assert_eq!(evicted(&clients), 1);
        assert_eq!(held(&seats), [true, false, true, true, true]);
        // A seat that was given up leaves room.
        seats.remove(4);
        seats.push(clients.admit(Some(address(8)), Tick(11)));
        assert_eq!(evicted(&clients), 1);
    }

    #[test]
    fn a_prefix_with_its_share_makes_room_itself() {
        let clients = clients(8);
        let mut seats = vec![clients.admit(Some([192, 0, 2, 1].into()), Tick(0))];
        for host in 1..=5 {
            seats.push(clients.admit(Some([10, 0, 0, host].into()), Tick(u64::from(host))));
        }
        assert_eq!(held(&seats), [true, false, false, false, true, true]);
        assert_eq!(clients.lock().entries.len(), 3);
        let v6 = |text: &str| clients.admit(Some(text.parse().unwrap()), Tick(9));
        seats = vec![v6("2001:db8::1"), v6("2001:db8:0:ff::1"), v6("2001:db8:0:1::1")];
        assert_eq!(held(&seats), [false, true, true]);
    }

    #[test]
    fn a_client_named_later_counts_from_then_on() {
        let clients = clients(8);
        let seats: Vec<_> = (0..5).map(|n| clients.admit(None, Tick(n))).collect();
        assert_eq!(held(&seats), [true; 5]);
        for seat in &seats {
            seat.belongs_to([10, 0, 0, 1].into());
        }
        assert_eq!(held(&seats), [false, false, false, true, true]);
        // Those who had to go are not counted, and nobody is counted twice.
        seats[0].belongs_to([10, 0, 0, 1].into());
        seats[4].belongs_to([10, 9, 0, 1].into());
        let counted: usize = clients.lock().by_prefix.values().sum();
        assert_eq!(counted, clients.count());
    }

    #[test]
    fn whoever_has_most_waiting_makes_room_for_replies() {
        let clients = clients(100);
        let seats: Vec<_> =
            (0..3).map(|n| clients.admit(Some([10, n, 0, 1].into()), Tick(0))).collect();
        let much = seats[1].wait(WAITING_MAX / 2);
        let some = seats[0].wait(WAITING_MAX / 4);
        assert_eq!(held(&seats), [true, true, true]);
        let last = seats[2].wait(WAITING_MAX / 2 - 1);
        assert_eq!(held(&seats), [true, false, true]);
        // What is written leaves room.
        drop(much);
        let more = seats[0].wait(1000);
        assert_eq!((held(&seats), evicted(&clients)), (vec![true, false, true], 1));
        drop((some, last, more, seats));
        assert_eq!(clients.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn whoever_has_little_waiting_does_not_pay_for_those_who_leave() {
        let clients = clients(100);
        let seats: Vec<_> =
            (0..2).map(|n| clients.admit(Some([10, n, 0, 1].into()), Tick(0))).collect();
        let much = seats[0].wait(WAITING_MAX + 1);
        let little = seats[1].wait(WAITING_FAIR);
        assert_eq!(held(&seats), [false, true]);
        let more = seats[1].wait(1);
        assert_eq!(held(&seats), [false, false]);
        drop((much, little, more));
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let clients = clients(1);
        for host in 0..100 {
            drop(clients.admit(Some([10, 0, host, 1].into()), Tick(0)));
        }
        let open = clients.lock();
        assert!(open.entries.is_empty() && open.by_prefix.is_empty());
        drop(open);
        clients.evict();
        assert_eq!(evicted(&clients), 0);
    }
}
