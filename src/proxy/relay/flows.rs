//! The flows of a UDP relay: which client is served by what, bounded in number and time.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Tick;

/// Flows by client. Who was silent longest makes room.
#[derive(Debug)]
pub struct Flows<K, T> {
    by_client: HashMap<K, Entry<T>>,
    /// Each flow once, by when it was last looked at; and some that are gone.
    order: VecDeque<(K, u64, Tick)>,
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    number: u64,
    /// When a datagram last passed, in either direction.
    last: Rc<Cell<Tick>>,
    value: T,
}

impl<K, T> Default for Flows<K, T> {
    fn default() -> Self {
        Self { by_client: HashMap::new(), order: VecDeque::new(), next: 0 }
    }
}

impl<K: Copy + Eq + Hash, T> Flows<K, T> {
    /// The number of flows.
    pub fn len(&self) -> usize {
        self.by_client.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// The flow of a client.
    pub fn find(&self, client: &K) -> Option<&T> {
        self.by_client.get(client).map(|entry| &entry.value)
    }

    /// Adds a flow, of which `last` says when it was last used; of `most` at a time. What makes
    /// room for it, or was there for the client, is given back.
    pub fn insert(
        &mut self,
        client: K,
        (value, last): (T, Rc<Cell<Tick>>),
        most: usize,
    ) -> Option<T> {
        let replaced = self.remove(&client);
        let evicted = if self.len() >= most.max(1) { self.evict() } else { None };
        let number = self.next;
        self.next += 1;
        self.order.push_back((client, number, last.get()));
        self.by_client.insert(client, Entry { number, last, value });
        if self.order.len() > 2 * self.len() + 16 {
            let live = &self.by_client;
            self.order.retain(|(client, number, _)| {
                live.get(client).is_some_and(|entry| entry.number == *number)
            });
        }
        replaced.or(evicted)
    }

    /// Removes the flow of a client.
    pub fn remove(&mut self, client: &K) -> Option<T> {
        self.by_client.remove(client).map(|entry| entry.value)
    }

    /// Keeps the flows that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.by_client.retain(|_, entry| keep(&entry.value));
    }

    /// Whether `is` holds for any flow.
    pub fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        self.by_client.values().any(|entry| is(&entry.value))
    }

    /// Removes those that have been silent for `idle`.
    pub fn sweep(&mut self, idle: Duration, now: Tick) {
        while let Some((client, number, seen)) = self.order.front().copied() {
            // What was used since it was looked at is not older than that.
            if now.since(seen) < idle {
                return;
            }
            self.order.pop_front();
            let Some(last) = self.last(&client, number) else { continue };
            if now.since(last) >= idle {
                self.by_client.remove(&client);
            } else {
                self.order.push_back((client, number, last));
            }
        }
    }

    /// Removes the one that has been silent longest, but for those that were used since they were
    /// last looked at.
    fn evict(&mut self) -> Option<T> {
        // Each is looked at once at most before one is found that was not used meanwhile.
        for _ in 0..=self.order.len() {
            let (client, number, seen) = self.order.pop_front()?;
            let Some(last) = self.last(&client, number) else { continue };
            if last == seen {
                return self.remove(&client);
            }
            self.order.push_back((client, number, last));
        }
        None
    }

    fn last(&self, client: &K, number: u64) -> Option<Tick> {
        let entry = self.by_client.get(client).filter(|entry| entry.number == number)?;
        Some(entry.last.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::START + Duration::from_secs(seconds)
    }

    fn used(seconds: u64) -> Rc<Cell<Tick>> {
        Rc::new(Cell::new(at(seconds)))
    }

    #[test]
    fn the_one_that_was_silent_longest_makes_room() {
        let mut flows = Flows::default();
        let first = used(0);
        assert_eq!(flows.insert('a', (1, first.clone()), 2), None);
        assert_eq!(flows.insert('b', (2, used(1)), 2), None);
        first.set(at(2));
        assert_eq!(flows.insert('c', (3, used(3)), 2), Some(2));
        assert_eq!(flows.insert('d', (4, used(4)), 2), Some(1));
        assert_eq!(flows.insert('d', (5, used(5)), 2), Some(4), "the same client again");
        assert_eq!((flows.len(), flows.find(&'d'), flows.find(&'a')), (2, Some(&5), None));
        assert_eq!(flows.insert('e', (6, used(6)), 0), Some(3), "one is always possible");
    }

    #[test]
    fn silent_flows_go_and_used_ones_stay() {
        let mut flows = Flows::default();
        let idle = Duration::from_secs(30);
        let busy = used(0);
        flows.insert(1, ((), busy.clone()), 10);
        flows.insert(2, ((), used(10)), 10);
        busy.set(at(25));
        flows.sweep(idle, at(29));
        assert_eq!(flows.len(), 2);
        flows.sweep(idle, at(41));
        assert_eq!((flows.len(), flows.find(&1)), (1, Some(&())));
        flows.sweep(idle, at(55));
        assert!(flows.is_empty());
    }

    #[test]
    fn flows_that_come_and_go_take_no_memory() {
        let mut flows = Flows::default();
        for round in 0..10_000 {
            flows.insert(round % 3, (round, used(0)), 2);
            flows.remove(&(round % 3));
        }
        assert!(flows.is_empty() && flows.order.len() <= 20, "{}", flows.order.len());
    }
}
