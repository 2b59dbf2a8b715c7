//! What a client's connection is doing, and since when: the sweeper of its thread reads it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use super::unread::Unread;
use crate::clock::Tick;

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// To go on.
    Serve,
    /// To keep nothing until the next request comes.
    Rest,
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
    /// Replies that go unread; there over HTTP/2 alone, where the socket does not tell.
    unread: OnceLock<Box<Unread>>,
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
            unread: OnceLock::new(),
            waker: Mutex::new(None),
        }
    }

    /// From now on octets that come need not be those of a head, as with HTTP/2.
    pub(super) fn multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// From now on its client says by windows how much it takes, as with HTTP/2.
    pub(super) fn windowed(&self) {
        self.multiplexed();
        // The error is that it is so already.
        let _ = self.unread.set(Box::default());
    }

    /// Its replies that go unread; `None`: the socket or another tells of them.
    pub(super) fn unread(&self) -> Option<&Unread> {
        self.unread.get().map(|unread| &**unread)
    }

    /// Whether it is one of many requests at a time.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
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

    /// Whether its client takes nothing of what waits for it, at this moment.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled_since.load(Ordering::Relaxed) != 0
    }

    /// Whether it is of HTTP/1 and has had no request for so long: nothing has come or waits to go.
    pub(super) fn is_quiet(&self, longest: Duration, now: Tick) -> bool {
        let none = |since: &AtomicU64| since.load(Ordering::Relaxed) == 0;
        let idle = self.idle_since.load(Ordering::Relaxed);
        idle != 0
            && none(&self.head_since)
            && none(&self.stalled_since)
            && !self.is_multiplexed()
            && now.since(Tick(idle)) >= longest
    }

    /// Takes back the order to rest, since something has come.
    pub(super) fn go_on(&self) {
        let (rest, serve) = (Order::Rest as u32, Order::Serve as u32);
        // Where it fails there is a stricter order by now.
        let _ = self.order.compare_exchange(rest, serve, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Gives the connection an order, and wakes it.
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
            1 => Order::Rest,
            2 => Order::Finish,
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
    fn a_connection_is_quiet_while_nothing_comes_or_goes() {
        let activity = Activity::new(Tick(1_000));
        let quiet = |now: u64| activity.is_quiet(Duration::from_millis(500), Tick(now));
        assert!(!quiet(9_000), "it has never asked");
        activity.begin();
        assert!(!quiet(9_000), "there is a request");
        activity.end(Tick(10_000));
        assert_eq!((quiet(10_499), quiet(10_500)), (false, true));
        activity.wrote(false, || Tick(10_600));
        assert!(!quiet(11_000), "the client does not take its reply");
        activity.wrote(true, || Tick(11_000));
        activity.read(|| Tick(12_000));
        assert!(!quiet(13_000), "a head has begun");
        let multiplexed = Activity::new(Tick(1));
        multiplexed.multiplexed();
        assert!(!multiplexed.is_quiet(Duration::ZERO, Tick(9_000)));
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
    fn orders_get_stricter_but_for_a_rest_that_ends() {
        let activity = Activity::new(Tick(1));
        activity.tell(Order::Rest);
        assert_eq!(activity.order(), Order::Rest);
        activity.go_on();
        assert_eq!(activity.order(), Order::Serve);
        activity.tell(Order::Finish);
        activity.tell(Order::Rest);
        activity.go_on();
        assert_eq!(activity.order(), Order::Finish);
        activity.tell(Order::Close);
        activity.tell(Order::Finish);
        assert_eq!(activity.order(), Order::Close);
    }
}
