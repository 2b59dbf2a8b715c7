//! Who is connected over TCP, and who makes room for a new client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::Tick;
use crate::prefix::Prefix;

/// Bits of a client's address that are one client: what one customer usually has.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 56;
/// One client prefix may hold this part of all connections.
const PREFIX_SHARE: usize = 4;

/// The connections of a service.
///
/// When there is no room, the connection that has gone longest without a reply makes some: of the
/// same prefix when that has its share, else of all. A client with a live query is thus the last
/// to go, and whoever holds many idle or half-sent connections loses his own.
#[derive(Debug)]
pub(super) struct Clients {
    limit: usize,
    /// Taken when a connection begins or ends, for a walk over all at most.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    seats: HashMap<u64, Entry>,
    by_prefix: HashMap<Prefix, usize>,
}

#[derive(Debug)]
struct Entry {
    prefix: Prefix,
    /// When the last reply was written, or the connection began, as [`Tick`].
    served: Arc<AtomicU64>,
    close: CancellationToken,
}

/// A connection's place among the clients; dropped with it.
#[derive(Debug)]
pub(super) struct Seat {
    clients: Arc<Clients>,
    number: u64,
    served: Arc<AtomicU64>,
    close: CancellationToken,
}

impl Clients {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), open: Mutex::default() }
    }

    /// A place for a client that has just connected, and how many others had to go for it.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr, now: Tick) -> (Seat, u64) {
        let length = if client.is_ipv4() { PREFIX_V4 } else { PREFIX_V6 };
        let prefix = Prefix::holding(client, length);
        let share = (self.limit / PREFIX_SHARE).max(1);
        let mut open = self.lock();
        let evicted = if open.by_prefix.get(&prefix).is_some_and(|count| *count >= share) {
            open.evict(|entry| entry.prefix == prefix)
        } else if open.seats.len() >= self.limit {
            open.evict(|_| true)
        } else {
            0
        };
        let number = open.next;
        open.next += 1;
        *open.by_prefix.entry(prefix).or_insert(0) += 1;
        let (served, close) = (Arc::new(AtomicU64::new(now.0)), CancellationToken::new());
        let entry = Entry { prefix, served: served.clone(), close: close.clone() };
        open.seats.insert(number, entry);
        (Seat { clients: self.clone(), number, served, close }, evicted)
    }

    /// Closes the connection that has gone longest without a reply; gives how many that is.
    pub(super) fn evict(&self) -> u64 {
        self.lock().evict(|_| true)
    }

    /// Closes all connections.
    pub(super) fn close_all(&self) {
        for entry in self.lock().seats.values() {
            entry.close.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn evict(&mut self, among: impl Fn(&Entry) -> bool) -> u64 {
        let seats = self.seats.iter().filter(|(_, entry)| among(entry));
        // Of equals the older connection goes: it has the smaller number.
        let longest =
            seats.min_by_key(|(number, entry)| (entry.served.load(Ordering::Relaxed), **number));
        let Some(number) = longest.map(|(number, _)| *number) else { return 0 };
        self.remove(number).map_or(0, |entry| {
            entry.close.cancel();
            1
        })
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.seats.remove(&number)?;
        if let Some(count) = self.by_prefix.get_mut(&entry.prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&entry.prefix);
            }
        }
        Some(entry)
    }
}

impl Seat {
    /// Ends when the connection must make room.
    pub(super) async fn closed(&self) {
        self.close.cancelled().await;
    }

    /// Notes that a reply was written.
    pub(super) fn served(&self, now: Tick) {
        self.served.store(now.0, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.clients.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each seat is still held.
    fn held(seats: &[Seat]) -> Vec<bool> {
        seats.iter().map(|seat| !seat.close.is_cancelled()).collect()
    }

    #[test]
    fn the_longest_without_a_reply_makes_room() {
        let clients = Arc::new(Clients::new(4));
        let address = |number: u8| IpAddr::from([10, number, 0, 1]);
        let mut seats: Vec<Seat> =
            (0..4).map(|n| clients.admit(address(n), Tick(u64::from(n))).0).collect();
        seats[0].served(Tick(9));
        let (seat, evicted) = clients.admit(address(9), Tick(10));
        seats.push(seat);
        assert_eq!(evicted, 1);
        assert_eq!(held(&seats), [true, false, true, true, true]);
        // A seat that was given up leaves room.
        seats.remove(4);
        assert_eq!(clients.admit(address(8), Tick(11)).1, 0);
    }

    #[test]
    fn a_prefix_with_its_share_makes_room_itself() {
        let clients = Arc::new(Clients::new(8));
        let mut seats = vec![clients.admit([192, 0, 2, 1].into(), Tick(0)).0];
        for host in 1..=5 {
            seats.push(clients.admit([10, 0, 0, host].into(), Tick(u64::from(host))).0);
        }
        assert_eq!(held(&seats), [true, false, false, false, true, true]);
        assert_eq!(clients.lock().seats.len(), 3);
        let v6 = |text: &str| clients.admit(text.parse().unwrap(), Tick(9)).0;
        seats = vec![v6("2001:db8::1"), v6("2001:db8:0:ff::1"), v6("2001:db8:0:1::1")];
        assert_eq!(held(&seats), [false, true, true]);
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let clients = Arc::new(Clients::new(1));
        for host in 0..100 {
            drop(clients.admit([10, 0, host, 1].into(), Tick(0)));
        }
        let open = clients.lock();
        assert!(open.seats.is_empty() && open.by_prefix.is_empty());
        drop(open);
        assert_eq!(clients.evict(), 0);
    }
}
