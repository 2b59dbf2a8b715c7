//! What a client's connection is doing, and since when: the sweeper of its thread reads it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use crate::clock::Tick;

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To go on.
    Serve,
    /// To take no further request.
    Finish,
    /// To end at once.
    Close,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A head did not come to its end in time.
    Header,
    /// No request came.
    Idle,
    /// The client does not read.
    Stalled,
}

impl Overdue {
    /// The label in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header_timeout",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
        }
    }
}

/// How long a connection may be at what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first octet of a head to its end.
    pub(super) header: Duration,
    /// Without a request, and without a client that reads.
    pub(super) idle: Duration,
}

/// One connection as its thread's sweeper sees it.
///
/// No timer is set for any of it: a thread looks at all its connections a few times a second, so
/// that a request costs two stores. Times are [`Tick`]s; 0 stands for none.
#[derive(Debug)]
pub(super) struct Activity {
    /// Since when there is no request; 0: there is one.
    idle_since: AtomicU64,
    /// When the first octet of the next head came; 0: it has not.
    head_since: AtomicU64,
    /// Since when the client takes nothing of what waits for it; 0: it does.
    stalled_since: AtomicU64,
    /// Requests under way.
    requests: AtomicU32,
    multiplexed: AtomicBool,
    order: AtomicU32,
    /// Wakes the connection; set when it first runs. Locked for a moment, by its own thread.
    waker: Mutex<Option<Waker>>,
}

impl Activity {
    /// A connection that has just begun.
    pub(super) fn new(now: Tick) -> Self {
        Self {
            idle_since: AtomicU64::new(now.0),
            // A client that connects and says nothing gets as long as one that begins a head.
            head_since: AtomicU64::new(now.0),
            stalled_since: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
            order: AtomicU32::new(0),
            waker: Mutex::new(None),
        }
    }

    /// From now on octets that come need not be those of a head, as with HTTP/2.
    pub(super) fn multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// Octets have come.
    pub(super) fn read(&self, now: impl FnOnce() -> Tick) {
        let waits = self.idle_since.load(Ordering::Relaxed) != 0;
        if waits
            && !self.multiplexed.load(Ordering::Relaxed)
            && self.head_since.load(Ordering::Relaxed) == 0
        {
            self.head_since.store(now().0, Ordering::Relaxed);
        }
    }

    /// Octets went out, or the client does not take them.
    pub(super) fn wrote(&self, taken: bool, now: impl FnOnce() -> Tick) {
        let stalled = self.stalled_since.load(Ordering::Relaxed) != 0;
        if stalled == taken {
            let since = if taken { 0 } else { now().0 };
            self.stalled_since.store(since, Ordering::Relaxed);
        }
    }

    /// A whole head has come.
    pub(super) fn begin(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.idle_since.store(0, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// A reply has been handed over to its end, or will never be.
    pub(super) fn end(&self, now: Tick) {
        if self.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.idle_since.store(now.0, Ordering::Relaxed);
        }
    }

    /// What is wrong with it at `now`.
    pub(super) fn overdue(&self, patience: Patience, now: Tick) -> Option<Overdue> {
        let over = |since: &AtomicU64, longest: Duration| {
            let since = since.load(Ordering::Relaxed);
            since != 0 && now.since(Tick(since)) > longest
        };
        if over(&self.head_since, patience.header) {
            Some(Overdue::Header)
        } else if over(&self.stalled_since, patience.idle) {
            Some(Overdue::Stalled)
        } else if over(&self.idle_since, patience.idle) {
            Some(Overdue::Idle)
        } else {
            None
        }
    }

    /// Tells the connection to finish or to close, and wakes it.
    pub(super) fn tell(&self, order: Order) {
        self.order.fetch_max(order as u32, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }

    /// What the connection is told to do.
    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Close,
        }
    }

    /// Whom to wake, which is the same task always.
    pub(super) fn wake_with(&self, context: &Context<'_>) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { header: Duration::from_millis(100), idle: Duration::from_secs(1) };

    #[test]
    fn connections_are_overdue_by_what_they_do() {
        let activity = Activity::new(Tick(1_000));
        let overdue = |now: u64| activity.overdue(PATIENCE, Tick(now));
        assert_eq!((overdue(1_100), overdue(1_101)), (None, Some(Overdue::Header)), "silence");
        activity.begin();
        assert_eq!(overdue(90_000), None, "a request may take as long as its route allows");
        activity.wrote(false, || Tick(90_000));
        activity.wrote(false, || Tick(90_900));
        assert_eq!((overdue(91_000), overdue(91_001)), (None, Some(Overdue::Stalled)));
        activity.wrote(true, || Tick(91_000));
        activity.read(|| Tick(91_000));
        assert_eq!(overdue(99_000), None, "octets of a body");
        activity.end(Tick(100_000));
        assert_eq!((overdue(101_000), overdue(101_001)), (None, Some(Overdue::Idle)));
        activity.read(|| Tick(100_900));
        activity.read(|| Tick(100_990));
        assert_eq!((overdue(101_000), overdue(101_001)), (None, Some(Overdue::Header)));
    }

    #[test]
    fn of_several_requests_the_last_one_ends_the_work() {
        let activity = Activity::new(Tick(1));
        activity.begin();
        activity.begin();
        activity.end(Tick(5));
        assert_eq!(activity.overdue(PATIENCE, Tick(90_000)), None);
        activity.end(Tick(6));
        assert_eq!(activity.overdue(PATIENCE, Tick(90_000)), Some(Overdue::Idle));
    }

    #[test]
    fn orders_only_get_stricter() {
        let activity = Activity::new(Tick(1));
        assert_eq!(activity.order(), Order::Serve);
        activity.tell(Order::Close);
        activity.tell(Order::Finish);
        assert_eq!(activity.order(), Order::Close);
    }
}
