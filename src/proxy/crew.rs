//! The threads as they share the work: one that has far more connections than the others hands new
//! ones on.
//!
//! The kernel chooses a thread by the addresses of a connection and knows nothing of how long those
//! last, so that by chance, or by a client's choice, one thread has most of what stays.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::seats::Seat;

/// A thread may have so many connections more than the mean: a few make no difference.
const SPARE: usize = 16;
/// And a quarter of the mean: to hand on costs a message and the wake of another thread.
const PART: usize = 4;
/// Connections on their way to a thread. More stay where they came.
const WAITING_MAX: usize = 256;

/// What a connection came in by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entrance {
    /// A listener of HTTP.
    Http {
        /// Whether clients speak TLS.
        secure: bool,
    },
    /// The relay that listens there.
    Relay(SocketAddr),
}

/// A connection that was accepted and of which nothing was read.
#[derive(Debug)]
pub(super) struct Arrival<S> {
    pub(super) stream: S,
    pub(super) peer: SocketAddr,
    pub(super) entrance: Entrance,
    /// Whether a PROXY header comes first.
    pub(super) announced: bool,
    pub(super) seat: Seat,
}

impl<S> Arrival<S> {
    /// The same over what this makes of its stream.
    pub(super) fn over<T>(
        self,
        make: impl FnOnce(S) -> std::io::Result<T>,
    ) -> std::io::Result<Arrival<T>> {
        let Self { stream, peer, entrance, announced, seat } = self;
        Ok(Arrival { stream: make(stream)?, peer, entrance, announced, seat })
    }
}

/// Where a thread is handed connections.
pub(super) type Mailbox = mpsc::Receiver<Arrival<TcpStream>>;

/// All threads.
#[derive(Debug)]
pub(super) struct Crew(Vec<Member>);

#[derive(Debug)]
struct Member {
    /// Connections that it has; written by itself alone.
    open: AtomicUsize,
    mail: mpsc::Sender<Arrival<TcpStream>>,
}

impl Crew {
    /// So many threads, and the mailbox of each.
    pub(super) fn new(threads: usize) -> (Self, Vec<Mailbox>) {
        let member = || {
            let (mail, mailbox) = mpsc::channel(WAITING_MAX);
            (Member { open: AtomicUsize::new(0), mail }, mailbox)
        };
        let (members, mailboxes) = (0..threads).map(|_| member()).unzip();
        (Self(members), mailboxes)
    }

    /// A thread has so many connections now.
    pub(super) fn has(&self, thread: usize, open: usize) {
        if let Some(member) = self.0.get(thread) {
            member.open.store(open, Ordering::Relaxed);
        }
    }

    /// Whom a connection is for that came to this thread; `None`: itself.
    pub(super) fn other(&self, thread: usize) -> Option<usize> {
        let open = self.0.iter().map(|member| member.open.load(Ordering::Relaxed));
        hand_on(thread, open)
    }

    /// Hands a connection on; it comes back where that thread takes none.
    pub(super) fn hand(
        &self,
        to: usize,
        arrival: Arrival<TcpStream>,
    ) -> Result<(), Arrival<TcpStream>> {
        let Some(member) = self.0.get(to) else { return Err(arrival) };
        member.mail.try_send(arrival).map_err(|unsent| match unsent {
            mpsc::error::TrySendError::Full(arrival)
            | mpsc::error::TrySendError::Closed(arrival) => arrival,
        })
    }
}

/// Which thread is to have one more connection, of all with so many of them, when it came to
/// thread `own`: the one with the fewest where `own` has more than its share, else `None`.
fn hand_on(own: usize, open: impl Iterator<Item = usize> + Clone) -> Option<usize> {
    let (threads, all) = open.clone().fold((0, 0), |(threads, all), one| (threads + 1, all + one));
    let mean = all / threads.max(1);
    if open.clone().nth(own)? < mean + mean / PART + SPARE {
        return None;
    }
    let (least, _) = open.enumerate().min_by_key(|(_, open)| *open)?;
    (least != own).then_some(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_more_than_its_share_hands_on_to_who_has_the_fewest() {
        for (case, own, open, expected) in [
            ("one thread", 0, vec![9_000], None),
            ("no connection", 1, vec![0, 0], None),
            ("a few", 0, vec![15, 0], None),
            ("a fair share", 0, vec![500, 500, 500], None),
            ("a little more", 0, vec![600, 500, 400], None),
            ("most", 0, vec![41, 0], Some(1)),
            ("much more", 0, vec![700, 500, 300], Some(2)),
            ("another has much more", 1, vec![700, 500, 300], None),
            ("all are at their ends", 2, vec![1, 0, 900, 0], Some(1)),
            ("no such thread", 7, vec![1, 2], None),
        ] {
            assert_eq!(hand_on(own, open.iter().copied()), expected, "{case}");
        }
    }

    #[test]
    fn however_connections_come_no_thread_has_far_more_than_its_share() {
        let mut random = fastrand::Rng::with_seed(7);
        for threads in [2, 3, 8, 64] {
            let mut open = vec![0_usize; threads];
            for round in 0..20_000 {
                // The kernel prefers one, and connections end anywhere.
                let came = if random.u8(..) < 200 { 0 } else { random.usize(..threads) };
                let taker = hand_on(came, open.iter().copied()).unwrap_or(came);
                open[taker] += 1;
                if round % 3 == 0 {
                    let gone = random.usize(..threads);
                    open[gone] = open[gone].saturating_sub(1);
                }
                let mean = open.iter().sum::<usize>() / threads;
                let most = open.iter().max().unwrap();
                // The mean falls when connections end, which are not moved.
                assert!(*most <= mean + mean / 3 + SPARE + 2, "{threads}: {open:?}");
            }
        }
    }
}
