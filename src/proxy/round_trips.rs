//! Round trips to clients, as the kernel measures them, and the library of QUIC: at the beginning
//! of a connection and at its end.
//!
//! A client is known by its prefix alone. What is measured goes into a bounded queue that the
//! judge's task empties every second, for the metrics now and for whoever ranks regions by it.

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::tcp_info::round_trip;
use super::worker::{Shared, Worker};
use crate::latency::Trip;
use crate::prefix::Prefix;

/// Samples that wait to be taken; more are dropped and counted.
const WAITING_MAX: usize = 4_096;
/// Length of the prefix that an IPv4 client is known by: what the internet routes at least.
const V4_LENGTH: u8 = 24;
/// Length of the prefix that an IPv6 client is known by, likewise.
const V6_LENGTH: u8 = 48;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Where the client is: a /24 or /48.
    pub client: Prefix,
    /// The round trips of one of its connections.
    pub trip: Trip,
}

/// The queue of measurements.
#[derive(Debug)]
pub(super) struct RoundTrips {
    sender: SyncSender<RoundTrip>,
    /// Locked by whoever empties it.
    receiver: Mutex<Receiver<RoundTrip>>,
}

impl Default for RoundTrips {
    fn default() -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

impl RoundTrips {
    /// Takes in a measurement; `false`: there is no room.
    pub(super) fn put(&self, sample: RoundTrip) -> bool {
        self.sender.try_send(sample).is_ok()
    }

    /// All that has been measured since the last time.
    pub(super) fn take(&self) -> Vec<RoundTrip> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.try_iter().take(WAITING_MAX).collect()
    }
}

/// Measures a connection when it is made and when it is dropped, which must come before the
/// connection's own end.
#[derive(Debug)]
pub(super) struct Meter {
    of: Measured,
    client: IpAddr,
    /// Those that its thread may still measure for now.
    left: Arc<AtomicU32>,
    shared: Arc<Shared>,
}

/// Who knows the round trip.
#[derive(Debug)]
enum Measured {
    /// The kernel.
    Tcp(RawFd),
    /// The library.
    Quic(quinn::Connection),
}

/// What the library holds for a round trip while it has measured none (RFC 9002 section 6.2.2).
const UNKNOWN: Duration = Duration::from_millis(333);

impl Measured {
    /// Where the client is now, if that may change: the library then measures anew (RFC 9000
    /// section 9.4).
    fn client(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_) => None,
            Self::Quic(connection) => Some(connection.remote_address().ip().to_canonical()),
        }
    }

    fn round_trip(&self) -> Option<Trip> {
        match self {
            Self::Tcp(fd) => round_trip(*fd),
            Self::Quic(connection) => {
                let smoothed = Some(connection.rtt()).filter(|time| *time != UNKNOWN)?;
                Some(Trip::new(smoothed, connection.min_rtt()))
            }
        }
    }
}

impl Meter {
    /// A meter of the connection of this client; `None`: it is a proxy, and the round trip to it is
    /// not that to the client.
    pub(super) fn new(fd: RawFd, client: IpAddr, worker: &Worker) -> Option<Self> {
        Self::of(Measured::Tcp(fd), client, worker)
    }

    /// [`Meter::new`] of a connection of QUIC.
    pub(super) fn of_quic(
        connection: &quinn::Connection,
        client: IpAddr,
        worker: &Worker,
    ) -> Option<Self> {
        Self::of(Measured::Quic(connection.clone()), client, worker)
    }

    fn of(of: Measured, client: IpAddr, worker: &Worker) -> Option<Self> {
        if worker.view().proxy.trusts(client) {
            return None;
        }
        let (left, shared) = (worker.measurable.clone(), worker.shared.clone());
        let meter = Self { of, client, left, shared };
        meter.measure();
        Some(meter)
    }

    fn measure(&self) {
        // A flood of connections must not cost a system call each.
        let less = |left: u32| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            return;
        }
        let client = self.of.client().unwrap_or(self.client);
        let length = if client.is_ipv4() { V4_LENGTH } else { V6_LENGTH };
        let Some(trip) = self.of.round_trip() else { return };
        let sample = RoundTrip { client: Prefix::holding(client, length), trip };
        if !self.shared.witness.round_trips.put(sample) {
            self.shared.metrics.proxy.protection.rtt_dropped.inc();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.measure();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let trips = RoundTrips::default();
        let client = Prefix::holding("192.0.2.77".parse().unwrap(), V4_LENGTH);
        let sample = RoundTrip { client, trip: Duration::from_millis(20).into() };
        assert_eq!(client.to_string(), "192.0.2.0/24");
        let put = (0..WAITING_MAX + 10).filter(|_| trips.put(sample)).count();
        assert_eq!((put, trips.take().len(), trips.take().len()), (WAITING_MAX, WAITING_MAX, 0));
    }
}
