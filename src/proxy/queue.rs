//! Requests that wait for a place at an endpoint, those that matter most first, then the oldest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus::IntGauge;
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::model::Priority;

/// The requests of all threads that wait for the endpoints of one pool in one region.
///
/// Who is woken tries to get a place and waits on, as the first, if there is none after all. Its
/// bound is that of the routes, which ask [`Queue::length`] before.
#[derive(Debug)]
pub(super) struct Queue {
    /// Who waits, and who was woken and has not got a place yet.
    length: AtomicU32,
    /// By priority. Locked for a few instructions, and only while somebody waits.
    waiting: Mutex<[VecDeque<Sender<()>>; 3]>,
    shown: IntGauge,
}

impl Queue {
    /// Nobody waits.
    pub(super) fn new(shown: IntGauge) -> Self {
        Self { length: AtomicU32::new(0), waiting: Mutex::default(), shown }
    }

    /// How many wait.
    pub(super) fn length(&self) -> u32 {
        self.length.load(Ordering::Relaxed)
    }

    /// A place is free, perhaps.
    pub(super) fn freed(&self) {
        if self.length() > 0 {
            self.wake();
        }
    }

    /// Wakes who is the next.
    pub(super) fn wake(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for line in waiting.iter_mut().rev() {
            while let Some(next) = line.pop_front() {
                // The error is that it has given up.
                if next.send(()).is_ok() {
                    return;
                }
            }
        }
    }

    /// Joins those who wait.
    pub(super) fn join(&self, priority: Priority) -> Waiter<'_> {
        self.length.fetch_add(1, Ordering::Relaxed);
        self.shown.inc();
        Waiter { queue: self, priority }
    }
}

/// One that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiter<'q> {
    queue: &'q Queue,
    priority: Priority,
}

impl Waiter<'_> {
    /// Stands at the end of the line of its priority, or at the beginning where it was woken in
    /// vain; what comes back is told when it is woken.
    pub(super) fn stand(&self, first: bool) -> Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = waiting.get_mut(self.priority as usize) {
            // Those who have given up must not pile up while nobody is woken.
            if line.len() > 16 + 2 * self.queue.length() as usize {
                line.retain(|other| !other.is_closed());
            }
            if first {
                line.push_front(wake);
            } else {
                line.push_back(wake);
            }
        }
        woken
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.queue.length.fetch_sub(1, Ordering::Relaxed);
        self.queue.shown.dec();
        // More than one place may have become free while this one was the only one woken.
        self.queue.freed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_is_woken_first_then_who_came_first() {
        let queue = Queue::new(IntGauge::new("waiting", "a test").unwrap());
        queue.wake();
        let waiters =
            [Priority::Low, Priority::Normal, Priority::Normal, Priority::High, Priority::Normal]
                .map(|priority| queue.join(priority));
        assert_eq!((queue.length(), queue.shown.get()), (5, 5));
        let mut woken: Vec<_> = waiters.iter().map(|waiter| waiter.stand(false)).collect();
        let mut order = Vec::new();
        let mut next = |woken: &mut Vec<Receiver<()>>| {
            queue.wake();
            let at = woken.iter_mut().position(|receiver| receiver.try_recv().is_ok());
            order.push(at);
            at
        };
        next(&mut woken);
        let first = next(&mut woken).unwrap();
        woken[first] = waiters[first].stand(true);
        assert_eq!(next(&mut woken), Some(first), "woken in vain it stays the first");
        woken[2].close();
        next(&mut woken);
        next(&mut woken);
        next(&mut woken);
        assert_eq!(order, [Some(3), Some(1), Some(1), Some(4), Some(0), None]);
        drop(waiters);
        assert_eq!((queue.length(), queue.shown.get()), (0, 0));
    }

    #[test]
    fn who_leaves_wakes_the_next() {
        let queue = Queue::new(IntGauge::new("waiting", "a test").unwrap());
        let [one, other] = [(); 2].map(|()| queue.join(Priority::Normal));
        let (_first, mut second) = (one.stand(false), other.stand(false));
        queue.freed();
        assert!(second.try_recv().is_err());
        drop(one);
        assert!(second.try_recv().is_ok());
    }
}
